"""Values that travel as Postgres's own text, read on demand."""

from .array import Array
from .base import Text
from .decimal import Decimal
from .json import Json, Jsonb
from .time import Date, Infinity, Interval, Parts, Time, Timestamp, Timestamptz, Timetz
from .uuid import Uuid

__all__ = [
    "Array",
    "Date",
    "Decimal",
    "Infinity",
    "Interval",
    "Json",
    "Jsonb",
    "Parts",
    "Text",
    "Time",
    "Timestamp",
    "Timestamptz",
    "Timetz",
    "Uuid",
]
