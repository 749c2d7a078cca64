package pelton

import (
	"math/big"
	"math/bits"
	"strconv"
)

// Int128 is an integer of 128 bits: what a numeric of up to 38 digits is, counted in its smallest unit. Its zero is 0, and
// == compares. Arithmetic that overflows panics.
type Int128 struct {
	hi int64
	lo uint64
}

// Int128Of returns the same number.
func Int128Of(value int64) Int128 {
	return Int128{value >> 63, uint64(value)}
}

// Int128OfBig returns the same number; false when it has more than 128 bits.
func Int128OfBig(value *big.Int) (Int128, bool) {
	var low, high big.Int
	low.And(value, new(big.Int).SetUint64(1<<64-1))
	high.Rsh(value, 64)
	return Int128{high.Int64(), low.Uint64()}, high.IsInt64()
}

// Big returns the same number.
func (a Int128) Big() *big.Int {
	value := new(big.Int).Lsh(big.NewInt(a.hi), 64)
	return value.Or(value, new(big.Int).SetUint64(a.lo))
}

// Int64 returns the same number; false when it has more than 64 bits.
func (a Int128) Int64() (int64, bool) {
	return int64(a.lo), a.hi == int64(a.lo)>>63
}

// Add returns the sum.
func (a Int128) Add(b Int128) Int128 {
	sum, ok := a.CheckedAdd(b)
	if !ok {
		panic("pelton: an Int128 overflows")
	}
	return sum
}

// CheckedAdd returns the sum; false when it has more than 128 bits.
func (a Int128) CheckedAdd(b Int128) (sum Int128, ok bool) {
	lo, carry := bits.Add64(a.lo, b.lo, 0)
	sum = Int128{a.hi + b.hi + int64(carry), lo}
	return sum, (a.hi^b.hi) < 0 || (a.hi^sum.hi) >= 0
}

// Sub returns the difference.
func (a Int128) Sub(b Int128) Int128 {
	lo, borrow := bits.Sub64(a.lo, b.lo, 0)
	difference := Int128{a.hi - b.hi - int64(borrow), lo}
	if (a.hi^b.hi) < 0 && (a.hi^difference.hi) < 0 {
		panic("pelton: an Int128 overflows")
	}
	return difference
}

// Neg returns the number with the other sign.
func (a Int128) Neg() Int128 {
	return Int128{}.Sub(a)
}

// Cmp returns -1, 0 or 1: whether it is less than, equal to or greater than b.
func (a Int128) Cmp(b Int128) int {
	switch {
	case a == b:
		return 0
	case a.hi < b.hi || a.hi == b.hi && a.lo < b.lo:
		return -1
	}
	return 1
}

// Sign returns -1, 0 or 1.
func (a Int128) Sign() int {
	return a.Cmp(Int128{})
}

// String returns the decimal digits.
func (a Int128) String() string {
	var buffer [48]byte
	digits := buffer[:0]
	if a.hi < 0 {
		digits = append(digits, '-')
	}
	return string(a.appendDigits(digits))
}

// shiftIn appends a decimal digit to a number that is not negative; false when it gets too large.
func (a *Int128) shiftIn(digit byte) bool {
	over, lo := bits.Mul64(a.lo, 10)
	overHi, hi := bits.Mul64(uint64(a.hi), 10)
	lo, carry := bits.Add64(lo, uint64(digit), 0)
	hi, carry = bits.Add64(hi, over, carry)
	*a = Int128{int64(hi), lo}
	return overHi == 0 && carry == 0 && int64(hi) >= 0
}

// appendDigits appends the decimal digits, without a sign.
func (a Int128) appendDigits(to []byte) []byte {
	hi, lo := uint64(a.hi), a.lo
	if a.hi < 0 {
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	if hi == 0 {
		return strconv.AppendUint(to, lo, 10)
	}
	// The highest 128-bit number has 39 digits: three groups of up to 19.
	const group = 1e19
	high, rest := hi/group, hi%group
	middle, low := bits.Div64(rest, lo, group)
	if high > 0 {
		to = strconv.AppendUint(to, high, 10)
		to = appendGroup(to, middle)
	} else {
		to = strconv.AppendUint(to, middle, 10)
	}
	return appendGroup(to, low)
}

func appendGroup(to []byte, group uint64) []byte {
	for width := uint64(1e18); width > group && width > 1; width /= 10 {
		to = append(to, '0')
	}
	return strconv.AppendUint(to, group, 10)
}
