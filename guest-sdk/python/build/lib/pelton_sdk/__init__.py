"""Write Pelton transforms in Python: a class for the source row, a class for the public row, one function a table.

See the README for the whole picture, and :mod:`pelton_sdk.testing` for running a transform in an ordinary unit test.
"""

from . import log
from .change import Change, Delete, Insert, Old, Truncate, Update
from .columns import BigInt, Column, DoublePrecision, Integer, Key, Real, SmallInt, Toasted, Unchanged, unchanged
from .error import Fatal, Reject, Retry
from .model import Attrs, Context, Identity, Op, Phase, Span
from .out import Out
from .public import public
from .settings import Doc, SettingName, settings
from .source import source
from .state import Ahead, Int16, Int32, Int64, Int128, Map, UInt16, UInt32, UInt64, UInt128, state_value
from .text import (
    Array,
    Date,
    Decimal,
    Infinity,
    Interval,
    Json,
    Jsonb,
    Parts,
    Text,
    Time,
    Timestamp,
    Timestamptz,
    Timetz,
    Uuid,
)
from .transform import transform

__version__ = "0.1.0"

__all__ = [
    "Ahead",
    "Array",
    "Attrs",
    "BigInt",
    "Change",
    "Column",
    "Context",
    "Date",
    "Decimal",
    "Delete",
    "Doc",
    "DoublePrecision",
    "Fatal",
    "Identity",
    "Infinity",
    "Insert",
    "Int128",
    "Int16",
    "Int32",
    "Int64",
    "Integer",
    "Interval",
    "Json",
    "Jsonb",
    "Key",
    "Map",
    "Old",
    "Op",
    "Out",
    "Parts",
    "Phase",
    "Real",
    "Reject",
    "Retry",
    "SettingName",
    "SmallInt",
    "Span",
    "Text",
    "Time",
    "Timestamp",
    "Timestamptz",
    "Timetz",
    "Toasted",
    "Truncate",
    "UInt128",
    "UInt16",
    "UInt32",
    "UInt64",
    "Unchanged",
    "Update",
    "Uuid",
    "log",
    "public",
    "settings",
    "source",
    "state_value",
    "transform",
    "unchanged",
]
