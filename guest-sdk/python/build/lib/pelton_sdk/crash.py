"""What is told of a crash: an exception that is neither Reject, Retry nor Fatal.

The operator is told where it happened in the author's files. The exception's own message is told only where it can't
hold the values of rows: when it was written in the code that raises it, or is one of the interpreter's that name nothing
but types and names of the code. `int("Ann")` names the value that it refuses.
"""

import dis
from types import FrameType, TracebackType

from . import log

#: Where the SDK's own files are: their frames are not the author's.
_SDK = __file__.rpartition("/")[0] + "/"

_RAISE = dis.opmap["RAISE_VARARGS"]

#: Their messages, where the interpreter raises them, hold types and names of the code.
_WITHOUT_VALUES = (ZeroDivisionError, NameError, TypeError, IndexError, RecursionError, ImportError, AttributeError)


def report(error: BaseException) -> None:
    """Logs a crash at level error, with its stack in the author's files, the last call first."""
    frames = _frames(error.__traceback__)
    own = [(frame, line) for frame, line in frames if _is_the_authors(frame)]
    # In the SDK alone: its own frames say where, then.
    places = [f"{_shown(frame)}:{line} in {frame.f_code.co_name}" for frame, line in own or frames]
    log.error(f"the transform crashed: {describe(error)}", at=places[-1] if places else "", stack=" < ".join(reversed(places)))


def describe(error: BaseException) -> str:
    """Returns the exception's type, and its message where it can't hold the values of rows."""
    name = type(error).__name__
    message = str(error) if _is_told(error) else ""
    return f"{name}: {message}" if message else name


def _is_told(error: BaseException) -> bool:
    at = error.__traceback__
    if at is None:
        return False
    while at.tb_next is not None:
        at = at.tb_next
    code = at.tb_frame.f_code
    if at.tb_lasti >= 0 and code.co_code[at.tb_lasti] == _RAISE:
        # The standard library's messages quote what they were given.
        return _is_the_authors(at.tb_frame) or code.co_filename.startswith(_SDK)
    if isinstance(error, AttributeError):
        # With getattr() the name may be a value.
        return error.name in code.co_names
    # Names of arguments are values in f(**row).
    return isinstance(error, _WITHOUT_VALUES) and "argument" not in str(error)


def _frames(at: TracebackType | None) -> list[tuple[FrameType, int]]:
    frames = []
    while at is not None:
        frames.append((at.tb_frame, at.tb_lineno))
        at = at.tb_next
    return frames


def _is_the_authors(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return not file.startswith((_SDK, "<")) and not _is_of_the_library(file)


def _is_of_the_library(file: str) -> bool:
    return file.startswith(_LIBRARY) or "/site-packages/" in file


#: Where Python's own modules are.
_LIBRARY = dis.__file__.rpartition("/")[0] + "/"

#: What the project's folder is called inside of a component; the paths of its files are told without it.
PROJECT = "/0/"


def _shown(frame: FrameType) -> str:
    return frame.f_code.co_filename.removeprefix(PROJECT)
