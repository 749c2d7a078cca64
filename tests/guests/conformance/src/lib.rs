//! The conformance suite's transform: every kind of value, what accessors make of it, and every way to end.
//! `tests/conformance/README.md` says what it does; the other languages' do the same.

use pelton_sdk::prelude::*;

mod command;
mod parsed;

/// A row of `public.kinds`: a column of every kind.
#[derive(Source, Clone)]
#[source(table = "public.kinds")]
struct Kinds<'a> {
    #[key]
    id: i64,
    c_bool: Option<bool>,
    c_int2: Option<i16>,
    c_int4: Option<i32>,
    c_int8: Option<i64>,
    c_float4: Option<f32>,
    c_float8: Option<f64>,
    c_numeric: Option<Decimal<&'a str>>,
    c_text: Option<&'a str>,
    c_bytea: Option<&'a [u8]>,
    c_uuid: Option<Uuid<&'a str>>,
    c_json: Option<Json<&'a str>>,
    c_jsonb: Option<Jsonb<&'a str>>,
    c_date: Option<Date<&'a str>>,
    c_time: Option<Time<&'a str>>,
    c_timetz: Option<Timetz<&'a str>>,
    c_timestamp: Option<Timestamp<&'a str>>,
    c_timestamptz: Option<Timestamptz<&'a str>>,
    c_interval: Option<Interval<&'a str>>,
    c_enum: Option<&'a str>,
    c_int4s: Option<Array<&'a str>>,
    c_texts: Option<Array<&'a str>>,
    c_range: Option<&'a str>,
    c_large: Toasted<Option<&'a str>>,
}

/// The same row, handed on as it is.
#[derive(Public)]
#[public(name = "kinds", version = "1.0")]
struct PublicKinds<'a> {
    #[key]
    id: i64,
    c_bool: Option<bool>,
    c_int2: Option<i16>,
    c_int4: Option<i32>,
    c_int8: Option<i64>,
    c_float4: Option<f32>,
    c_float8: Option<f64>,
    c_numeric: Option<Decimal<&'a str>>,
    c_text: Option<&'a str>,
    c_bytea: Option<&'a [u8]>,
    c_uuid: Option<Uuid<&'a str>>,
    c_json: Option<Json<&'a str>>,
    c_jsonb: Option<Jsonb<&'a str>>,
    c_date: Option<Date<&'a str>>,
    c_time: Option<Time<&'a str>>,
    c_timetz: Option<Timetz<&'a str>>,
    c_timestamp: Option<Timestamp<&'a str>>,
    c_timestamptz: Option<Timestamptz<&'a str>>,
    c_interval: Option<Interval<&'a str>>,
    #[column(kind = "enum")]
    c_enum: Option<&'a str>,
    #[column(kind = "integer[]")]
    c_int4s: Option<Array<&'a str>>,
    #[column(kind = "text[]")]
    c_texts: Option<Array<&'a str>>,
    #[column(kind = "int4range")]
    c_range: Option<&'a str>,
    c_large: Toasted<Option<&'a str>>,
}

/// A logical message with the prefix `command`.
#[derive(Source)]
#[source(message = "command")]
struct Command<'a> {
    transactional: bool,
    content: &'a [u8],
}

#[derive(Settings)]
struct Options {
    /// Stands before what is logged.
    greeting: String,
    /// How often a name may be counted.
    #[setting(default = 10)]
    limit: i64,
    /// Is logged beside the greeting.
    label: Option<String>,
}

struct Conformance {
    options: Options,
}

#[transform(name = "conformance", publishes(PublicKinds, parsed::Parsed, command::Counted), state_version = 1)]
impl Conformance {
    fn init(options: Options) -> Result<Self> {
        Ok(Conformance { options })
    }

    fn kinds(&self, change: Change<Kinds<'_>>, out: &mut Out) -> Result<()> {
        out.map(change.clone(), |row| Some(handed_on(row)))?;
        out.map(change, |row| parsed::parse(row).map(Some))
    }

    fn commands(&self, change: Change<Command<'_>>, out: &mut Out) -> Result<()> {
        let Change::Insert(command) = change else { return Ok(()) };
        command::obey(&self.options, command.content, command.transactional, out)
    }
}

fn handed_on(row: Kinds<'_>) -> PublicKinds<'_> {
    PublicKinds {
        id: row.id,
        c_bool: row.c_bool,
        c_int2: row.c_int2,
        c_int4: row.c_int4,
        c_int8: row.c_int8,
        c_float4: row.c_float4,
        c_float8: row.c_float8,
        c_numeric: row.c_numeric,
        c_text: row.c_text,
        c_bytea: row.c_bytea,
        c_uuid: row.c_uuid,
        c_json: row.c_json,
        c_jsonb: row.c_jsonb,
        c_date: row.c_date,
        c_time: row.c_time,
        c_timetz: row.c_timetz,
        c_timestamp: row.c_timestamp,
        c_timestamptz: row.c_timestamptz,
        c_interval: row.c_interval,
        c_enum: row.c_enum,
        c_int4s: row.c_int4s,
        c_texts: row.c_texts,
        c_range: row.c_range,
        c_large: row.c_large,
    }
}
