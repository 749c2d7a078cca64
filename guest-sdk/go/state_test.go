package pelton

import (
	"bytes"
	"encoding/hex"
	"math"
	"reflect"
	"slices"
	"testing"
	"unsafe"
)

// checkKeys encodes keys that are given in their order: their bytes sort as they do, and come back.
func checkKeys[K any](t *testing.T, keys ...K) {
	t.Helper()
	codec, err := keyCodec(reflect.TypeFor[K]())
	if err != nil {
		t.Fatal(err)
	}
	var encoded [][]byte
	for i := range keys {
		var w writer
		if err := codec.write(&w, unsafe.Pointer(&keys[i])); err != nil {
			t.Fatal(err)
		}
		encoded = append(encoded, w.data)
		var back K
		r := reader{data: w.data}
		if err := codec.read(&r, unsafe.Pointer(&back)); err != nil || !r.isEmpty() {
			t.Errorf("% x: %v", w.data, err)
		}
		same(t, "key", back, keys[i])
	}
	if !slices.IsSortedFunc(encoded, bytes.Compare) {
		t.Errorf("% x", encoded)
	}
}

func TestKeysSortAsTheirBytesDoAndComeBack(t *testing.T) {
	checkKeys(t, math.MinInt64, -256, -1, 0, 1, 256, math.MaxInt64)
	checkKeys[uint64](t, 0, 1, 255, 256, math.MaxUint64)
	checkKeys[int16](t, math.MinInt16, -1, 0, 1, math.MaxInt16)
	checkKeys[uint32](t, 0, 1, math.MaxUint32)
	checkKeys(t, Int128{math.MinInt64, 0}, Int128Of(-1), Int128{}, Int128Of(1), Int128{math.MaxInt64, math.MaxUint64})
	checkKeys(t, "", "a", "a\x00", "a\x00b", "aa", "b", "ä")
	checkKeys(t, []byte{}, []byte{0}, []byte{0, 0}, []byte{0, 0xff}, []byte{0xff})
	checkKeys(t, false, true)
	checkKeys[UUID](t, "00000000-0000-0001-0000-0000000000ff", "00000000-0000-0001-0000-000000000fff")
	type pair struct {
		Shop  string
		Order int32
	}
	checkKeys(t, pair{"", 5}, pair{"a", -1}, pair{"a", 2}, pair{"a\x00", 0}, pair{"b", 1})
	checkKeys(t, struct{}{})
}

// checkBytes encodes a value, compares it with the bytes that every SDK writes, and takes it back.
func checkBytes[V any](t *testing.T, plan func(reflect.Type) (codec, error), value V, expected string) {
	t.Helper()
	codec, err := plan(reflect.TypeFor[V]())
	if err != nil {
		t.Fatal(err)
	}
	var w writer
	if err := codec.write(&w, unsafe.Pointer(&value)); err != nil {
		t.Fatal(err)
	}
	same(t, "bytes", hex.EncodeToString(w.data), expected)
	var back V
	r := reader{data: w.data}
	if err := codec.read(&r, unsafe.Pointer(&back)); err != nil || !r.isEmpty() {
		t.Errorf("%s: %v", expected, err)
	}
	same(t, "value", back, value)
	for cut := range w.data {
		r := reader{data: w.data[:cut]}
		var cutOff V
		if codec.read(&r, unsafe.Pointer(&cutOff)) == nil && r.isEmpty() {
			t.Errorf("%s is read when it is cut at %d", expected, cut)
		}
	}
}

func TestKeysAndValuesHaveTheBytesOfEverySDK(t *testing.T) {
	type pair struct {
		A int16
		B string
	}
	checkBytes[int64](t, keyCodec, -1, "7fffffffffffffff")
	checkBytes[int32](t, keyCodec, 1, "80000001")
	checkBytes(t, keyCodec, "a\x00", "6100ff0000")
	checkBytes(t, keyCodec, pair{1, "b"}, "8001620000")
	checkBytes(t, keyCodec, Int128Of(-2), "7ffffffffffffffffffffffffffffffe")

	some, text := int64(300), "x"
	checkBytes[int64](t, valueCodec, 300, "cd012c")
	checkBytes[int16](t, valueCodec, -200, "d1ff38")
	checkBytes[uint32](t, valueCodec, 70_000, "ce00011170")
	checkBytes[uint64](t, valueCodec, 1, "c4080000000000000001")
	checkBytes(t, valueCodec, Int128Of(-2), "c410fffffffffffffffffffffffffffffffe")
	checkBytes(t, valueCodec, 1.5, "cb3ff8000000000000")
	checkBytes(t, valueCodec, true, "c3")
	checkBytes(t, valueCodec, "ab", "a26162")
	checkBytes(t, valueCodec, []byte{1, 2}, "c4020102")
	checkBytes[*int64](t, valueCodec, nil, "90")
	checkBytes(t, valueCodec, &some, "91cd012c")
	checkBytes(t, valueCodec, []*string{&text, nil}, "9291a17890")
	checkBytes(t, valueCodec, struct{}{}, "c0")
	checkBytes(t, valueCodec, pair{5, "b"}, "9205a162")
	checkBytes(t, valueCodec, Decimal("0.3"), "a3302e33")
	if _, err := valueCodec(reflect.TypeFor[map[string]string]()); err == nil {
		t.Error("a map can be stored")
	}
}
