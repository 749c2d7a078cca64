"""What a component has not, and what Python's own modules do about it.

There are no files, clock, entropy and no standard output. What asks for them from a component would end in the bare trap
of a missing import, without a line of the author's source. So the ways that lead there say what to do instead.
"""

# What Python itself imports on demand must be here before.
import _strptime  # type: ignore[import-not-found]  # noqa: F401
import builtins
import encodings.ascii
import encodings.base64_codec
import encodings.cp1252
import encodings.hex_codec
import encodings.latin_1
import encodings.utf_16  # noqa: F401
import io
import logging
import os
import random
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Never

from . import log

_NO_CLOCK = "a transform has no clock: take `out.span.commit_time`, the microseconds since 1970-01-01 UTC"
_NO_ENTROPY = (
    "a transform has no randomness, for the same changes must give the same rows: seed one with what is in the row, as in "
    "random.Random(order.id)"
)
_NO_FILES = "a transform has no files: read them while its module is imported, into a value that it keeps"


class Refused(RuntimeError):
    """A transform asked for what the sandbox has not."""


def _refuse(why: str) -> Callable[..., Never]:
    def refuse(*_: object, **__: object) -> Never:
        raise Refused(why)

    return refuse


class _Lines(io.TextIOBase):
    """Standard output or error: one line of the log for each line."""

    def __init__(self, level: log.Level) -> None:
        self._level = level
        self._line = ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            log.write(self._level, line)
        return len(text)

    def writable(self) -> bool:
        return True


class _Handler(logging.Handler):
    """Hands what libraries log to the host."""

    def emit(self, record: logging.LogRecord) -> None:
        level = max(level for level in _LEVELS if level <= max(record.levelno, 0))
        log.write(_LEVELS[level], record.getMessage(), logger=record.name)


_LEVELS = {0: log.Level.TRACE, 10: log.Level.DEBUG, 20: log.Level.INFO, 30: log.Level.WARN, 40: log.Level.ERROR}


class _NoImports:
    """The last of the finders: says why a module can't be imported any more."""

    @staticmethod
    def find_spec(name: str, *_: object) -> Never:
        raise ImportError(f"`{name}` is imported while the transform runs, and there are no files then: import it at the top")


def before_import() -> None:
    """Closes what an author's module may keep from ``from random import randint``."""
    for name in ("random", "randint", "randrange", "choice", "choices", "shuffle", "sample", "uniform", "gauss",
                 "normalvariate", "getrandbits", "randbytes", "betavariate", "expovariate", "triangular"):
        setattr(random, name, _refuse(_NO_ENTROPY))
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"):
        setattr(time, name, _refuse(_NO_CLOCK))


def after_import() -> None:
    """Closes what the import of an author's module needs: from here on it runs."""
    any_os: Any = os
    for name in ("urandom", "getrandom"):
        if hasattr(os, name):
            setattr(any_os, name, _refuse(_NO_ENTROPY))
    any_builtins: Any = builtins
    any_builtins.open = io.open = _refuse(_NO_FILES)
    sys.stdout, sys.stderr = _Lines(log.Level.INFO), _Lines(log.Level.WARN)
    # The finders that are there look into files.
    sys.meta_path[:] = [_NoImports]
    logging.basicConfig(handlers=[_Handler()], level=logging.DEBUG, force=True)
    # A record asks for the time, the thread and the process.
    any_logging: Any = logging
    for name in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(any_logging, name, False)
    any_logging.time = SimpleNamespace(time=lambda: 0.0, time_ns=lambda: 0)
