"""The conformance suite's transform: every kind of value, what accessors make of it, and every way to end.

``tests/conformance/README.md`` says what it does; the other languages' do the same.
"""

from typing import Annotated

from pelton_sdk import Change, Doc, Fatal, Insert, Key, Map, Out, Reject, Retry, log, public, settings, source, transform

from kinds import Kinds, PublicKinds, handed_on
from parsed import Parsed, parse


@source(message="command")
class Command:
    """A logical message with the prefix ``command``."""

    transactional: bool
    content: bytes


@public("counts", "1.0")
class Counted:
    name: Key[str]
    n: int


@settings
class Options:
    greeting: Annotated[str, Doc("Stands before what is logged.")]
    limit: Annotated[int, Doc("How often a name may be counted.")] = 10
    label: Annotated[str | None, Doc("Is logged beside the greeting.")] = None


COUNTS = Map[str, int]("counts")


@transform(name="conformance", publishes=[PublicKinds, Parsed, Counted], state_version=1)
class Conformance:
    def __init__(self, options: Options) -> None:
        self.options = options

    def kinds(self, change: Change[Kinds], out: Out) -> None:
        out.map(change, PublicKinds, handed_on)
        out.map(change, Parsed, parse)

    def commands(self, change: Change[Command], out: Out) -> None:
        if isinstance(change, Insert):
            self.obey(change.new, out)

    def obey(self, command: Command, out: Out) -> None:
        try:
            word, _, rest = command.content.decode().partition(" ")
        except UnicodeDecodeError:
            raise Reject("not-text", "a command is not UTF-8") from None
        match word:
            case "count":
                self.count(rest, out)
            case "clear":
                COUNTS.clear()
                out.truncate(Counted)
            case "list":
                for name, n in COUNTS.for_each():
                    if name.startswith(rest):
                        out.update(Counted(name, n))
            case "reject":
                raise Reject(rest, "told to reject")
            case "retry" if is_u32(rest):
                raise Retry("told to wait", int(rest))
            case "fatal":
                raise Fatal("told to stop")
            case "crash":
                raise RuntimeError("told to crash")
            case "log":
                label = self.options.label if self.options.label is not None else "none"
                log.info(f"{self.options.greeting}, told to log", label=label, transactional=command.transactional)
            case _:
                raise Reject("unknown-command", "there is no such command")

    def count(self, name: str, out: Out) -> None:
        before = COUNTS.get(name)
        n = (before or 0) + 1
        COUNTS.put(name, n)
        if n > self.options.limit:
            raise Reject("too-many", f"a name was counted {self.options.limit} times already")
        row = Counted(name, n)
        if before is None:
            out.insert(row)
        else:
            out.update(row)


def is_u32(text: str) -> bool:
    digits = text.removeprefix("+")
    return digits.isascii() and digits.isdigit() and len(digits.lstrip("0")) <= 10 and int(digits) < 1 << 32
