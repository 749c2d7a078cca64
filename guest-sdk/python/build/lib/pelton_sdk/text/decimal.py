"""``numeric``: as a :class:`decimal.Decimal`, or counted in units of its last digit."""

import decimal
from typing import Self

from ..error import Reject
from .base import Text, unreadable

_NOT_FINITE = ("NaN", "Infinity", "-Infinity")

#: What the other languages' SDKs can hold: a signed integer of 128 bits.
_UNITS_MAX = 2**127 - 1


class Decimal(Text):
    """``numeric``: exact, of any size, or ``NaN``, ``Infinity``, ``-Infinity``."""

    __slots__ = ()
    kind = "numeric"
    expected = "numeric"
    accepted = ("numeric",)

    @classmethod
    def of(cls, number: decimal.Decimal | int) -> Self:
        """Makes the text of a number, all of its digits."""
        return cls(format(number, "f") if isinstance(number, decimal.Decimal) else str(number))

    @classmethod
    def from_scaled(cls, units: int, scale: int) -> Self:
        """Makes ``units`` times 10^-``scale``: 1250 with scale 2 is ``12.50``."""
        if scale == 0:
            return cls(str(units))
        digits = str(abs(units)).rjust(scale + 1, "0")
        return cls(f"{'-' if units < 0 else ''}{digits[:-scale]}.{digits[-scale:]}")

    def decimal(self) -> decimal.Decimal:
        """Reads the number without loss; NaN and the infinities are Python's.

        Arithmetic on it rounds to ``decimal.getcontext().prec`` digits, 28 unless you raise it; :meth:`scaled` does not.
        """
        try:
            return decimal.Decimal(self.text)
        except decimal.InvalidOperation:
            raise unreadable("numeric") from None

    def scaled(self, scale: int) -> int:
        """Reads the number in units of 10^-``scale``: ``12.5`` with scale 2 is 1250.

        Rejects the change when it has more digits behind the point than that, is not finite, or has more than 38 digits.
        """
        text = self.text
        if text in _NOT_FINITE:
            raise Reject("not-finite", "a numeric is NaN or infinite")
        negative = text.startswith("-")
        whole, _, fraction = (text[1:] if negative else text).partition(".")
        digits = whole + fraction
        if not (digits.isascii() and digits.isdigit()):
            raise unreadable("numeric")
        if len(fraction) != scale:
            fraction = fraction.rstrip("0")
            if len(fraction) > scale:
                raise Reject("scale", f"a numeric has more than {scale} digits behind the point")
            digits = whole + fraction.ljust(scale, "0")
        if len(digits) > 38:
            digits = digits.lstrip("0")
            if len(digits) > 39 or int(digits or "0") > _UNITS_MAX:
                raise Reject("too-large", "a numeric has more than 38 digits")
        units = int(digits or "0")
        return -units if negative else units

    def to_float(self) -> float:
        """Reads the nearest float."""
        try:
            return float(self.text)
        except ValueError:
            raise unreadable("numeric") from None
