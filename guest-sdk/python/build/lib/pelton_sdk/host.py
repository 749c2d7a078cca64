"""What a transform can ask of the host: to log, and its own state. There is nothing else.

In a component :data:`current` is what ``wit/transform.wit`` imports; anywhere else it is a fake, so that a transform
runs in an ordinary unit test (:mod:`pelton_sdk.testing`).
"""

from typing import Protocol

from .error import Fatal

#: A key of the state and its value; ``None`` removes it.
Entry = tuple[bytes, bytes | None]


class Host(Protocol):
    """The host's functions."""

    def enabled(self, level: int) -> bool:
        """Returns true when lines of this level are wanted."""

    def log(self, level: int, message: str, fields: list[tuple[str, str]]) -> None:
        """Writes one line."""

    def get(self, keys: list[bytes]) -> list[bytes | None]:
        """Reads values of the state."""

    def put(self, entries: list[Entry]) -> None:
        """Writes and removes entries of the state."""

    def scan(self, prefix: bytes, after: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
        """Reads entries of the state in the order of their keys."""


class Fake:
    """A host without WebAssembly."""

    def __init__(self) -> None:
        self.state: dict[bytes, bytes] = {}
        self.lines: list[tuple[int, str, list[tuple[str, str]]]] = []
        self.level = 0
        #: The transform declares itself stateful; otherwise the host refuses it its state.
        self.stateful = False
        #: How often it was asked for values.
        self.reads = 0

    def enabled(self, level: int) -> bool:
        return level >= self.level

    def log(self, level: int, message: str, fields: list[tuple[str, str]]) -> None:
        self.lines.append((level, message, fields))

    def get(self, keys: list[bytes]) -> list[bytes | None]:
        self.reads += 1
        self._check()
        return [self.state.get(key) for key in keys]

    def put(self, entries: list[Entry]) -> None:
        self._check()
        for key, value in entries:
            if value is None:
                self.state.pop(key, None)
            else:
                self.state[key] = value

    def scan(self, prefix: bytes, after: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
        self._check()
        keys = sorted(key for key in self.state if key.startswith(prefix) and (after is None or key > after))
        return [(key, self.state[key]) for key in keys[:limit]]

    def _check(self) -> None:
        if not self.stateful:
            raise Fatal("the transform uses state and does not declare it: add `stateful=True` to @transform(…)")


#: The host of this process.
current: Host = Fake()
