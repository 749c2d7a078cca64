"""What the accessors make of a row."""

from typing import Annotated, TypeVar

from pelton_sdk import Array, Column, Decimal, Infinity, Integer, Json, Key, Parts, Reject, Toasted, Unchanged, public

from kinds import Kinds

T = TypeVar("T", int, Parts)


@public("parsed", "1.0")
class Parsed:
    id: Key[int]
    #: Twice ``c_numeric``, with six digits behind the point; NaN and the infinities are handed on.
    numeric_doubled: Decimal | None
    timestamp_micros: int | None
    timestamptz_micros: int | None
    date_days: int | None
    time_micros: int | None
    interval_months: int | None
    interval_days: int | None
    interval_micros: int | None
    #: Which of ``timestamp``, ``timestamptz``, ``date`` and ``interval`` are infinite.
    infinite: str
    int4s_count: Integer | None
    #: The sum of the elements that are not NULL.
    int4s_sum: int | None
    #: The elements from the last to the first.
    texts_reversed: Annotated[Array | None, Column(kind="text[]")]
    #: The 128 bits as a number.
    uuid_number: Decimal | None
    #: The member ``name`` of the object in ``c_json``, if it is one, has it, and it is a string.
    json_name: str | None
    #: The length of ``c_large`` in bytes.
    large_bytes: Toasted[Integer | None]


def parse(row: Kinds) -> Parsed:
    infinite: list[str] = []

    def finite(column: str, moment: T | Infinity | None) -> T | None:
        """Returns what is finite, and notes what isn't."""
        if isinstance(moment, Infinity):
            infinite.append(f"{column}={moment.value}")
            return None
        return moment

    timestamp_micros = finite("timestamp", row.c_timestamp and row.c_timestamp.micros())
    timestamptz_micros = finite("timestamptz", row.c_timestamptz and row.c_timestamptz.unix_micros())
    date_days = finite("date", row.c_date and row.c_date.unix_days())
    interval = finite("interval", row.c_interval and row.c_interval.parts())
    int4s = None if row.c_int4s is None else row.c_int4s.elements(int)
    texts = None if row.c_texts is None else row.c_texts.elements()
    return Parsed(
        id=row.id,
        numeric_doubled=row.c_numeric and doubled(row.c_numeric),
        timestamp_micros=timestamp_micros,
        timestamptz_micros=timestamptz_micros,
        date_days=date_days,
        time_micros=row.c_time and row.c_time.micros(),
        interval_months=None if interval is None else interval.months,
        interval_days=None if interval is None else interval.days,
        interval_micros=None if interval is None else interval.micros,
        infinite=" ".join(infinite),
        int4s_count=None if int4s is None else len(int4s),
        int4s_sum=None if int4s is None else sum(element for element in int4s if element is not None),
        texts_reversed=None if texts is None else Array.of(reversed(texts)),
        uuid_number=row.c_uuid and Decimal(str(row.c_uuid.to_int())),
        json_name=row.c_json and name(row.c_json),
        large_bytes=row.c_large if row.c_large is None or isinstance(row.c_large, Unchanged) else len(row.c_large.encode()),
    )


def doubled(number: Decimal) -> Decimal:
    if number.text in ("NaN", "Infinity", "-Infinity"):
        return number
    units = number.scaled(6) * 2
    if not -(2**127) <= units < 2**127:
        raise Reject("too-large", "a doubled numeric has more than 38 digits")
    return Decimal.from_scaled(units, 6)


def name(json: Json) -> str | None:
    members = json.parse()
    found = members.get("name") if isinstance(members, dict) else None
    return found if isinstance(found, str) else None
