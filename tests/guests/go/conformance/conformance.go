// The conformance suite's transform: every kind of value, what accessors make of it, and every way to end.
// tests/conformance/README.md says what it does; the other languages' do the same.
package main

import pelton "github.com/pelton-dev/pelton/guest-sdk/go"

// Kinds is a row of public.kinds: a column of every kind.
type Kinds struct {
	ID          int64                   `pelton:"id,key"`
	Bool        *bool                   `pelton:"c_bool"`
	Int2        *int16                  `pelton:"c_int2"`
	Int4        *int32                  `pelton:"c_int4"`
	Int8        *int64                  `pelton:"c_int8"`
	Float4      *float32                `pelton:"c_float4"`
	Float8      *float64                `pelton:"c_float8"`
	Numeric     *pelton.Decimal         `pelton:"c_numeric"`
	Text        *string                 `pelton:"c_text"`
	Bytea       *[]byte                 `pelton:"c_bytea"`
	UUID        *pelton.UUID            `pelton:"c_uuid"`
	JSON        *pelton.JSON            `pelton:"c_json"`
	JSONB       *pelton.JSONB           `pelton:"c_jsonb"`
	Date        *pelton.Date            `pelton:"c_date"`
	Time        *pelton.Time            `pelton:"c_time"`
	Timetz      *pelton.Timetz          `pelton:"c_timetz"`
	Timestamp   *pelton.Timestamp       `pelton:"c_timestamp"`
	Timestamptz *pelton.Timestamptz     `pelton:"c_timestamptz"`
	Interval    *pelton.Interval        `pelton:"c_interval"`
	Enum        *string                 `pelton:"c_enum"`
	Int4s       *pelton.Array           `pelton:"c_int4s"`
	Texts       *pelton.Array           `pelton:"c_texts"`
	Range       *string                 `pelton:"c_range"`
	Large       pelton.Toasted[*string] `pelton:"c_large"`
}

// PublicKinds is the same row, handed on as it is.
type PublicKinds struct {
	ID          int64                   `pelton:"id,key"`
	Bool        *bool                   `pelton:"c_bool"`
	Int2        *int16                  `pelton:"c_int2"`
	Int4        *int32                  `pelton:"c_int4"`
	Int8        *int64                  `pelton:"c_int8"`
	Float4      *float32                `pelton:"c_float4"`
	Float8      *float64                `pelton:"c_float8"`
	Numeric     *pelton.Decimal         `pelton:"c_numeric"`
	Text        *string                 `pelton:"c_text"`
	Bytea       *[]byte                 `pelton:"c_bytea"`
	UUID        *pelton.UUID            `pelton:"c_uuid"`
	JSON        *pelton.JSON            `pelton:"c_json"`
	JSONB       *pelton.JSONB           `pelton:"c_jsonb"`
	Date        *pelton.Date            `pelton:"c_date"`
	Time        *pelton.Time            `pelton:"c_time"`
	Timetz      *pelton.Timetz          `pelton:"c_timetz"`
	Timestamp   *pelton.Timestamp       `pelton:"c_timestamp"`
	Timestamptz *pelton.Timestamptz     `pelton:"c_timestamptz"`
	Interval    *pelton.Interval        `pelton:"c_interval"`
	Enum        *string                 `pelton:"c_enum,kind=enum"`
	Int4s       *pelton.Array           `pelton:"c_int4s,kind=integer[]"`
	Texts       *pelton.Array           `pelton:"c_texts,kind=text[]"`
	Range       *string                 `pelton:"c_range,kind=int4range"`
	Large       pelton.Toasted[*string] `pelton:"c_large"`
}

var options struct {
	Greeting string  `doc:"Stands before what is logged."`
	Limit    int64   `default:"10" doc:"How often a name may be counted."`
	Label    *string `doc:"Is logged beside the greeting."`
}

var transform = pelton.Transform{
	Name:    "conformance",
	Version: "1.0.0",
	Publishes: []*pelton.PublicSchema{
		pelton.Public[PublicKinds]("kinds", "1.0"),
		pelton.Public[Parsed]("parsed", "1.0"),
		pelton.Public[Counted]("counts", "1.0"),
	},
	Tables: []pelton.Handler{
		pelton.Table("public.kinds", kinds),
		pelton.Message("command", command),
	},
	Settings:     &options,
	StateVersion: 1,
}

func init() { pelton.Export(&transform) }

func main() {}

func kinds(change pelton.Change[Kinds], out *pelton.Out) error {
	err := pelton.Map(out, change, func(row *Kinds) (*PublicKinds, error) {
		public := PublicKinds(*row)
		return &public, nil
	})
	if err != nil {
		return err
	}
	return pelton.Map(out, change, parse)
}
