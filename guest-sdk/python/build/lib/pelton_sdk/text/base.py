"""What the types that hold Postgres's text have in common."""

from typing import ClassVar, Literal, Self

from ..error import Reject
from ..kind import is_other


class Text:
    """A value that travels as Postgres's own text.

    Usually it leaves as it came: so the text is kept as it is, loses nothing, and is read only where an author asks.
    Two are equal if their texts are. They do not add up or sort: read them for that.
    """

    __slots__ = ("text",)

    #: What the column is in Postgres.
    kind: ClassVar[str]
    #: What the column may be, in words, for messages.
    expected: ClassVar[str]
    #: The kinds of columns that it takes.
    accepted: ClassVar[tuple[str, ...]]

    #: Postgres's text.
    text: str

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def accepts(cls, kind: str) -> bool:
        """Returns true when columns of ``kind`` can be read into this type."""
        # A domain has a name of its own, whatever it is over.
        return kind in cls.accepted or is_other(kind)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Text):
            return NotImplemented
        return self.__class__ is other.__class__ and self.text == other.text

    def __bool__(self) -> Literal[True]:
        # So that `order.total and order.total.decimal()` has the type that one expects.
        return True

    def __hash__(self) -> int:
        return hash(self.text)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        return self


def unreadable(what: str) -> Reject:
    """The error for a text that is not what its type says. It does not show the text: values stay out of logs."""
    return Reject("unreadable", f"a text that should be a {what} is none")
