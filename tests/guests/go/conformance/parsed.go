package main

import (
	"encoding/json"
	"math/big"
	"slices"
	"strings"

	pelton "github.com/pelton-dev/pelton/guest-sdk/go"
)

// Parsed is what the accessors make of a row.
type Parsed struct {
	ID int64 `pelton:",key"`
	// Twice c_numeric, with six digits behind the point; NaN and the infinities are handed on.
	NumericDoubled    *pelton.Decimal
	TimestampMicros   *int64
	TimestamptzMicros *int64
	DateDays          *int64
	TimeMicros        *int64
	IntervalMonths    *int64
	IntervalDays      *int64
	IntervalMicros    *int64
	// Which of timestamp, timestamptz, date and interval are infinite: date=infinity interval=-infinity.
	Infinite   string
	Int4sCount *int32 `pelton:"int4s_count"`
	// The sum of the elements that are not NULL.
	Int4sSum *int64 `pelton:"int4s_sum"`
	// The elements from the last to the first.
	TextsReversed *pelton.Array `pelton:",kind=text[]"`
	// The 128 bits as a number.
	UUIDNumber *pelton.Decimal
	// The member name of the object in c_json, if it is one, has it, and it is a string.
	JSONName *string
	// The length of c_large in bytes.
	LargeBytes pelton.Toasted[*int32]
}

func parse(row *Kinds) (*Parsed, error) {
	parsed := &Parsed{ID: row.ID}
	var infinite []string
	// finite returns what is finite, and notes what isn't.
	finite := func(column string, value int64, infinity int) *int64 {
		switch infinity {
		case 0:
			return &value
		case 1:
			infinite = append(infinite, column+"=infinity")
		default:
			infinite = append(infinite, column+"=-infinity")
		}
		return nil
	}
	if row.Timestamp != nil {
		moment, err := row.Timestamp.Micros()
		if err != nil {
			return nil, err
		}
		parsed.TimestampMicros = finite("timestamp", moment.At, moment.Infinity)
	}
	if row.Timestamptz != nil {
		moment, err := row.Timestamptz.UnixMicros()
		if err != nil {
			return nil, err
		}
		parsed.TimestamptzMicros = finite("timestamptz", moment.At, moment.Infinity)
	}
	if row.Date != nil {
		moment, err := row.Date.UnixDays()
		if err != nil {
			return nil, err
		}
		parsed.DateDays = finite("date", moment.At, moment.Infinity)
	}
	if row.Interval != nil {
		interval, err := row.Interval.Parts()
		if err != nil {
			return nil, err
		}
		if parsed.IntervalMonths = finite("interval", interval.Months, interval.Infinity); parsed.IntervalMonths != nil {
			parsed.IntervalDays, parsed.IntervalMicros = &interval.Days, &interval.Micros
		}
	}
	parsed.Infinite = strings.Join(infinite, " ")
	return parsed, parseRest(row, parsed)
}

func parseRest(row *Kinds, parsed *Parsed) error {
	if row.Int4s != nil {
		elements, err := row.Int4s.Ints()
		if err != nil {
			return err
		}
		count, sum := int32(len(elements)), int64(0)
		for _, element := range elements {
			if element != nil {
				sum += *element
			}
		}
		parsed.Int4sCount, parsed.Int4sSum = &count, &sum
	}
	if row.Texts != nil {
		elements, err := row.Texts.Elements()
		if err != nil {
			return err
		}
		slices.Reverse(elements)
		reversed := pelton.ArrayOf(elements...)
		parsed.TextsReversed = &reversed
	}
	if row.Numeric != nil {
		doubled, err := doubled(*row.Numeric)
		if err != nil {
			return err
		}
		parsed.NumericDoubled = &doubled
	}
	if row.Time != nil {
		micros, err := row.Time.Micros()
		if err != nil {
			return err
		}
		parsed.TimeMicros = &micros
	}
	if row.UUID != nil {
		bits, err := row.UUID.Bytes()
		if err != nil {
			return err
		}
		number := pelton.DecimalFromBig(new(big.Int).SetBytes(bits[:]), 0)
		parsed.UUIDNumber = &number
	}
	if row.JSON != nil {
		parsed.JSONName = name(*row.JSON)
	}
	if large, sent := row.Large.Get(); sent {
		parsed.LargeBytes = pelton.Value[*int32](nil)
		if large != nil {
			length := int32(len(*large))
			parsed.LargeBytes = pelton.Value(&length)
		}
	}
	return nil
}

func doubled(number pelton.Decimal) (pelton.Decimal, error) {
	switch number {
	case "NaN", "Infinity", "-Infinity":
		return number, nil
	}
	units, err := number.Scaled(6)
	if err != nil {
		return "", err
	}
	twice, ok := units.CheckedAdd(units)
	if !ok {
		return "", pelton.Reject("too-large", "a doubled numeric has more than 38 digits")
	}
	return pelton.DecimalFromScaled(twice, 6), nil
}

func name(document pelton.JSON) *string {
	var members map[string]json.RawMessage
	var name *string
	if document.Unmarshal(&members) != nil || json.Unmarshal(members["name"], &name) != nil {
		return nil
	}
	return name
}
