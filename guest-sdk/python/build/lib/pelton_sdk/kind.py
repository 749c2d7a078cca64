"""What a column holds, by Postgres's name: decides how its values travel.

Everything without a name here is printed by Postgres and travels as that text.
"""

from typing import Final

#: The kinds that do not travel as Postgres's text.
NATIVE: Final = frozenset({"boolean", "smallint", "integer", "bigint", "real", "double precision", "bytea"})

#: The kinds with a case of their own in the contract that do.
TEXTUAL: Final = frozenset(
    {
        "numeric",
        "text",
        "uuid",
        "json",
        "jsonb",
        "date",
        "time",
        "timetz",
        "timestamp",
        "timestamptz",
        "interval",
        "enum",
    }
)


def is_text(kind: str) -> bool:
    """Returns true for the kinds that travel as Postgres's text."""
    return kind not in NATIVE


def is_other(kind: str) -> bool:
    """Returns true for ranges, composites, domains, extensions' types: what has a name of its own."""
    return kind not in NATIVE and kind not in TEXTUAL and not kind.endswith("[]")
