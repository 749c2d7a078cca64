package pelton

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func written(write func(*writer)) []byte {
	var w writer
	write(&w)
	return w.data
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got  %#v\n want %#v", what, got, want)
	}
}

func TestIntegersComeBackFromTheirShortestForm(t *testing.T) {
	edges := map[int64]int{0: 1, 1: 1, -1: 1, -32: 1, -33: 2, 127: 1, 128: 2, 255: 2, 256: 3, 65_535: 3, 65_536: 5, -129: 3,
		-32_769: 5, 1 << 31: 5, 1 << 32: 9, math.MinInt64: 9, math.MaxInt64: 9}
	for value, length := range edges {
		bytes := written(func(w *writer) { w.int(value) })
		same(t, "length", len(bytes), length)
		r := &reader{data: bytes}
		read, ok := r.int()
		if !ok || read != value || !r.isEmpty() {
			t.Errorf("%d came back as %d, %v", value, read, ok)
		}
		r = &reader{data: bytes}
		if !r.skip() || !r.isEmpty() {
			t.Errorf("%d is not stepped over", value)
		}
	}
	r := &reader{data: []byte{markUint64, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	if _, ok := r.int(); ok {
		t.Error("what no int64 holds is read")
	}
}

func TestTextsAndBytesOfEveryLengthComeBack(t *testing.T) {
	for _, length := range []int{0, 1, 31, 32, 255, 256, 65_535, 65_536} {
		text := strings.Repeat("x", length)
		r := &reader{data: written(func(w *writer) { w.text(text) })}
		if read, ok := r.text(); !ok || read != text || !r.isEmpty() {
			t.Errorf("a text of %d bytes", length)
		}
		r = &reader{data: written(func(w *writer) { w.bytes([]byte(text)) })}
		if read, ok := r.bytes(); !ok || string(read) != text || !r.isEmpty() {
			t.Errorf("%d bytes", length)
		}
	}
	for _, length := range []int{0, 15, 16, 65_535, 65_536} {
		r := &reader{data: written(func(w *writer) { w.array(length) })}
		if read, ok := r.array(); !ok || read != length || !r.isEmpty() {
			t.Errorf("an array of %d", length)
		}
	}
}

func TestWhateverTheBytesAreReadingEndsInAValueOrInFalse(t *testing.T) {
	// Every mark with too little behind it, and with enough.
	for mark := range 256 {
		for behind := range 12 {
			bytes := []byte{byte(mark)}
			for range behind {
				bytes = append(bytes, 0xff)
			}
			value, skip := &reader{data: bytes}, &reader{data: bytes}
			if _, ok := readValue(value); ok && (!skip.skip() || value.at != skip.at) {
				t.Errorf("% x is read to %d and stepped over to %d", bytes, value.at, skip.at)
			}
			for _, read := range []func(*reader){
				func(r *reader) { r.array() }, func(r *reader) { r.index() }, func(r *reader) { r.skipRow() },
				func(r *reader) { r.bool() }, func(r *reader) { r.float() }, func(r *reader) { r.text() },
				func(r *reader) { r.bytes() }, func(r *reader) { r.describe() },
			} {
				read(&reader{data: bytes})
			}
		}
	}
}

func TestUnchangedIsTheExtensionType1WithOneZeroByte(t *testing.T) {
	same(t, "written", written((*writer).unchanged), []byte{0xd4, 1, 0})
	if r := (&reader{data: []byte{0xd4, 1, 0}}); !r.isUnchanged() || !r.isEmpty() {
		t.Error("it is not read")
	}
	if (&reader{data: []byte{0xd4, 2, 0}}).isUnchanged() {
		t.Error("another type is taken for it")
	}
}
