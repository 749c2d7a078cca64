package pelton

import (
	"math"
	"strings"
	"time"
)

// Dates, times and intervals as numbers.

// Moment is a point in time as Postgres knows them: there are two infinite ones.
type Moment struct {
	// At is a number of days or microseconds, of a finite one.
	At int64
	// Infinity is 1 for infinity, -1 for -infinity, 0 for all others.
	Infinity int
}

// IsInfinite returns true for infinity and -infinity.
func (m Moment) IsInfinite() bool { return m.Infinity != 0 }

// UnixDays returns the days since 1970-01-01, or a rejection of a text that is no date.
func (d Date) UnixDays() (Moment, error) {
	return moment(string(d), "date", parseDate)
}

// Micros returns the microseconds since 1970-01-01 of the same clock, or a rejection of a text that is no timestamp.
func (t Timestamp) Micros() (Moment, error) {
	return moment(string(t), "timestamp", parseTimestamp)
}

// UnixMicros returns the microseconds since 1970-01-01 UTC, or a rejection of a text that is no such timestamp.
func (t Timestamptz) UnixMicros() (Moment, error) {
	return moment(string(t), "timestamp with time zone", func(text string, bc bool) (int64, bool) {
		// The zone's sign stands behind the date's hyphens.
		clock := strings.IndexByte(text, ' ')
		if clock < 0 {
			return 0, false
		}
		sign := strings.LastIndexAny(text, "+-")
		if sign < clock {
			return 0, false
		}
		seconds, ok := parseZone(text[sign:])
		if !ok || seconds > math.MaxInt64/1_000_000 || seconds < -math.MaxInt64/1_000_000 {
			return 0, false
		}
		micros, ok := parseTimestamp(text[:sign], bc)
		if !ok {
			return 0, false
		}
		return add64(micros, -seconds*1_000_000)
	})
}

// Time returns the moment in the standard library's type; false for infinity and -infinity.
func (t Timestamptz) Time() (time.Time, bool, error) {
	at, err := t.UnixMicros()
	if err != nil || at.IsInfinite() {
		return time.Time{}, false, err
	}
	return time.UnixMicro(at.At).UTC(), true, nil
}

// Micros returns the microseconds since midnight, or a rejection of a text that is no time.
func (t Time) Micros() (int64, error) {
	if micros, ok := parseClock(string(t)); ok {
		return micros, nil
	}
	return 0, unreadable("time")
}

func moment(text, what string, at func(text string, bc bool) (int64, bool)) (Moment, error) {
	switch text {
	case "infinity":
		return Moment{Infinity: 1}, nil
	case "-infinity":
		return Moment{Infinity: -1}, nil
	}
	text, bc := strings.CutSuffix(text, " BC")
	if found, ok := at(text, bc); ok {
		return Moment{At: found}, nil
	}
	return Moment{}, unreadable(what)
}

// parseNumber reads up to 10 digits, which are the most that Postgres prints, and nothing else.
func parseNumber(digits string) (int64, bool) {
	if digits == "" || len(digits) > 10 {
		return 0, false
	}
	value := int64(0)
	for i := range len(digits) {
		digit := digits[i] - '0'
		if digit > 9 {
			return 0, false
		}
		value = value*10 + int64(digit)
	}
	return value, true
}

// cutNumber reads the number before a separator.
func cutNumber(text, separator string) (value int64, rest string, ok bool) {
	digits, rest, found := strings.Cut(text, separator)
	value, ok = parseNumber(digits)
	return value, rest, ok && found
}

func parseDate(text string, bc bool) (int64, bool) {
	year, rest, ok := cutNumber(text, "-")
	if !ok {
		return 0, false
	}
	month, rest, ok := cutNumber(rest, "-")
	if !ok || month < 1 || month > 12 {
		return 0, false
	}
	day, ok := parseNumber(rest)
	if !ok || day < 1 || day > 31 {
		return 0, false
	}
	if bc {
		// 1 BC is the year 0.
		year = 1 - year
	}
	// Days since 0000-03-01 in the proleptic Gregorian calendar: years begin in March, so leap days end them.
	if month <= 2 {
		year, month = year-1, month+9
	} else {
		month -= 3
	}
	era := year / 400
	if year%400 < 0 {
		era--
	}
	ofEra := year - era*400
	ofYear := (153*month+2)/5 + day - 1
	return era*146_097 + ofEra*365 + ofEra/4 - ofEra/100 + ofYear - 719_468, true
}

func parseTimestamp(text string, bc bool) (int64, bool) {
	date, clock, ok := strings.Cut(text, " ")
	if !ok {
		return 0, false
	}
	days, ok := parseDate(date, bc)
	if !ok {
		return 0, false
	}
	micros, ok := parseClock(clock)
	if !ok || days > math.MaxInt64/dayMicros || days < math.MinInt64/dayMicros {
		return 0, false
	}
	return add64(days*dayMicros, micros)
}

const dayMicros = 86_400_000_000

// add64 adds where 64 bits can hold the sum.
func add64(a, b int64) (int64, bool) {
	sum := a + b
	return sum, (sum > a) == (b > 0)
}

func parseClock(text string) (int64, bool) {
	hours, rest, ok := cutNumber(text, ":")
	if !ok {
		return 0, false
	}
	minutes, rest, ok := cutNumber(rest, ":")
	if !ok {
		return 0, false
	}
	whole, fraction, found := strings.Cut(rest, ".")
	seconds, ok := parseNumber(whole)
	if !ok || len(fraction) > 6 {
		return 0, false
	}
	seconds += hours*3600 + minutes*60
	if seconds > math.MaxInt64/1_000_000 {
		return 0, false
	}
	micros := seconds * 1_000_000
	if found {
		part, ok := parseNumber(fraction)
		if !ok {
			return 0, false
		}
		for range 6 - len(fraction) {
			part *= 10
		}
		micros += part
	}
	return micros, micros >= 0
}

// parseZone reads +hh, -hh:mm or +hh:mm:ss as seconds.
func parseZone(text string) (int64, bool) {
	seconds, unit := int64(0), int64(3600)
	for part := range strings.SplitSeq(text[1:], ":") {
		number, ok := parseNumber(part)
		if !ok {
			return 0, false
		}
		seconds += number * unit
		unit /= 60
	}
	if text[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}
