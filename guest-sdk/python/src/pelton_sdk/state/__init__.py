"""State: a transform's own keys and values, committed together with the rows that it made.

::

    SEEN = Map[tuple[str, int], int]("seen")

    def count(shop: str, order: int) -> int:
        times = (SEEN.get((shop, order)) or 0) + 1
        SEEN.put((shop, order), times)
        return times

A transform that uses it says ``stateful=True`` in ``@transform(…)``. An instance may be replaced between any two
batches, so whatever must survive goes here, never into attributes. When what is stored changes its shape, raise
``state_version``: the host then asks for a rebuild instead of handing over what can't be read.

It is used in the functions that take changes, never in ``__init__``: what is read or written belongs to a batch.

Reads are remembered and writes collected until the batch ends, so the host is called once a batch to write, and once a
key to read it first; :meth:`Map.get_many` reads many at once, and :class:`Ahead` those of a whole batch. When a batch
fails, all of it is forgotten, here and at the host. Keys and values have the bytes that every SDK gives them.
"""

import typing
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Generic, TypeVar

from .. import host
from ..error import Fatal
from . import key as keys
from . import value as values
from .entries import KEPT_BYTES_MAX, Entry, overlay
from .flat import Flat, flat
from .types import Int16, Int32, Int64, Int128, UInt16, UInt32, UInt64, UInt128, state_value

__all__ = [
    "KEPT_BYTES_MAX",
    "Ahead",
    "Int128",
    "Int16",
    "Int32",
    "Int64",
    "Map",
    "UInt128",
    "UInt16",
    "UInt32",
    "UInt64",
    "overlay",
    "state_value",
]

K = TypeVar("K")
V = TypeVar("V")

#: How many bytes of keys are read ahead at once.
KEY_BYTES_MAX = 1 << 20

#: How many entries :meth:`Map.for_each` reads at once.
SCAN_ENTRIES = 256

#: How many keys a map remembers: a change asks for the same one several times.
KEYS_MAX = 4096


class Map(Generic[K, V]):
    """A part of the state, with keys and values of one type each: ``TOTALS = Map[int, Total]("totals")``."""

    def __init__(self, name: str) -> None:
        if "\0" in name:
            raise ValueError("the name of a map of the state can't hold a zero byte")
        self.name = name
        self._prefix = name.encode() + b"\0"
        #: What was asked for in this round.
        self._known: dict[Any, Entry] = {}
        self._round = 0

    def get(self, key: K) -> V | None:
        """Returns the value of a key."""
        entry = self.entry(key)
        if not entry.known:
            overlay.fetch([entry])
        return self._value(entry)

    def has(self, key: K) -> bool:
        """Returns whether there is such a key: of a map that is a set, ``Map[int, None]("seen")``, all there is to know."""
        entry = self.entry(key)
        if not entry.known:
            overlay.fetch([entry])
        return entry.exists

    def get_many(self, keys: list[K]) -> list[V | None]:
        """Returns the values of many keys, in their order, with one call to the host."""
        entries = [self.entry(key) for key in keys]
        overlay.fetch(entries)
        return [self._value(entry) for entry in entries]

    def put(self, key: K, value: V) -> None:
        """Sets the value of a key."""
        entry = self.entry(key)
        if self._flat is None:
            overlay.put(entry, self._write_value(value))
        else:
            overlay.put_flat(entry, self._flat, self._flat.pack(value))

    def remove(self, key: K) -> None:
        """Removes a key."""
        overlay.put(self.entry(key), None)

    def scan(self, after: K | None = None, limit: int = SCAN_ENTRIES) -> list[tuple[K, V]]:
        """Returns up to ``limit`` entries in key order, beginning behind ``after``."""
        overlay.check()
        overlay.flush()
        behind = None if after is None else self.key(after)
        return [self._entry(key, value) for key, value in host.current.scan(self._prefix, behind, limit)]

    def for_each(self) -> Iterator[tuple[K, V]]:
        """Yields every entry in key order, reading them in batches; they may be removed on the way."""
        after: K | None = None
        while True:
            entries = self.scan(after, SCAN_ENTRIES)
            yield from entries
            if len(entries) < SCAN_ENTRIES:
                return
            after = entries[-1][0]

    def clear(self) -> None:
        """Removes every key, in batches."""
        for key, _ in self.for_each():
            self.remove(key)

    def key(self, key: K) -> bytes:
        """Returns the bytes of a key."""
        return self._prefix + self._write_key(key)

    def entry(self, key: K) -> Entry:
        """Returns what this batch has of a key."""
        # Other keys are made each time: 1 == True == 1.0, and a list is no key of a dict.
        if key.__class__ is not int and key.__class__ is not str:
            overlay.check()
            return overlay.entry(self.key(key))
        entry = self._known.get(key)
        if entry is None or entry.round != overlay.round:
            overlay.check()
            entry = overlay.entry(self.key(key))
            if self._round != overlay.round or len(self._known) >= KEYS_MAX:
                self._known.clear()
            self._round = overlay.round
            self._known[key] = entry
        return entry

    @cached_property
    def _types(self) -> tuple[Any, Any]:
        types = typing.get_args(getattr(self, "__orig_class__", None))
        if len(types) != 2:
            raise TypeError(f'name the types of its keys and values: Map[int, int]("{self.name}")')
        return types

    @cached_property
    def _write_key(self) -> keys.Write:
        return keys.codec(self._types[0])[0]

    @cached_property
    def _read_key(self) -> keys.Read:
        return keys.codec(self._types[0])[1]

    @cached_property
    def _write_value(self) -> values.Write:
        return values.codec(self._types[1])[0]

    @cached_property
    def _read_value(self) -> values.Read:
        return values.codec(self._types[1])[1]

    @cached_property
    def _flat(self) -> Flat | None:
        return flat(self._types[1])

    def _value(self, entry: Entry) -> V | None:
        """Returns the value of an entry: a new one each time, for it is the author's to change."""
        kept = self._flat
        if kept is not None and entry.flat is kept:
            value: V = kept.unpack(entry.value)
            return value
        read = self._read(entry.encoded())
        if kept is not None and entry.exists:
            entry.value = kept.pack(read)
            entry.flat = kept
        return read

    def _entry(self, key: bytes, value: bytes) -> tuple[K, V]:
        try:
            read, end = self._read_key(key, len(self._prefix))
        except (ValueError, IndexError):
            raise self._unreadable() from None
        if end != len(key):
            raise self._unreadable()
        return read, typing.cast(V, self._read(value))

    def _read(self, value: bytes | None) -> V | None:
        if value is None:
            return None
        try:
            read: V
            read, end = self._read_value(value, 0)
        except (ValueError, IndexError):
            raise self._unreadable() from None
        if end != len(value):
            raise self._unreadable()
        return read

    def _unreadable(self) -> Fatal:
        return Fatal(
            f"the state `{self.name}` holds what this version of the transform can't read: its types were changed, so raise "
            "state_version and rebuild"
        )


class Ahead:
    """Takes the keys that a batch will read, so that they are read at once.

    A transform that reads one key a change asks its host once a change, and the host may have to ask a database. When it
    can tell from a change which keys it will read, a method that takes ``ahead: Ahead`` says so, and it is called for
    every change of the batch before the first is transformed::

        def orders_ahead(self, change: Change[Order], ahead: Ahead) -> None:
            if change.new_row is not None:
                ahead.read(COUNTS, change.new_row.id)

    It is a hint and no more: what it does not name is read when it is needed, and what it names in vain does no harm.
    """

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._bytes = 0

    def read(self, map: Map[K, Any], key: K) -> None:
        """Names a key that will be read."""
        if self._bytes < KEY_BYTES_MAX:
            entry = map.entry(key)
            self._bytes += len(entry.key)
            self._entries.append(entry)

    def fetch(self) -> None:
        """Reads them all."""
        overlay.fetch(self._entries)
