package pelton

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"unsafe"
)

// Keys of the state are encoded so that their bytes sort as they do, and values are MessagePack; both as in every other
// SDK, so that a transform can go on with its state in another language. A type is planned once for each StateMap.

// codec writes the value at a pointer, and takes it back from the front of a reader.
type codec struct {
	write func(w *writer, at unsafe.Pointer) error
	read  func(r *reader, at unsafe.Pointer) error
}

func infallible(write func(w *writer, at unsafe.Pointer)) func(*writer, unsafe.Pointer) error {
	return func(w *writer, at unsafe.Pointer) error {
		write(w, at)
		return nil
	}
}

func orMalformed(ok bool) error {
	if ok {
		return nil
	}
	return errMalformed
}

var int128Type = reflect.TypeFor[Int128]()

// appendInt128 appends the 16 bytes of the number, its sign bit flipped by flip.
func appendInt128(w *writer, value Int128, flip uint64) {
	w.data = binary.BigEndian.AppendUint64(w.data, uint64(value.hi)^flip)
	w.data = binary.BigEndian.AppendUint64(w.data, value.lo)
}

func int128From(bytes []byte, flip uint64) Int128 {
	return Int128{int64(binary.BigEndian.Uint64(bytes) ^ flip), binary.BigEndian.Uint64(bytes[8:])}
}

// structCodec writes the fields of a struct one after another.
func structCodec(typ reflect.Type, of func(reflect.Type) (codec, error)) (codec, error) {
	codecs, offsets := make([]codec, typ.NumField()), make([]uintptr, typ.NumField())
	for i := range codecs {
		field := typ.Field(i)
		inner, err := of(field.Type)
		if err != nil {
			return codec{}, fmt.Errorf("field %s: %w", field.Name, err)
		}
		codecs[i], offsets[i] = inner, field.Offset
	}
	return codec{
		func(w *writer, at unsafe.Pointer) error {
			for i := range codecs {
				if err := codecs[i].write(w, unsafe.Add(at, offsets[i])); err != nil {
					return err
				}
			}
			return nil
		},
		func(r *reader, at unsafe.Pointer) error {
			for i := range codecs {
				if err := codecs[i].read(r, unsafe.Add(at, offsets[i])); err != nil {
					return err
				}
			}
			return nil
		},
	}, nil
}

// keyCodec plans a type of keys: no key's bytes are the beginning of another one's.
func keyCodec(typ reflect.Type) (codec, error) {
	switch kind := typ.Kind(); {
	case typ == int128Type:
		return codec{
			infallible(func(w *writer, at unsafe.Pointer) { appendInt128(w, *(*Int128)(at), 1<<63) }),
			func(r *reader, at unsafe.Pointer) error {
				bytes, ok := r.take(16)
				if ok {
					*(*Int128)(at) = int128From(bytes, 1<<63)
				}
				return orMalformed(ok)
			},
		}, nil
	case kind == reflect.Bool:
		return codec{
			infallible(func(w *writer, at unsafe.Pointer) { w.data = append(w.data, *(*byte)(at)) }),
			func(r *reader, at unsafe.Pointer) error {
				bytes, ok := r.take(1)
				if !ok || bytes[0] > 1 {
					return errMalformed
				}
				*(*bool)(at) = bytes[0] == 1
				return nil
			},
		}, nil
	case kind >= reflect.Int && kind <= reflect.Int64 && typ.Size() > 1:
		// With the sign bit flipped, negative numbers sort first.
		return fixedKey(int(typ.Size()), uint64(1)<<(typ.Size()*8-1)), nil
	case kind >= reflect.Uint && kind <= reflect.Uint64 && typ.Size() > 1:
		return fixedKey(int(typ.Size()), 0), nil
	case kind == reflect.String:
		return codec{
			infallible(func(w *writer, at unsafe.Pointer) { appendKeyBytes(w, *(*string)(at)) }),
			func(r *reader, at unsafe.Pointer) error {
				bytes, ok := takeKeyBytes(r)
				*(*string)(at) = string(bytes)
				return orMalformed(ok)
			},
		}, nil
	case kind == reflect.Slice && typ.Elem().Kind() == reflect.Uint8:
		return codec{
			infallible(func(w *writer, at unsafe.Pointer) { appendKeyBytes(w, *(*[]byte)(at)) }),
			func(r *reader, at unsafe.Pointer) error {
				bytes, ok := takeKeyBytes(r)
				*(*[]byte)(at) = bytes
				return orMalformed(ok)
			},
		}, nil
	case kind == reflect.Struct:
		// An empty one is the key of a map with one entry.
		return structCodec(typ, keyCodec)
	}
	return codec{}, fmt.Errorf("%s can't be a key; there are bool, integers of 16 bits and more, Int128, string, []byte, the text "+
		"types of this package, and structs of these", typ)
}

func fixedKey(size int, flip uint64) codec {
	return codec{
		infallible(func(w *writer, at unsafe.Pointer) {
			switch size {
			case 2:
				w.data = binary.BigEndian.AppendUint16(w.data, *(*uint16)(at)^uint16(flip))
			case 4:
				w.data = binary.BigEndian.AppendUint32(w.data, *(*uint32)(at)^uint32(flip))
			default:
				w.data = binary.BigEndian.AppendUint64(w.data, *(*uint64)(at)^flip)
			}
		}),
		func(r *reader, at unsafe.Pointer) error {
			bits, ok := r.fixed(size)
			bits ^= flip
			switch size {
			case 2:
				*(*uint16)(at) = uint16(bits)
			case 4:
				*(*uint32)(at) = uint32(bits)
			default:
				*(*uint64)(at) = bits
			}
			return orMalformed(ok)
		},
	}
}

// appendKeyBytes writes a zero byte as 0 255 and the end as 0 0: so the end sorts before whatever else may follow.
func appendKeyBytes[T string | []byte](w *writer, bytes T) {
	for i := range len(bytes) {
		w.data = append(w.data, bytes[i])
		if bytes[i] == 0 {
			w.data = append(w.data, 0xff)
		}
	}
	w.data = append(w.data, 0, 0)
}

func takeKeyBytes(r *reader) ([]byte, bool) {
	bytes := []byte{}
	for {
		next, ok := r.take(1)
		if !ok {
			return nil, false
		}
		if next[0] == 0 {
			switch next, ok = r.take(1); {
			case !ok || next[0] != 0 && next[0] != 0xff:
				return nil, false
			case next[0] == 0:
				return bytes, true
			}
			next = []byte{0}
		}
		bytes = append(bytes, next[0])
	}
}

// valueCodec plans a type of values.
func valueCodec(typ reflect.Type) (codec, error) {
	switch kind := typ.Kind(); {
	case typ == int128Type:
		// What an int64 can't hold travels as bytes, and so does uint64.
		return codec{
			infallible(func(w *writer, at unsafe.Pointer) {
				w.length(markBin8, 16)
				appendInt128(w, *(*Int128)(at), 0)
			}),
			func(r *reader, at unsafe.Pointer) error {
				bytes, ok := r.bytes()
				if !ok || len(bytes) != 16 {
					return errMalformed
				}
				*(*Int128)(at) = int128From(bytes, 0)
				return nil
			},
		}, nil
	case kind == reflect.Bool:
		return codec{
			infallible(func(w *writer, at unsafe.Pointer) { w.bool(*(*bool)(at)) }),
			func(r *reader, at unsafe.Pointer) (err error) {
				value, ok := r.bool()
				*(*bool)(at) = value
				return orMalformed(ok)
			},
		}, nil
	case kind == reflect.Int64 || kind == reflect.Int && typ.Size() == 8:
		return codec{
			infallible(func(w *writer, at unsafe.Pointer) { w.int(*(*int64)(at)) }),
			func(r *reader, at unsafe.Pointer) error {
				value, ok := r.int()
				*(*int64)(at) = value
				return orMalformed(ok)
			},
		}, nil
	case kind >= reflect.Int8 && kind <= reflect.Int32 || kind >= reflect.Uint8 && kind <= reflect.Uint32:
		return smallInt(typ), nil
	case kind == reflect.Uint64 || kind == reflect.Uint && typ.Size() == 8:
		return codec{
			infallible(func(w *writer, at unsafe.Pointer) {
				w.length(markBin8, 8)
				w.data = binary.BigEndian.AppendUint64(w.data, *(*uint64)(at))
			}),
			func(r *reader, at unsafe.Pointer) error {
				bytes, ok := r.bytes()
				if !ok || len(bytes) != 8 {
					return errMalformed
				}
				*(*uint64)(at) = binary.BigEndian.Uint64(bytes)
				return nil
			},
		}, nil
	case kind == reflect.Float64:
		return codec{
			infallible(func(w *writer, at unsafe.Pointer) { w.float64(*(*float64)(at)) }),
			func(r *reader, at unsafe.Pointer) error {
				value, ok := r.float()
				*(*float64)(at) = value
				return orMalformed(ok)
			},
		}, nil
	case kind == reflect.String:
		return codec{
			infallible(func(w *writer, at unsafe.Pointer) { w.text(*(*string)(at)) }),
			func(r *reader, at unsafe.Pointer) error {
				value, ok := r.text()
				*(*string)(at) = value
				return orMalformed(ok)
			},
		}, nil
	case kind == reflect.Slice && typ.Elem().Kind() == reflect.Uint8:
		return codec{
			infallible(func(w *writer, at unsafe.Pointer) { w.bytes(*(*[]byte)(at)) }),
			func(r *reader, at unsafe.Pointer) error {
				value, ok := r.bytes()
				// A copy: the author may write into it.
				*(*[]byte)(at) = append([]byte{}, value...)
				return orMalformed(ok)
			},
		}, nil
	case kind == reflect.Pointer:
		return pointerValue(typ)
	case kind == reflect.Slice:
		return sliceValue(typ)
	case kind == reflect.Struct:
		return structValue(typ)
	}
	return codec{}, fmt.Errorf("%s can't be stored; there are bool, integers, Int128, float64, string, []byte, the text types of this "+
		"package, and pointers, slices and structs of these", typ)
}

func smallInt(typ reflect.Type) codec {
	return codec{
		infallible(func(w *writer, at unsafe.Pointer) {
			if value := reflect.NewAt(typ, at).Elem(); value.CanInt() {
				w.int(value.Int())
			} else {
				w.int(int64(value.Uint()))
			}
		}),
		func(r *reader, at unsafe.Pointer) error {
			read, ok := r.int()
			value := reflect.NewAt(typ, at).Elem()
			switch {
			case !ok:
			case value.CanInt():
				ok = !value.OverflowInt(read)
				value.SetInt(read)
			default:
				ok = read >= 0 && !value.OverflowUint(uint64(read))
				value.SetUint(uint64(read))
			}
			return orMalformed(ok)
		},
	}
}

// pointerValue writes an array of none or one, so that pointers to pointers come back as they were.
func pointerValue(typ reflect.Type) (codec, error) {
	inner, err := valueCodec(typ.Elem())
	return codec{
		func(w *writer, at unsafe.Pointer) error {
			value := *(*unsafe.Pointer)(at)
			if value == nil {
				w.array(0)
				return nil
			}
			w.array(1)
			return inner.write(w, value)
		},
		func(r *reader, at unsafe.Pointer) error {
			count, ok := r.array()
			if !ok || count > 1 {
				return errMalformed
			}
			if count == 0 {
				*(*unsafe.Pointer)(at) = nil
				return nil
			}
			value := reflect.New(typ.Elem()).UnsafePointer()
			*(*unsafe.Pointer)(at) = value
			return inner.read(r, value)
		},
	}, err
}

func sliceValue(typ reflect.Type) (codec, error) {
	inner, err := valueCodec(typ.Elem())
	return codec{
		func(w *writer, at unsafe.Pointer) error {
			items := reflect.NewAt(typ, at).Elem()
			w.array(items.Len())
			for i := range items.Len() {
				if err := inner.write(w, items.Index(i).Addr().UnsafePointer()); err != nil {
					return err
				}
			}
			return nil
		},
		func(r *reader, at unsafe.Pointer) error {
			count, ok := r.array()
			if !ok {
				return errMalformed
			}
			items := reflect.NewAt(typ, at).Elem()
			items.SetZero()
			for range count {
				item := reflect.New(typ.Elem())
				if err := inner.read(r, item.UnsafePointer()); err != nil {
					return err
				}
				items.Set(reflect.Append(items, item.Elem()))
			}
			return nil
		},
	}, err
}

// structValue writes an array of the fields; an empty struct, for maps that are sets, is nil.
func structValue(typ reflect.Type) (codec, error) {
	fields, err := structCodec(typ, valueCodec)
	count := typ.NumField()
	return codec{
		func(w *writer, at unsafe.Pointer) error {
			if count == 0 {
				w.null()
				return nil
			}
			w.array(count)
			return fields.write(w, at)
		},
		func(r *reader, at unsafe.Pointer) error {
			if count == 0 {
				return orMalformed(r.isNil())
			}
			if found, ok := r.array(); !ok || found != count {
				return errMalformed
			}
			return fields.read(r, at)
		},
	}, err
}
