package pelton

import (
	"encoding/hex"
	"encoding/json"
	"strings"
)

// Values that travel as Postgres's own text, read on demand.
//
// A numeric, a date or a uuid arrives as Postgres prints it, and usually it leaves as it came: so these types are the
// text, lose nothing, and are read only where an author asks.

// Decimal is numeric: exact, of any size, or NaN, Infinity, -Infinity.
type Decimal string

// Date is date, such as 2024-02-29, 0044-03-15 BC or infinity.
type Date string

// Time is time, such as 13:45:00.5; 24:00:00 is one.
type Time string

// Timetz is time with time zone.
type Timetz string

// Timestamp is timestamp: of no known place.
type Timestamp string

// Timestamptz is timestamp with time zone: a moment, printed in UTC.
type Timestamptz string

// Interval is interval, in Postgres's own style: 1 year 2 mons 3 days 04:05:06.
type Interval string

// UUID is uuid.
type UUID string

// JSON is json: text as it was written, with its spaces and the order of its keys.
type JSON string

// JSONB is jsonb.
type JSONB string

// Array is an array of any type. In a public row name its type, `pelton:"tags,kind=integer[]"`; otherwise it is text[].
type Array string

// Bytes returns the 128 bits, or a rejection of a text that is no uuid.
func (u UUID) Bytes() ([16]byte, error) {
	var bits [16]byte
	digits := strings.ReplaceAll(string(u), "-", "")
	if len(digits) != 32 {
		return bits, unreadable("uuid")
	}
	if _, err := hex.Decode(bits[:], []byte(digits)); err != nil {
		return bits, unreadable("uuid")
	}
	return bits, nil
}

// Unmarshal parses the document as [json.Unmarshal] does, but its error is a rejection that does not show the document.
func (j JSON) Unmarshal(into any) error { return unmarshal(string(j), into) }

// Unmarshal parses the document as [json.Unmarshal] does, but its error is a rejection that does not show the document.
func (j JSONB) Unmarshal(into any) error { return unmarshal(string(j), into) }

func unmarshal(text string, into any) error {
	if json.Unmarshal([]byte(text), into) != nil {
		return Reject("unreadable", "a json document is not what the transform expects")
	}
	return nil
}

// unreadable is the error for a text that is not what its type says. It does not show the text: values stay out of logs.
func unreadable(what string) error {
	return Reject("unreadable", "a text that should be a %s is none", what)
}
