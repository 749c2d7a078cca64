"""What a batch has read and written of the state: reads are remembered and writes collected until it ends.

A value is kept as bytes, or, where its type allows that, as it is in Python (:mod:`.flat`): a total that changes with
every change of a batch is then encoded once.
"""

from collections.abc import Iterable

from .. import host
from ..error import Fatal
from .flat import Flat, Packed

#: What is kept of this batch before it goes to the host, and is read again after that.
KEPT_BYTES_MAX = 4 << 20

#: What an entry takes beyond its key and its value.
ENTRY_BYTES = 100


class Entry:
    """What a batch has of a key."""

    __slots__ = ("flat", "key", "known", "round", "value", "written")

    def __init__(self, key: bytes, round: int) -> None:
        self.key = key
        #: It is of use in this round alone.
        self.round = round
        #: False until the host was asked, or a value was set.
        self.known = False
        #: The host is to be told of it.
        self.written = False
        #: What the value is packed by; without it, the value is bytes, or ``None`` if there is none.
        self.flat: Flat | None = None
        self.value: Packed = None

    @property
    def exists(self) -> bool:
        """Whether the key has a value."""
        return self.flat is not None or self.value is not None

    def encoded(self) -> bytes | None:
        """Returns the value's bytes."""
        value: bytes | None = self.value if self.flat is None else self.flat.write(self.value)
        return value


class Overlay:
    """The entries of a batch."""

    def __init__(self) -> None:
        self.open = False
        #: Counts how often all was forgotten.
        self.round = 0
        self.bytes = 0
        self._entries: dict[bytes, Entry] = {}
        self._written: list[Entry] = []

    def begin(self) -> None:
        """Begins a batch with nothing: the last one may have failed."""
        self._forget()
        self.open = True

    def end(self) -> None:
        """Ends the batch; what was not flushed is dropped."""
        self.open = False
        self._forget()

    def check(self) -> None:
        """Refuses what belongs to no batch: it would be committed with none, and seen in some runs only."""
        if not self.open:
            raise Fatal(
                "the transform uses its state outside of a batch, as in `__init__`: read and write it in the functions "
                "that take changes"
            )

    def entry(self, key: bytes) -> Entry:
        """Returns the entry of a key, which may not be known yet."""
        entry = self._entries.get(key)
        if entry is None:
            self.check()
            entry = self._entries[key] = Entry(key, self.round)
            self.bytes += ENTRY_BYTES + len(key)
        return entry

    def fetch(self, wanted: Iterable[Entry]) -> None:
        """Reads what is not known yet of these entries, with one call to the host."""
        unknown = list({entry.key: entry for entry in wanted if not entry.known}.values())
        if not unknown:
            return
        found = host.current.get([entry.key for entry in unknown])
        if len(found) != len(unknown):
            raise Fatal("the host returned another number of state values than was asked for")
        for entry, value in zip(unknown, found):
            entry.known = True
            entry.value = value
            if value is not None:
                self.bytes += len(value)
        self._keep_little()

    def put(self, entry: Entry, value: bytes | None) -> None:
        """Sets a value, as bytes; ``None`` removes it."""
        if value is not None:
            self.bytes += len(value)
        self._write(entry, None, value)

    def put_flat(self, entry: Entry, flat: Flat, value: Packed) -> None:
        """Sets a value that was packed."""
        self.bytes += flat.size
        self._write(entry, flat, value)

    def flush(self) -> None:
        """Hands what was written to the host, in the order of the keys."""
        if self._written:
            written = {entry.key: entry for entry in self._written}
            host.current.put([(key, written[key].encoded()) for key in sorted(written)])
            for entry in self._written:
                entry.written = False
            self._written.clear()

    def _write(self, entry: Entry, flat: Flat | None, value: Packed) -> None:
        entry.flat = flat
        entry.value = value
        entry.known = True
        if not entry.written:
            entry.written = True
            self._written.append(entry)
        if self.bytes > KEPT_BYTES_MAX:
            self._keep_little()

    def _keep_little(self) -> None:
        if self.bytes > KEPT_BYTES_MAX:
            self.flush()
            self._forget()

    def _forget(self) -> None:
        self._entries.clear()
        self._written.clear()
        self.bytes = 0
        self.round += 1


overlay = Overlay()
