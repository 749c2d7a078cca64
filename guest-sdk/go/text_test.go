package pelton

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
)

// show prints a result for comparison: its value, or the code of its rejection.
func show(value any, err error) string {
	if rejected, ok := err.(*Error); ok {
		return rejected.Code
	}
	return fmt.Sprint(value)
}

func TestNumericsAreCountedExactly(t *testing.T) {
	for text, units := range map[Decimal]string{"12.5": "1250", "-0.01": "-1", "0": "0", "7": "700", ".5": "50", "1.500": "150",
		"-3.": "-300", "170141183460469231731687303715884105.727": "scale",
		"1701411834604692317316873037158841057.27":  "170141183460469231731687303715884105727",
		"-1701411834604692317316873037158841057.27": "-170141183460469231731687303715884105727",
		"1701411834604692317316873037158841057.28":  "too-large",
		"": "unreadable", ".": "unreadable", "1.005": "scale", "NaN": "not-finite", "-Infinity": "not-finite", "1e5": "unreadable",
		"--1": "unreadable", "1.2.3": "scale", "1.x": "unreadable", Decimal(strings.Repeat("9", 40)): "too-large"} {
		scaled, err := text.Scaled(2)
		same(t, string(text), show(scaled, err), units)
	}
	for units, text := range map[int64]Decimal{1250: "12.50", -1: "-0.01", 0: "0.00", -12345: "-123.45"} {
		same(t, "from scaled", DecimalFromScaled(Int128Of(units), 2), text)
		same(t, "from big", DecimalFromBig(big.NewInt(units), 2), text)
	}
	same(t, "scale 0", DecimalFromScaled(Int128Of(-5), 0), "-5")
	for text, want := range map[Decimal]string{"12.50": "25/2", "-0.1": "-1/10", "NaN": "not-finite", "1/2": "unreadable",
		"1e5": "unreadable", "": "unreadable"} {
		rat, err := text.Rat()
		same(t, "rat", show(rat, err), want)
	}
	for text, want := range map[Decimal]string{"0.1": "0.1", "NaN": "NaN", "-Infinity": "-Inf", "x": "unreadable"} {
		float, err := text.Float64()
		same(t, "float", show(float, err), want)
	}
}

func TestAnInt128IsAsBigsAre(t *testing.T) {
	edges := []string{"0", "1", "-1", "9223372036854775807", "-9223372036854775808", "18446744073709551616", "-18446744073709551617",
		"10000000000000000000", "100000000000000000000000000000000000000", "170141183460469231731687303715884105727",
		"-170141183460469231731687303715884105728"}
	for _, first := range edges {
		a, _ := new(big.Int).SetString(first, 10)
		x, ok := Int128OfBig(a)
		if !ok || x.String() != first || x.Big().Cmp(a) != 0 {
			t.Errorf("%s comes back as %s and %s", first, x, x.Big())
		}
		narrow, fits := x.Int64()
		same(t, first, fits, a.IsInt64())
		if fits {
			same(t, first, Int128Of(narrow), x)
		}
		for _, second := range edges {
			b, _ := new(big.Int).SetString(second, 10)
			y, _ := Int128OfBig(b)
			same(t, "cmp", x.Cmp(y), a.Cmp(b))
			checkArithmetic(t, new(big.Int).Add(a, b), func() Int128 { return x.Add(y) })
			checkArithmetic(t, new(big.Int).Sub(a, b), func() Int128 { return x.Sub(y) })
		}
	}
	if _, ok := Int128OfBig(new(big.Int).Lsh(big.NewInt(1), 127)); ok {
		t.Error("128 bits without a sign fit")
	}
}

// checkArithmetic compares, and wants a panic where the result has more than 128 bits.
func checkArithmetic(t *testing.T, want *big.Int, compute func() Int128) {
	t.Helper()
	expected, fits := Int128OfBig(want)
	defer func() {
		if overflowed := recover() != nil; overflowed == fits {
			t.Errorf("%s: overflow is %v", want, overflowed)
		}
	}()
	same(t, "result", compute(), expected)
}

func TestDatesAreDaysSince1970(t *testing.T) {
	for text, days := range map[Date]string{"1970-01-01": "{0 0}", "1969-12-31": "{-1 0}", "2000-02-29": "{11016 0}",
		"0001-01-01": "{-719162 0}", "0001-12-31 BC": "{-719163 0}", "4714-11-24 BC": "{-2440588 0}",
		"5874897-12-31": "{2145042905 0}", "-infinity": "{0 -1}", "infinity": "{0 1}", "": "unreadable", "2000": "unreadable",
		"2000-13-01": "unreadable", "x-01-01": "unreadable", "2000-01-": "unreadable", "2000-01-01 12:00:00": "unreadable"} {
		moment, err := text.UnixDays()
		same(t, string(text), show(moment, err), days)
	}
}

func TestTimestampsAreMicrosecondsSince1970(t *testing.T) {
	for text, micros := range map[Timestamp]string{"1970-01-01 00:00:01.5": "{1500000 0}", "1970-01-01 24:00:00": "{86400000000 0}",
		"infinity": "{0 1}", "1970-01-01": "unreadable", "294247-01-10 04:00:54.775807": "{9223372036854775807 0}",
		"294247-01-10 04:00:54.775808": "unreadable", "999999-01-01 00:00:00": "unreadable"} {
		moment, err := text.Micros()
		same(t, string(text), show(moment, err), micros)
	}
	for text, micros := range map[Timestamptz]string{"1970-01-01 00:00:00+00": "{0 0}", "1970-01-01 01:00:00+01": "{0 0}",
		"1969-12-31 18:30:00.000001-05:30": "{1 0}", "2024-07-01 12:34:56.789012+00": "{1719837296789012 0}",
		"0001-12-31 23:59:59+00 BC": "{-62135596801000000 0}", "": "unreadable", "1970-01-01": "unreadable",
		"1970-01-01 00:00:00": "unreadable", "1970-01-01 0:0+00": "unreadable", "1970-01-01 00:00:00.1234567+00": "unreadable",
		"294247-01-10 04:00:54-01": "unreadable", "294247-01-10 04:00:54.775808+00": "unreadable", "ä +": "unreadable", "-infinity": "{0 -1}"} {
		moment, err := text.UnixMicros()
		same(t, string(text), show(moment, err), micros)
	}
	at, finite, err := Timestamptz("2024-07-01 12:34:56.789012+00").Time()
	same(t, "time", fmt.Sprint(at, finite, err), "2024-07-01 12:34:56.789012 +0000 UTC true <nil>")
	for text, micros := range map[Time]string{"00:00:00": "0", "13:45:00.5": "49500500000", "24:00:00": "86400000000", "1:2": "unreadable",
		"00:00:00.": "unreadable"} {
		read, err := text.Micros()
		same(t, string(text), show(read, err), micros)
	}
}

func TestIntervalsAreTheirParts(t *testing.T) {
	for text, parts := range map[Interval]string{"1 year 2 mons 3 days 04:05:06": "{14 3 14706000000 0}", "00:00:00": "{0 0 0 0}",
		"-1 years -2 mons +3 days -04:05:06.789": "{-14 3 -14706789000 0}", "1 mon": "{1 0 0 0}", "-infinity": "{0 0 0 -1}",
		"infinity": "{0 0 0 1}", "178000000 years": "{2136000000 0 0 0}", "2562047788:00:54.775807": "{0 0 9223372036854775807 0}",
		"9999999999:00:00": "unreadable", "5124095577:00:00": "unreadable", "1 day ": "unreadable", "1 day  2 mons": "unreadable", "1:2": "unreadable", "": "unreadable", "1": "unreadable", "1 week": "unreadable", "04:05:06 1 day": "unreadable"} {
		read, err := text.Parts()
		same(t, string(text), show(read, err), parts)
	}
}

func TestAUUIDIsItsBits(t *testing.T) {
	bits, err := UUID("00000000-0000-0001-0000-0000000000ff").Bytes()
	same(t, "bits", fmt.Sprintf("%x %v", bits, err), "000000000000000100000000000000ff <nil>")
	for _, text := range []UUID{"", "xyz", "+0000000000000010000000000000000", "00000000-0000-0001-0000-0000000000ff0"} {
		_, err := text.Bytes()
		same(t, string(text), show("", err), "unreadable")
	}
}

func TestADocumentIsUnmarshalledOrRejectedWithoutBeingShown(t *testing.T) {
	var into struct{ Name string }
	if err := JSONB(`{"name": "Ann"}`).Unmarshal(&into); err != nil || into.Name != "Ann" {
		t.Error(into, err)
	}
	err := JSON(`{"name": 5}`).Unmarshal(&into)
	same(t, "error", err.Error(), "rejected (unreadable): a json document is not what the transform expects")
}

func elements(array Array) string {
	read, err := array.Elements()
	if err != nil {
		return show("", err)
	}
	var shown []string
	for _, element := range read {
		if element == nil {
			shown = append(shown, "NULL")
		} else {
			shown = append(shown, fmt.Sprintf("%q", *element))
		}
	}
	return strings.Join(shown, " ")
}

func TestArraysAreReadAsPostgresPrintsThem(t *testing.T) {
	for text, want := range map[Array]string{"{}": "", "{1,2}": `"1" "2"`,
		`{a,NULL,"NULL","","a,b","c\"d","e\\f"}`: `"a" NULL "NULL" "" "a,b" "c\"d" "e\\f"`, "[0:1]={x,y}": `"x" "y"`} {
		same(t, string(text), elements(text), want)
	}
	for _, text := range []Array{"", "{", "}", "{a", "{{1,2},{3,4}}", "{a,}", `{"a"b}`, `{"a}`, "[0:1]{a}", `{"a\`} {
		same(t, string(text), elements(text), "unreadable")
	}
	a, quoted := "a", `q"\,{}`
	same(t, "made", elements(ArrayOf(&a, nil, &quoted)), `"a" NULL "q\"\\,{}"`)
	ints, err := Array("{1,NULL,-3}").Ints()
	if err != nil || len(ints) != 3 || *ints[0] != 1 || ints[1] != nil || *ints[2] != -3 {
		t.Error(ints, err)
	}
	_, err = Array("{x}").Ints()
	same(t, "no integer", show("", err), "unreadable")
}
