"""``uuid``."""

import re
import uuid

from .base import Text, unreadable

_DIGITS = re.compile(r"[0-9a-fA-F]{32}", re.ASCII)


class Uuid(Text):
    """``uuid``."""

    __slots__ = ()
    kind = "uuid"
    expected = "uuid"
    accepted = ("uuid",)

    def to_int(self) -> int:
        """Reads the 128 bits."""
        digits = self.text.replace("-", "")
        if _DIGITS.fullmatch(digits) is None:
            raise unreadable("uuid")
        return int(digits, 16)

    def uuid(self) -> uuid.UUID:
        """Reads it as Python's own."""
        return uuid.UUID(int=self.to_int())
