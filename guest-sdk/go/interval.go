package pelton

import "strings"

// IntervalParts is an interval as Postgres keeps it: the parts do not turn into each other.
type IntervalParts struct {
	Months, Days, Micros int64
	// Infinity is 1 for infinity, -1 for -infinity (since Postgres 17), 0 for all others.
	Infinity int
}

// Parts returns months, days and microseconds, or a rejection of a text that is no interval in Postgres's own style.
func (i Interval) Parts() (IntervalParts, error) {
	switch i {
	case "infinity":
		return IntervalParts{Infinity: 1}, nil
	case "-infinity":
		return IntervalParts{Infinity: -1}, nil
	}
	if parts, ok := parseInterval(string(i)); ok {
		return parts, nil
	}
	return IntervalParts{}, unreadable("interval")
}

func parseInterval(text string) (parts IntervalParts, ok bool) {
	words := strings.Split(text, " ")
	for len(words) > 0 {
		number, sign := signed(words[0])
		if strings.Contains(number, ":") {
			parts.Micros, ok = parseClock(number)
			parts.Micros *= sign
			return parts, ok && len(words) == 1
		}
		value, ok := parseNumber(number)
		if !ok || len(words) < 2 {
			return parts, false
		}
		value *= sign
		switch words[1] {
		case "year", "years":
			parts.Months += value * 12
		case "mon", "mons":
			parts.Months += value
		case "day", "days":
			parts.Days += value
		default:
			return parts, false
		}
		words = words[2:]
	}
	return parts, true
}

func signed(number string) (digits string, sign int64) {
	if digits, negative := strings.CutPrefix(number, "-"); negative {
		return digits, -1
	}
	return strings.TrimPrefix(number, "+"), 1
}
