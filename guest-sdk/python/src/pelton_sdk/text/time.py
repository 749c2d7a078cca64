"""Dates, times and intervals as numbers, and as Python's own types where these can hold them."""

import datetime
import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ..error import Reject
from .base import Text, unreadable

_EPOCH_DAYS: Final = datetime.date(1970, 1, 1).toordinal()
_DAY_MICROS: Final = 86_400_000_000
_EPOCH: Final = datetime.datetime(1970, 1, 1)

_DATE = re.compile(r"([0-9]{1,9})-([0-9]{1,9})-([0-9]{1,9})", re.ASCII)
_CLOCK = re.compile(r"([0-9]{1,10}):([0-9]{1,10}):([0-9]{1,10})(?:\.([0-9]{1,6}))?", re.ASCII)
_ZONE = re.compile(r"([+-])([0-9]{1,9})(?::([0-9]{1,9}))?(?::([0-9]{1,9}))?", re.ASCII)
_INTERVAL = re.compile(
    r"(?:([+-]?[0-9]+) years?)?(?:(?:^| )([+-]?[0-9]+) mons?)?(?:(?:^| )([+-]?[0-9]+) days?)?"
    r"(?:(?:^| )([+-]?)([0-9]+):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,6}))?)?",
    re.ASCII,
)


class Infinity(Enum):
    """The points in time that Postgres has before and after all others."""

    MINUS = "-infinity"
    PLUS = "infinity"


_INFINITIES: Final = {infinity.value: infinity for infinity in Infinity}


def _finite(point: int | Infinity, what: str) -> int:
    if isinstance(point, Infinity):
        raise _too_far(what)
    return point


def _too_far(what: str) -> Reject:
    return Reject("out-of-range", f"a {what} is infinite or outside of the years 1 to 9999, which Python's own types end at")


def _days(text: str, bc: bool) -> int | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day = map(int, found.groups())
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    # 1 BC is the year 0.
    if bc:
        year = 1 - year
    # Days since 0000-03-01 in the proleptic Gregorian calendar: years begin in March, so leap days end them.
    if month <= 2:
        year, month = year - 1, month + 9
    else:
        month -= 3
    era, of_era = divmod(year, 400)
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + (153 * month + 2) // 5 + day - 1 - 719_468


def _clock(text: str) -> int | None:
    found = _CLOCK.fullmatch(text)
    if found is None:
        return None
    hours, minutes, seconds, fraction = found.groups()
    micros = int(fraction.ljust(6, "0")) if fraction else 0
    return (int(hours) * 3600 + int(minutes) * 60 + int(seconds)) * 1_000_000 + micros


def _offset(zone: str) -> int | None:
    found = _ZONE.fullmatch(zone)
    if found is None:
        return None
    sign, hours, minutes, seconds = found.groups()
    offset = int(hours) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return -offset if sign == "-" else offset


def _split_zone(text: str) -> tuple[str, int] | None:
    at = max(text.rfind("+"), text.rfind("-"))
    offset = _offset(text[at:]) if at > 0 else None
    return None if offset is None else (text[:at], offset)


def _micros(text: str, bc: bool) -> int | None:
    day, _, clock = text.partition(" ")
    days, micros = _days(day, bc), _clock(clock)
    return None if days is None or micros is None else days * _DAY_MICROS + micros


def _in_64_bits(point: int | Infinity, what: str) -> int | Infinity:
    """Returns microseconds that 64 bits can hold, which is as far as every SDK counts: into the year 294247."""
    if isinstance(point, int) and not -(1 << 63) <= point < 1 << 63:
        raise unreadable(what)
    return point


def _before_christ(text: str) -> tuple[str, bool]:
    return (text[:-3], True) if text.endswith(" BC") else (text, False)


class Date(Text):
    """``date``, such as ``2024-02-29``, ``0044-03-15 BC`` or ``infinity``."""

    __slots__ = ()
    kind = "date"
    expected = "date"
    accepted = ("date",)

    def unix_days(self) -> int | Infinity:
        """Reads the days since 1970-01-01."""
        if self.text in _INFINITIES:
            return _INFINITIES[self.text]
        days = _days(*_before_christ(self.text))
        if days is None:
            raise unreadable("date")
        return days

    def date(self) -> datetime.date:
        """Reads it as Python's own; rejects the change when that can't hold it."""
        try:
            return datetime.date.fromordinal(_finite(self.unix_days(), "date") + _EPOCH_DAYS)
        except (ValueError, OverflowError):
            raise _too_far("date") from None


class Time(Text):
    """``time``, such as ``13:45:00.5``; ``24:00:00`` is one."""

    __slots__ = ()
    kind = "time"
    expected = "time"
    accepted = ("time",)

    def micros(self) -> int:
        """Reads the microseconds since midnight; of ``24:00:00`` all of a day."""
        micros = _clock(self.text)
        if micros is None:
            raise unreadable("time")
        return micros


class Timetz(Text):
    """``time with time zone``."""

    __slots__ = ()
    kind = "timetz"
    expected = "timetz"
    accepted = ("timetz",)

    def micros(self) -> int:
        """Reads the microseconds since midnight of its own clock."""
        return self._read()[0]

    def offset_seconds(self) -> int:
        """Reads the seconds that its clock is ahead of UTC."""
        return self._read()[1]

    def _read(self) -> tuple[int, int]:
        split = _split_zone(self.text)
        micros = _clock(split[0]) if split else None
        if split is None or micros is None:
            raise unreadable("time with time zone")
        return micros, split[1]


class Timestamp(Text):
    """``timestamp``: of no known place."""

    __slots__ = ()
    kind = "timestamp"
    expected = "timestamp"
    accepted = ("timestamp",)

    def micros(self) -> int | Infinity:
        """Reads the microseconds since 1970-01-01 of the same clock."""
        return _in_64_bits(self._read(), "timestamp")

    def _read(self) -> int | Infinity:
        if self.text in _INFINITIES:
            return _INFINITIES[self.text]
        micros = _micros(*_before_christ(self.text))
        if micros is None:
            raise unreadable("timestamp")
        return micros

    def datetime(self) -> datetime.datetime:
        """Reads it as Python's own, without a zone; rejects the change when that can't hold it."""
        try:
            return _EPOCH + datetime.timedelta(microseconds=_finite(self._read(), "timestamp"))
        except OverflowError:
            raise _too_far("timestamp") from None


class Timestamptz(Text):
    """``timestamp with time zone``: a moment, printed in UTC."""

    __slots__ = ()
    kind = "timestamptz"
    expected = "timestamptz"
    accepted = ("timestamptz",)

    def unix_micros(self) -> int | Infinity:
        """Reads the microseconds since 1970-01-01 UTC."""
        return _in_64_bits(self._read(), "timestamp with time zone")

    def _read(self) -> int | Infinity:
        if self.text in _INFINITIES:
            return _INFINITIES[self.text]
        text, bc = _before_christ(self.text)
        # The zone's sign stands behind the date's hyphens.
        split = _split_zone(text) if " " in text else None
        micros = _micros(split[0], bc) if split else None
        if split is None or micros is None:
            raise unreadable("timestamp with time zone")
        return micros - split[1] * 1_000_000

    def datetime(self) -> datetime.datetime:
        """Reads it as Python's own, in UTC; rejects the change when that can't hold it."""
        try:
            moment = _EPOCH + datetime.timedelta(microseconds=_finite(self._read(), "timestamp with time zone"))
        except OverflowError:
            raise _too_far("timestamp with time zone") from None
        return moment.replace(tzinfo=datetime.timezone.utc)


@dataclass(frozen=True, slots=True)
class Parts:
    """What an interval is made of. Months have no number of days, and days none of hours."""

    months: int
    days: int
    micros: int


class Interval(Text):
    """``interval``, in Postgres's own style: ``1 year 2 mons 3 days 04:05:06``."""

    __slots__ = ()
    kind = "interval"
    expected = "interval"
    accepted = ("interval",)

    def parts(self) -> Parts | Infinity:
        """Reads months, days and microseconds. PostgreSQL 17 and newer know infinite intervals."""
        if self.text in _INFINITIES:
            return _INFINITIES[self.text]
        found = _INTERVAL.fullmatch(self.text)
        if found is None or not self.text:
            raise unreadable("interval")
        years, months, days, sign, hours, minutes, seconds, fraction = found.groups()
        micros = _clock(f"{hours}:{minutes}:{seconds}.{fraction or 0}") if hours else 0
        if micros is None:
            raise unreadable("interval")
        return Parts(int(years or 0) * 12 + int(months or 0), int(days or 0), -micros if sign == "-" else micros)
