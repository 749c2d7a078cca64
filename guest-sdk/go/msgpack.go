package pelton

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// MessagePack, as far as batches need it: read in place and written straight into the output.
//
// There is no tree in between. A text that is read is a string over the batch's own bytes: the garbage collector keeps
// the batch as long as such a string lives, and nobody writes into it again. Bytes come from the host, which is trusted
// no further than this: whatever they are, reading them ends in a value or in false, never in a panic.

// What a value's first byte says.
const (
	markNil     = 0xc0
	markFalse   = 0xc2
	markTrue    = 0xc3
	markBin8    = 0xc4
	markBin32   = 0xc6
	markFloat32 = 0xca
	markFloat64 = 0xcb
	markUint8   = 0xcc
	markUint16  = 0xcd
	markUint32  = 0xce
	markUint64  = 0xcf
	markInt8    = 0xd0
	markInt16   = 0xd1
	markInt32   = 0xd2
	markInt64   = 0xd3
	// The extension type 1 with one byte, which is zero: unchanged.
	markFixext1 = 0xd4
	markStr8    = 0xd9
	markStr32   = 0xdb
	markArray16 = 0xdc
	markArray32 = 0xdd
)

// reader reads MessagePack from the front of a slice. Its methods return false for bytes that are not what they read.
type reader struct {
	data []byte
	at   int
}

func (r *reader) isEmpty() bool { return r.at == len(r.data) }

// peek returns the first byte of the next value; at the end one that begins none.
func (r *reader) peek() byte {
	if r.at < len(r.data) {
		return r.data[r.at]
	}
	return 0xc1
}

func (r *reader) take(length int) ([]byte, bool) {
	if length < 0 || length > len(r.data)-r.at {
		return nil, false
	}
	taken := r.data[r.at : r.at+length : r.at+length]
	r.at += length
	return taken, true
}

// fixed reads a big-endian number of that many bytes.
func (r *reader) fixed(size int) (uint64, bool) {
	if size > len(r.data)-r.at {
		return 0, false
	}
	at := r.data[r.at:]
	r.at += size
	switch size {
	case 1:
		return uint64(at[0]), true
	case 2:
		return uint64(binary.BigEndian.Uint16(at)), true
	case 4:
		return uint64(binary.BigEndian.Uint32(at)), true
	default:
		return binary.BigEndian.Uint64(at), true
	}
}

// array reads the head of an array and returns its length.
func (r *reader) array() (int, bool) {
	mark := r.peek()
	switch {
	case mark >= 0x90 && mark <= 0x9f:
		r.at++
		return int(mark & 0x0f), true
	case mark == markArray16 || mark == markArray32:
		r.at++
		length, ok := r.fixed(2 << (mark - markArray16))
		return int(length), ok
	}
	return 0, false
}

// isNil steps over a nil, if there is one.
func (r *reader) isNil() bool {
	if r.peek() == markNil {
		r.at++
		return true
	}
	return false
}

// isUnchanged steps over the unchanged value, if there is one.
func (r *reader) isUnchanged() bool {
	if rest := r.data[r.at:]; len(rest) >= 3 && rest[0] == markFixext1 && rest[1] == 1 && rest[2] == 0 {
		r.at += 3
		return true
	}
	return false
}

// int reads an integer that an int64 holds.
func (r *reader) int() (int64, bool) {
	mark := r.peek()
	if mark <= 0x7f || mark >= 0xe0 {
		r.at++
		return int64(int8(mark)), true
	}
	if mark < markUint8 || mark > markInt64 {
		return 0, false
	}
	r.at++
	bits, ok := r.fixed(1 << ((mark - markUint8) & 3))
	switch mark {
	case markInt8:
		return int64(int8(bits)), ok
	case markInt16:
		return int64(int16(bits)), ok
	case markInt32:
		return int64(int32(bits)), ok
	case markUint64:
		return int64(bits), ok && bits <= math.MaxInt64
	}
	return int64(bits), ok
}

// index reads an integer that a uint32 holds.
func (r *reader) index() (uint32, bool) {
	value, ok := r.int()
	return uint32(value), ok && value >= 0 && value <= math.MaxUint32
}

func (r *reader) bool() (value, ok bool) {
	mark := r.peek()
	if mark != markFalse && mark != markTrue {
		return false, false
	}
	r.at++
	return mark == markTrue, true
}

func (r *reader) float() (float64, bool) {
	switch r.peek() {
	case markFloat64:
		r.at++
		bits, ok := r.fixed(8)
		return math.Float64frombits(bits), ok
	case markFloat32:
		r.at++
		bits, ok := r.fixed(4)
		return float64(math.Float32frombits(uint32(bits))), ok
	}
	return 0, false
}

// text reads a text, which stays where it is.
func (r *reader) text() (string, bool) {
	mark := r.peek()
	length, ok := uint64(0), true
	switch {
	case mark >= 0xa0 && mark <= 0xbf:
		r.at++
		length = uint64(mark & 0x1f)
	case mark >= markStr8 && mark <= markStr32:
		r.at++
		length, ok = r.fixed(1 << (mark - markStr8))
	default:
		return "", false
	}
	if !ok || length > uint64(len(r.data)-r.at) {
		return "", false
	}
	if length == 0 {
		return "", true
	}
	text := unsafe.String(&r.data[r.at], int(length))
	r.at += int(length)
	return text, true
}

// bytes reads bytes, which stay where they are.
func (r *reader) bytes() ([]byte, bool) {
	mark := r.peek()
	if mark < markBin8 || mark > markBin32 {
		return nil, false
	}
	r.at++
	length, ok := r.fixed(1 << (mark - markBin8))
	if !ok || length > math.MaxInt32 {
		return nil, false
	}
	return r.take(int(length))
}

// skip steps over one value without looking at it.
func (r *reader) skip() bool {
	mark := r.peek()
	length := 0
	switch {
	case mark <= 0x7f || mark >= 0xe0 || mark == markNil || mark == markFalse || mark == markTrue:
	case mark >= 0xa0 && mark <= 0xbf:
		length = int(mark & 0x1f)
	case mark >= markStr8 && mark <= markStr32:
		_, ok := r.text()
		return ok
	case mark >= markBin8 && mark <= markBin32:
		_, ok := r.bytes()
		return ok
	case mark >= markUint8 && mark <= markInt64:
		length = 1 << ((mark - markUint8) & 3)
	case mark == markFloat32:
		length = 4
	case mark == markFloat64:
		length = 8
	case mark == markFixext1:
		length = 2
	default:
		return false
	}
	_, ok := r.take(1 + length)
	return ok
}

// skipRow steps over a row or nil.
func (r *reader) skipRow() bool {
	if r.isNil() {
		return true
	}
	columns, ok := r.array()
	for ; ok && columns > 0; columns-- {
		ok = r.skip()
	}
	return ok
}

// describe names what comes next, for messages to people; never the value itself.
func (r *reader) describe() string {
	switch mark := r.peek(); {
	case mark == markNil:
		return "NULL"
	case mark == markFixext1:
		return "an unchanged value"
	case mark == markFalse || mark == markTrue:
		return "a boolean"
	case mark <= 0x7f || mark >= 0xe0 || mark >= markUint8 && mark <= markInt64:
		return "an integer"
	case mark == markFloat32 || mark == markFloat64:
		return "a float"
	case mark >= 0xa0 && mark <= 0xbf || mark >= markStr8 && mark <= markStr32:
		return "text"
	case mark >= markBin8 && mark <= markBin32:
		return "bytes"
	}
	return "what is no value"
}

// writer writes MessagePack to the end of a buffer, every value in its shortest form.
type writer struct {
	data []byte
}

func (w *writer) array(length int) {
	switch {
	case length <= 15:
		w.data = append(w.data, 0x90|byte(length))
	case length <= math.MaxUint16:
		w.data = append(w.data, markArray16, byte(length>>8), byte(length))
	default:
		w.data = binary.BigEndian.AppendUint32(append(w.data, markArray32), uint32(length))
	}
}

func (w *writer) null() { w.data = append(w.data, markNil) }

func (w *writer) unchanged() { w.data = append(w.data, markFixext1, 1, 0) }

func (w *writer) bool(value bool) {
	if value {
		w.data = append(w.data, markTrue)
	} else {
		w.data = append(w.data, markFalse)
	}
}

func (w *writer) int(value int64) {
	if value >= -32 && value <= 127 {
		w.data = append(w.data, byte(value))
		return
	}
	w.longInt(value)
}

func (w *writer) longInt(value int64) {
	switch {
	case value > math.MaxUint32:
		w.data = binary.BigEndian.AppendUint64(append(w.data, markUint64), uint64(value))
	case value > math.MaxUint16:
		w.data = binary.BigEndian.AppendUint32(append(w.data, markUint32), uint32(value))
	case value > math.MaxUint8:
		w.data = append(w.data, markUint16, byte(value>>8), byte(value))
	case value >= 0:
		w.data = append(w.data, markUint8, byte(value))
	case value >= math.MinInt8:
		w.data = append(w.data, markInt8, byte(value))
	case value >= math.MinInt16:
		w.data = append(w.data, markInt16, byte(value>>8), byte(value))
	case value >= math.MinInt32:
		w.data = binary.BigEndian.AppendUint32(append(w.data, markInt32), uint32(value))
	default:
		w.data = binary.BigEndian.AppendUint64(append(w.data, markInt64), uint64(value))
	}
}

// There is one NaN; Go has others.
const (
	nan32 = 0x7fc00000
	nan64 = 0x7ff8000000000000
)

func (w *writer) float32(value float32) {
	bits := math.Float32bits(value)
	if value != value {
		bits = nan32
	}
	w.data = binary.BigEndian.AppendUint32(append(w.data, markFloat32), bits)
}

func (w *writer) float64(value float64) {
	bits := math.Float64bits(value)
	if value != value {
		bits = nan64
	}
	w.data = binary.BigEndian.AppendUint64(append(w.data, markFloat64), bits)
}

func (w *writer) text(value string) {
	if len(value) <= 31 {
		w.data = append(w.data, 0xa0|byte(len(value)))
	} else {
		w.length(markStr8, len(value))
	}
	w.data = append(w.data, value...)
}

func (w *writer) bytes(value []byte) {
	w.length(markBin8, len(value))
	w.data = append(w.data, value...)
}

// length writes the head of a text or of bytes, whose marks for 1, 2 and 4 bytes of length stand in a row.
func (w *writer) length(mark byte, length int) {
	switch {
	case length <= math.MaxUint8:
		w.data = append(w.data, mark, byte(length))
	case length <= math.MaxUint16:
		w.data = append(w.data, mark+1, byte(length>>8), byte(length))
	default:
		w.data = binary.BigEndian.AppendUint32(append(w.data, mark+2), uint32(length))
	}
}
