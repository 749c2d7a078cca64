package pelton

import (
	"bytes"
	"reflect"
	"strconv"
	"strings"
	"unsafe"
)

// Public rows: what a transform publishes.

// PublicSchema is what an owner exposes: a name, a version, columns and a key. [Public] makes it.
type PublicSchema struct {
	name         string
	major, minor uint32
	row          reflect.Type
	// None is part of a key: the schema is append-only.
	columns []column
	keys    int
	// What speaks against [Map] from a source table, if anything; by table.
	mapped map[*sourceTable]error
	err    error
}

// Public describes a public schema whose rows are the struct Row, in a version such as "1.0".
//
// The fields marked key are its key; without one it is append-only: it takes inserts and truncates.
func Public[Row any](name, version string) *PublicSchema {
	row := reflect.TypeFor[Row]()
	s := &PublicSchema{name: name, row: row, mapped: map[*sourceTable]error{}}
	s.columns, s.err = columnsOf(row)
	major, minor, _ := strings.Cut(version, ".")
	first, err := strconv.ParseUint(major, 10, 32)
	second, err2 := strconv.ParseUint(minor, 10, 32)
	switch {
	case name == "":
		s.err = Fatal("a public schema without a name")
	case err != nil || err2 != nil:
		s.err = Fatal("public schema `%s` has the version %q; write major.minor, such as \"1.0\"", name, version)
	}
	s.major, s.minor = uint32(first), uint32(second)
	for i := range s.columns {
		if s.columns[i].key {
			s.keys++
		}
	}
	return s
}

// write appends all columns of the row at base.
func (s *PublicSchema) write(w *writer, base unsafe.Pointer) {
	w.array(len(s.columns))
	for i := range s.columns {
		s.columns[i].write(w, base)
	}
}

// writeKey appends the key's columns alone.
func (s *PublicSchema) writeKey(w *writer, base unsafe.Pointer) {
	w.array(s.keys)
	for i := range s.columns {
		if s.columns[i].key {
			s.columns[i].write(w, base)
		}
	}
}

// writeDeleted appends all columns, those outside of the key as unchanged.
func (s *PublicSchema) writeDeleted(w *writer, base unsafe.Pointer) {
	w.array(len(s.columns))
	for i := range s.columns {
		if s.columns[i].key {
			s.columns[i].write(w, base)
		} else {
			w.unchanged()
		}
	}
}

// takesKeysOf returns nil when the keys of a source table are its own, in their types and their order.
func (s *PublicSchema) takesKeysOf(table *sourceTable) error {
	err, known := s.mapped[table]
	if !known {
		if !keysFit(s.columns, table.columns) {
			err = Fatal("public schema `%s` has other keys than table %s; use MapWithKey", s.name, table)
		}
		s.mapped[table] = err
	}
	return err
}

// nextKey returns the index of the first key column at or behind `at`, or the number of columns.
func nextKey(columns []column, at int) int {
	for at < len(columns) && !columns[at].key {
		at++
	}
	return at
}

func keysFit(a, b []column) bool {
	i, j := nextKey(a, 0), nextKey(b, 0)
	for i < len(a) && j < len(b) && a[i].typ == b[j].typ {
		i, j = nextKey(a, i+1), nextKey(b, j+1)
	}
	return i == len(a) && j == len(b)
}

// sameKey compares the keys of two rows whose key columns fit.
func sameKey(a, b []column, rowA, rowB unsafe.Pointer) bool {
	for i, j := nextKey(a, 0), nextKey(b, 0); i < len(a) && j < len(b); i, j = nextKey(a, i+1), nextKey(b, j+1) {
		if !sameField(&a[i], unsafe.Add(rowA, a[i].offset), unsafe.Add(rowB, b[j].offset)) {
			return false
		}
	}
	return true
}

func sameField(c *column, a, b unsafe.Pointer) bool {
	if !c.nullable && !c.toasted {
		switch c.storage {
		case storeInt64:
			return *(*int64)(a) == *(*int64)(b)
		case storeText:
			return *(*string)(a) == *(*string)(b)
		}
	}
	// What prints the same is the same.
	var first, second writer
	at := *c
	at.offset = 0
	at.write(&first, a)
	at.write(&second, b)
	return bytes.Equal(first.data, second.data)
}

// copyField copies a field into one of the same type.
func copyField(to, from *column, rowTo, rowFrom unsafe.Pointer) {
	a, b := unsafe.Add(rowTo, to.offset), unsafe.Add(rowFrom, from.offset)
	if !from.nullable && !from.toasted {
		switch from.storage {
		case storeInt64:
			*(*int64)(a) = *(*int64)(b)
			return
		case storeText:
			*(*string)(a) = *(*string)(b)
			return
		}
	}
	reflect.NewAt(to.typ, a).Elem().Set(reflect.NewAt(from.typ, b).Elem())
}
