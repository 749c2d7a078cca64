"""``public.kinds``: a column of every kind."""

from typing import Annotated

from pelton_sdk import (
    Array,
    Column,
    Date,
    Decimal,
    Integer,
    Interval,
    Json,
    Jsonb,
    Key,
    Real,
    SmallInt,
    Time,
    Timestamp,
    Timestamptz,
    Timetz,
    Toasted,
    Uuid,
    public,
    source,
)


@source("public.kinds")
class Kinds:
    id: Key[int]
    c_bool: bool | None
    c_int2: SmallInt | None
    c_int4: Integer | None
    c_int8: int | None
    c_float4: Real | None
    c_float8: float | None
    c_numeric: Decimal | None
    c_text: str | None
    c_bytea: bytes | None
    c_uuid: Uuid | None
    c_json: Json | None
    c_jsonb: Jsonb | None
    c_date: Date | None
    c_time: Time | None
    c_timetz: Timetz | None
    c_timestamp: Timestamp | None
    c_timestamptz: Timestamptz | None
    c_interval: Interval | None
    c_enum: str | None
    c_int4s: Array | None
    c_texts: Array | None
    c_range: str | None
    c_large: Toasted[str | None]


@public("kinds", "1.0")
class PublicKinds:
    """The same row, handed on as it is."""

    id: Key[int]
    c_bool: bool | None
    c_int2: SmallInt | None
    c_int4: Integer | None
    c_int8: int | None
    c_float4: Real | None
    c_float8: float | None
    c_numeric: Decimal | None
    c_text: str | None
    c_bytea: bytes | None
    c_uuid: Uuid | None
    c_json: Json | None
    c_jsonb: Jsonb | None
    c_date: Date | None
    c_time: Time | None
    c_timetz: Timetz | None
    c_timestamp: Timestamp | None
    c_timestamptz: Timestamptz | None
    c_interval: Interval | None
    c_enum: Annotated[str | None, Column(kind="enum")]
    c_int4s: Annotated[Array | None, Column(kind="integer[]")]
    c_texts: Annotated[Array | None, Column(kind="text[]")]
    c_range: Annotated[str | None, Column(kind="int4range")]
    c_large: Toasted[str | None]


def handed_on(row: Kinds) -> PublicKinds:
    return PublicKinds(
        id=row.id,
        c_bool=row.c_bool,
        c_int2=row.c_int2,
        c_int4=row.c_int4,
        c_int8=row.c_int8,
        c_float4=row.c_float4,
        c_float8=row.c_float8,
        c_numeric=row.c_numeric,
        c_text=row.c_text,
        c_bytea=row.c_bytea,
        c_uuid=row.c_uuid,
        c_json=row.c_json,
        c_jsonb=row.c_jsonb,
        c_date=row.c_date,
        c_time=row.c_time,
        c_timetz=row.c_timetz,
        c_timestamp=row.c_timestamp,
        c_timestamptz=row.c_timestamptz,
        c_interval=row.c_interval,
        c_enum=row.c_enum,
        c_int4s=row.c_int4s,
        c_texts=row.c_texts,
        c_range=row.c_range,
        c_large=row.c_large,
    )
