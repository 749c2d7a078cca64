"""Postgres's text of arrays."""

import re
from collections.abc import Callable, Iterable
from typing import Any, Self, TypeVar, overload

from .base import Text, unreadable

Element = TypeVar("Element")

# Without quotes Postgres prints neither braces nor quotes, nor nothing.
_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^,{}"\\]+)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL = re.compile(r'(["\\])')


class Array(Text):
    """An array of any type.

    In a public row name its type, ``Annotated[Array, Column(kind="integer[]")]``; otherwise it is ``text[]``.
    """

    __slots__ = ()
    kind = "text[]"
    expected = "an array"
    accepted = ()

    @classmethod
    def accepts(cls, kind: str) -> bool:
        """Returns true for arrays, whatever they are of."""
        return kind.endswith("[]") or super().accepts(kind)

    @classmethod
    def of(cls, elements: Iterable[object]) -> Self:
        """Makes the text of an array of one dimension; ``None`` is NULL."""
        quoted = ("NULL" if element is None else '"' + _SPECIAL.sub(r"\\\1", str(element)) + '"' for element in elements)
        return cls("{" + ",".join(quoted) + "}")

    @overload
    def elements(self) -> list[str | None]: ...
    @overload
    def elements(self, read: Callable[[str], Element]) -> list[Element | None]: ...
    def elements(self, read: Callable[[str], Any] = str) -> list[Any]:
        """Reads the elements of an array of one dimension: ``array.elements(int)``; NULL is ``None``.

        Rejects the change when the text is no array, has more dimensions, or an element that ``read`` refuses with a
        ``ValueError``.
        """
        elements = _parse(self.text)
        if elements is None:
            raise unreadable("array of one dimension")
        if read is str:
            return elements
        try:
            return [None if element is None else read(element) for element in elements]
        except ValueError:
            raise unreadable(f"array of {getattr(read, '__name__', 'such elements')}") from None


def _parse(text: str) -> list[str | None] | None:
    # Bounds that do not begin at 1 stand before the elements: [0:1]={a,b}
    if text.startswith("["):
        text = text.partition("=")[2]
    if len(text) < 2 or text[0] != "{" or text[-1] != "}":
        return None
    end = len(text) - 1
    elements: list[str | None] = []
    if end == 1:
        return elements
    at = 1
    while True:
        found = _ELEMENT.match(text, at, end)
        if found is None:
            return None
        quoted, plain = found.groups()
        if plain is None:
            elements.append(_ESCAPED.sub(r"\1", quoted))
        else:
            elements.append(None if plain == "NULL" else plain)
        at = found.end()
        if at == end:
            return elements
        if text[at] != ",":
            return None
        at += 1
