"""Logs: ``log.info("one line")``, ``log.warn(f"{n} rows without a name", customer=id)``.

Keep the values of rows out: logs are read by people who may not read the data. Where making a line costs something, ask
:func:`enabled` first. What a transform prints, and what libraries hand to Python's ``logging``, goes to the same log.
"""

from dataclasses import dataclass
from enum import IntEnum

from . import host


class Level(IntEnum):
    """How much a line matters."""

    TRACE = 0
    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log, as a test sees it."""

    level: Level
    message: str
    fields: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.level}: {self.message}" + "".join(f" {name}={value}" for name, value in self.fields)


def enabled(level: Level) -> bool:
    """Returns true when the host wants lines of this level."""
    return host.current.enabled(level)


def write(level: Level, message: object, **fields: object) -> None:
    """Writes one line at a level."""
    if host.current.enabled(level):
        host.current.log(level, str(message), [(name, _shown(value)) for name, value in fields.items()])


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def trace(message: object, **fields: object) -> None:
    """Logs at level trace."""
    write(Level.TRACE, message, **fields)


def debug(message: object, **fields: object) -> None:
    """Logs at level debug."""
    write(Level.DEBUG, message, **fields)


def info(message: object, **fields: object) -> None:
    """Logs at level info."""
    write(Level.INFO, message, **fields)


def warn(message: object, **fields: object) -> None:
    """Logs at level warn."""
    write(Level.WARN, message, **fields)


def error(message: object, **fields: object) -> None:
    """Logs at level error."""
    write(Level.ERROR, message, **fields)
