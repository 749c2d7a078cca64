package pelton

import (
	"math/big"
	"strconv"
	"strings"
)

// Scaled returns the number in units of 10^-scale: 12.5 with scale 2 is 1250.
//
// The error is a rejection: it has more digits behind the point than that, is not finite, or does not fit.
func (d Decimal) Scaled(scale int) (Int128, error) {
	switch d {
	case "NaN", "Infinity", "-Infinity":
		return Int128{}, Reject("not-finite", "a numeric is NaN or infinite")
	}
	digits, negative := strings.CutPrefix(string(d), "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if whole == "" && fraction == "" {
		return Int128{}, unreadable("numeric")
	}
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > scale {
		return Int128{}, Reject("scale", "a numeric has more than %d digits behind the point", scale)
	}
	var units Int128
	for _, part := range [2]string{whole, fraction} {
		for i := range len(part) {
			digit := part[i] - '0'
			if digit > 9 {
				return Int128{}, unreadable("numeric")
			}
			if !units.shiftIn(digit) {
				return Int128{}, errTooLarge()
			}
		}
	}
	for range scale - len(fraction) {
		if !units.shiftIn(0) {
			return Int128{}, errTooLarge()
		}
	}
	if negative {
		units = units.Neg()
	}
	return units, nil
}

func errTooLarge() error {
	return Reject("too-large", "a numeric has more than 38 digits")
}

// Rat returns the exact number, of any size, or a rejection if it is not finite.
func (d Decimal) Rat() (*big.Rat, error) {
	switch d {
	case "NaN", "Infinity", "-Infinity":
		return nil, Reject("not-finite", "a numeric is NaN or infinite")
	}
	// Postgres prints neither exponents nor fractions.
	if rat, ok := new(big.Rat).SetString(string(d)); ok && strings.Trim(string(d), "-.0123456789") == "" {
		return rat, nil
	}
	return nil, unreadable("numeric")
}

// Float64 returns the nearest float, or a rejection of a text that is no number.
func (d Decimal) Float64() (float64, error) {
	value, err := strconv.ParseFloat(string(d), 64)
	if err != nil && value == 0 {
		return 0, unreadable("numeric")
	}
	return value, nil
}

// DecimalFromScaled returns units times 10^-scale: 1250 with scale 2 is 12.50.
func DecimalFromScaled(units Int128, scale int) Decimal {
	var buffer [39]byte
	return decimalOf(units.Sign() < 0, string(units.appendDigits(buffer[:0])), scale)
}

// DecimalFromBig returns units times 10^-scale, whatever their size.
func DecimalFromBig(units *big.Int, scale int) Decimal {
	return decimalOf(units.Sign() < 0, new(big.Int).Abs(units).String(), scale)
}

func decimalOf(negative bool, digits string, scale int) Decimal {
	sign := ""
	if negative {
		sign = "-"
	}
	if scale == 0 {
		return Decimal(sign + digits)
	}
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - scale
	return Decimal(sign + digits[:point] + "." + digits[point:])
}
