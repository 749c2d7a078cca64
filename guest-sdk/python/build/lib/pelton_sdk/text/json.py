"""``json`` and ``jsonb``, read so that no number is rounded."""

import decimal
import json
from typing import Any, Never, Self

from .base import Text, unreadable


def _no_constant(_: str) -> Never:
    raise ValueError


def _integer(digits: str) -> int:
    # Python refuses to read very long ones as int; a Decimal takes all, in time that does not grow with their square.
    return int(digits) if len(digits) <= 4000 else int(decimal.Decimal(digits))


_DECODER = json.JSONDecoder(parse_float=decimal.Decimal, parse_int=_integer, parse_constant=_no_constant)


def _print(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(str(name), ensure_ascii=False)}:{_print(v)}" for name, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_print, value)) + "]"
    # The json module would print the nearest float of it.
    if isinstance(value, decimal.Decimal) and value.is_finite():
        return str(value)
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


class Json(Text):
    """``json``: text as it was written, with its spaces and the order of its keys."""

    __slots__ = ()
    kind = "json"
    expected = "json or jsonb"
    accepted = ("json", "jsonb")

    @classmethod
    def of(cls, value: object) -> Self:
        """Makes the text of dicts, lists, texts, numbers (Decimals too), booleans and ``None``."""
        return cls(_print(value))

    def parse(self) -> Any:
        """Reads dicts, lists, texts, booleans and ``None``; an integer is an ``int``, any other number a
        :class:`decimal.Decimal`, so that none is rounded."""
        try:
            return _DECODER.decode(self.text)
        except ValueError:
            raise unreadable("json") from None


class Jsonb(Json):
    """``jsonb``."""

    __slots__ = ()
    kind = "jsonb"
    expected = "jsonb or json"
