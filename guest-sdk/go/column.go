package pelton

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unsafe"
)

// The fields of rows: what a struct's fields are as columns, planned once for each struct.

// Toasted is a column that Postgres may have moved out of line: an update that leaves such a value alone does not send it.
//
// In a source row it is the value, or unchanged, which is neither NULL nor known. (A table with REPLICA IDENTITY FULL
// sends the old value along, and it is filled in from there.) In a public row unchanged leaves the destination's column
// as it is. The zero Toasted is unchanged. Nullable columns are Toasted[*T].
type Toasted[T any] struct {
	value T
	sent  bool
}

// Value makes a Toasted that has a value.
func Value[T any](value T) Toasted[T] {
	return Toasted[T]{value, true}
}

// Unchanged makes a Toasted that is unchanged.
func Unchanged[T any]() Toasted[T] {
	return Toasted[T]{}
}

// Get returns the value; false when it is unchanged.
func (t Toasted[T]) Get() (T, bool) {
	return t.value, t.sent
}

// IsUnchanged returns true when the update left the value alone.
func (t Toasted[T]) IsUnchanged() bool {
	return !t.sent
}

func (Toasted[T]) toasted() {}

// Enumeration is a string type that holds the labels of a Postgres enum (or of any text):
//
//	type Colour string
//
//	func (Colour) Labels() []string { return []string{"red", "very dark"} }
//
// A change with another label is rejected.
type Enumeration interface {
	// Labels returns all labels; it is called on the zero value.
	Labels() []string
}

// storage is how a field's value lies in memory.
type storage uint8

const (
	storeBool storage = iota
	storeInt16
	storeInt32
	storeInt64
	storeFloat32
	storeFloat64
	storeText // every string type
	storeBytes
)

// column is a field of a row.
type column struct {
	name string
	// Marked `key`.
	key bool
	// What the field itself would be as a column.
	kind     Kind
	nullable bool
	toasted  bool
	storage  storage
	expected string
	accepts  func(Kind) bool
	// Of an Enumeration.
	labels []string

	typ    reflect.Type
	offset uintptr
	// Of a Toasted, behind its value: whether there is one.
	sent uintptr
}

// columnsOf plans a struct, and returns its fields as columns.
func columnsOf(row reflect.Type) ([]column, error) {
	if row.Kind() != reflect.Struct {
		return nil, Fatal("%s is no struct: a row is a struct with a field for each column", row)
	}
	var columns []column
	for i := range row.NumField() {
		field := row.Field(i)
		tag, tagged := field.Tag.Lookup("pelton")
		if tag == "-" || !field.IsExported() && !tagged {
			continue
		}
		if !field.IsExported() || field.Anonymous {
			return nil, Fatal("field %s of %s can't be a column: name it, with a capital letter, or tag it `pelton:\"-\"`",
				field.Name, row)
		}
		c, err := columnOf(field, tag)
		if err != nil {
			return nil, Fatal("field %s of %s: %s", field.Name, row, err)
		}
		for _, other := range columns {
			if other.name == c.name {
				return nil, Fatal("two fields of %s are the column `%s`", row, c.name)
			}
		}
		columns = append(columns, c)
	}
	if len(columns) == 0 {
		return nil, Fatal("%s has no fields with a capital letter: a row has one for each column", row)
	}
	return columns, nil
}

// columnOf reads a field's type and its tag, `pelton:"name,key,kind=varchar"`.
func columnOf(field reflect.StructField, tag string) (column, error) {
	c := column{name: snakeCase(field.Name), typ: field.Type, offset: field.Offset}
	options := strings.Split(tag, ",")
	if options[0] != "" {
		c.name = options[0]
	}
	typ := field.Type
	if typ.Kind() == reflect.Struct && typ.Implements(reflect.TypeFor[interface{ toasted() }]()) {
		c.toasted = true
		c.sent = typ.Field(1).Offset
		typ = typ.Field(0).Type
	}
	if typ.Kind() == reflect.Pointer {
		c.nullable = true
		typ = typ.Elem()
	}
	plain, err := plainType(typ)
	if err != nil {
		return c, err
	}
	c.kind, c.storage, c.expected, c.accepts, c.labels = plain.kind, plain.storage, plain.expected, plain.accepts, plain.labels
	for _, option := range options[1:] {
		kind, isKind := strings.CutPrefix(option, "kind=")
		switch {
		case option == "key":
			c.key = true
		case isKind && kind != "":
			c.kind = KindOf(kind)
		default:
			return c, fmt.Errorf("unknown option %q; a tag is `pelton:\"name,key,kind=varchar\"`, each part optional", option)
		}
	}
	return c, nil
}

type plain struct {
	kind     Kind
	storage  storage
	expected string
	accepts  func(Kind) bool
	labels   []string
}

// only accepts these kinds.
func only(codes ...kindCode) func(Kind) bool {
	return func(kind Kind) bool {
		for _, code := range codes {
			if code == kind.code {
				return true
			}
		}
		return false
	}
}

// asText accepts a text type's own kinds, and domains, which have a name of their own whatever they are over.
func asText(code kindCode, expected string, accepted ...kindCode) plain {
	return plain{Kind{code: code}, storeText, expected, only(append(accepted, code, kindOther)...), nil}
}

var textTypes = map[reflect.Type]plain{
	reflect.TypeFor[Decimal]():     asText(kindNumeric, "numeric"),
	reflect.TypeFor[Date]():        asText(kindDate, "date"),
	reflect.TypeFor[Time]():        asText(kindTime, "time"),
	reflect.TypeFor[Timetz]():      asText(kindTimetz, "timetz"),
	reflect.TypeFor[Timestamp]():   asText(kindTimestamp, "timestamp"),
	reflect.TypeFor[Timestamptz](): asText(kindTimestamptz, "timestamptz"),
	reflect.TypeFor[Interval]():    asText(kindInterval, "interval"),
	reflect.TypeFor[UUID]():        asText(kindUUID, "uuid"),
	reflect.TypeFor[JSON]():        asText(kindJSON, "json or jsonb", kindJSONB),
	reflect.TypeFor[JSONB]():       asText(kindJSONB, "jsonb or json", kindJSON),
	reflect.TypeFor[Array]():       {Kind{kindArray, "text"}, storeText, "an array", only(kindArray, kindOther), nil},
}

func plainType(typ reflect.Type) (plain, error) {
	if known, ok := textTypes[typ]; ok {
		return known, nil
	}
	switch typ.Kind() {
	case reflect.Bool:
		return plain{Kind{code: kindBool}, storeBool, "boolean", only(kindBool), nil}, nil
	case reflect.Int16:
		return plain{Kind{code: kindInt16}, storeInt16, "smallint", only(kindInt16), nil}, nil
	case reflect.Int32:
		return plain{Kind{code: kindInt32}, storeInt32, "integer or smallint", only(kindInt16, kindInt32), nil}, nil
	case reflect.Int64, reflect.Int:
		if typ.Size() == 8 {
			accepts := only(kindInt16, kindInt32, kindInt64)
			return plain{Kind{code: kindInt64}, storeInt64, "bigint, integer or smallint", accepts, nil}, nil
		}
	case reflect.Float32:
		return plain{Kind{code: kindFloat32}, storeFloat32, "real", only(kindFloat32), nil}, nil
	case reflect.Float64:
		return plain{Kind{code: kindFloat64}, storeFloat64, "double precision or real", only(kindFloat32, kindFloat64), nil}, nil
	case reflect.String:
		if zero, ok := reflect.Zero(typ).Interface().(Enumeration); ok {
			labels := zero.Labels()
			return plain{Kind{code: kindEnumeration}, storeText, "an enum of " + strings.Join(labels, ", "), Kind.isText, labels}, nil
		}
		return plain{Kind{code: kindText}, storeText, "a column that travels as text (not a boolean, integer, float or bytea)",
			Kind.isText, nil}, nil
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Uint8 {
			return plain{Kind{code: kindBytea}, storeBytes, "bytea", only(kindBytea), nil}, nil
		}
	}
	return plain{}, fmt.Errorf("%s can't be a column; there are bool, int16, int32, int64, float32, float64, string, []byte, "+
		"Decimal, Timestamptz and the other types of this package, pointers to them for what may be NULL, and Toasted of "+
		"any of these", typ)
}

// snakeCase makes `customer_id` of `CustomerID`.
func snakeCase(name string) string {
	letters := []rune(name)
	var snake strings.Builder
	for i, letter := range letters {
		isBreak := unicode.IsUpper(letter) && i > 0 &&
			(!unicode.IsUpper(letters[i-1]) || i+1 < len(letters) && unicode.IsLower(letters[i+1]))
		if isBreak && letters[i-1] != '_' {
			snake.WriteByte('_')
		}
		snake.WriteRune(unicode.ToLower(letter))
	}
	return snake.String()
}

func hasKey(columns []column) bool {
	for i := range columns {
		if columns[i].key {
			return true
		}
	}
	return false
}

// write appends the field of the row at base.
func (c *column) write(w *writer, base unsafe.Pointer) {
	at := unsafe.Add(base, c.offset)
	if c.toasted && !*(*bool)(unsafe.Add(at, c.sent)) {
		w.unchanged()
		return
	}
	if c.nullable {
		if at = *(*unsafe.Pointer)(at); at == nil {
			w.null()
			return
		}
	}
	switch c.storage {
	case storeBool:
		w.bool(*(*bool)(at))
	case storeInt16:
		w.int(int64(*(*int16)(at)))
	case storeInt32:
		w.int(int64(*(*int32)(at)))
	case storeInt64:
		w.int(*(*int64)(at))
	case storeFloat32:
		w.float32(*(*float32)(at))
	case storeFloat64:
		w.float64(*(*float64)(at))
	case storeText:
		w.text(*(*string)(at))
	case storeBytes:
		w.bytes(*(*[]byte)(at))
	}
}

// unfit is why a value does not fit its field.
type unfit uint8

const (
	fits unfit = iota
	unfitNull
	unfitUnchanged
	// The value is of another kind than the host announced for its column.
	unfitKind
	unfitRange
	unfitLabel
)

// read takes the next value into the field of the row at base.
//
// A string is over the batch's memory; the row and what its pointers point at are the garbage collector's.
func (c *column) read(r *reader, base unsafe.Pointer) unfit {
	at := unsafe.Add(base, c.offset)
	switch r.peek() {
	case markFixext1:
		if !c.toasted {
			return unfitUnchanged
		}
		if !r.isUnchanged() {
			return unfitKind
		}
		return fits
	case markNil:
		if !c.nullable {
			return unfitNull
		}
		r.at++
		if c.toasted {
			*(*bool)(unsafe.Add(at, c.sent)) = true
		}
		return fits
	}
	if c.toasted {
		*(*bool)(unsafe.Add(at, c.sent)) = true
	}
	if c.nullable {
		return c.readNullable(r, at)
	}
	return c.readPlain(r, at)
}

// readNullable takes a value that is not NULL into memory of its own.
func (c *column) readNullable(r *reader, at unsafe.Pointer) unfit {
	var value unsafe.Pointer
	switch c.storage {
	case storeBool:
		value = unsafe.Pointer(new(bool))
	case storeInt16:
		value = unsafe.Pointer(new(int16))
	case storeInt32, storeFloat32:
		value = unsafe.Pointer(new(int32))
	case storeInt64, storeFloat64:
		value = unsafe.Pointer(new(int64))
	case storeText:
		value = unsafe.Pointer(new(string))
	case storeBytes:
		value = unsafe.Pointer(new([]byte))
	}
	*(*unsafe.Pointer)(at) = value
	return c.readPlain(r, value)
}

func (c *column) readPlain(r *reader, at unsafe.Pointer) unfit {
	ok := false
	switch c.storage {
	case storeBool:
		*(*bool)(at), ok = r.bool()
	case storeInt64:
		*(*int64)(at), ok = r.int()
	case storeInt16:
		var value int64
		if value, ok = r.int(); ok && value != int64(int16(value)) {
			return unfitRange
		}
		*(*int16)(at) = int16(value)
	case storeInt32:
		var value int64
		if value, ok = r.int(); ok && value != int64(int32(value)) {
			return unfitRange
		}
		*(*int32)(at) = int32(value)
	case storeFloat32:
		// The narrowing is exact: a real column holds nothing that is not a float32.
		var value float64
		value, ok = r.float()
		*(*float32)(at) = float32(value)
	case storeFloat64:
		*(*float64)(at), ok = r.float()
	case storeText:
		var value string
		value, ok = r.text()
		*(*string)(at) = value
		if ok && c.labels != nil && !contains(c.labels, value) {
			return unfitLabel
		}
	case storeBytes:
		// A copy: the author may write into it.
		var value []byte
		value, ok = r.bytes()
		*(*[]byte)(at) = bytes.Clone(value)
	}
	if !ok {
		return unfitKind
	}
	return fits
}

func contains(labels []string, label string) bool {
	for _, known := range labels {
		if known == label {
			return true
		}
	}
	return false
}
