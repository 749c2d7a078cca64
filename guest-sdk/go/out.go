package pelton

import (
	"encoding/binary"
	"reflect"
	"unsafe"
)

// Out takes the public rows that a change becomes, and knows the transaction that it belongs to.
//
// [Map] does the ordinary case, one public row for one source row; [Insert], [Update], [UpdateFrom], [Delete] and
// [Truncate] do all else.
type Out struct {
	schemas []*PublicSchema
	rows    writer
	count   uint32
	source  uint32
	span    *Span
	// A mistake of the author that a call without a result has found: fatal once the function returns.
	mistake error
}

// outHead is room for the head of the output's array, whose length is known at the end.
const outHead = 5

func (o *Out) begin(capacity int) {
	if cap(o.rows.data) < capacity/2 {
		o.rows.data = make([]byte, 0, capacity)
	}
	o.rows.data = append(o.rows.data[:0], markArray32, 0, 0, 0, 0)
	o.count, o.source, o.span, o.mistake = 0, 0, nil, nil
}

// finish returns the encoding of all rows.
func (o *Out) finish() []byte {
	binary.BigEndian.PutUint32(o.rows.data[1:outHead], o.count)
	return o.rows.data
}

// Span returns the source transaction of the change at hand: its xid, commit time and phase.
func (o *Out) Span() *Span { return o.span }

// Insert publishes a row that is new (or replaces the one with its key).
func Insert[P any](out *Out, row *P) {
	if s := schemaOf[P](out); s != nil {
		out.row(s, OpInsert, unsafe.Pointer(row), nil)
	}
}

// Update publishes the new version of a row whose key stays.
func Update[P any](out *Out, row *P) {
	if s := schemaOf[P](out); s != nil && out.isKeyed(s, OpUpdate) {
		out.row(s, OpUpdate, unsafe.Pointer(row), nil)
	}
}

// UpdateFrom publishes the new version of the row that had the key of old, of which only the fields marked key count.
func UpdateFrom[P any](out *Out, old, row *P) {
	if s := schemaOf[P](out); s != nil && out.isKeyed(s, OpUpdate) {
		from := unsafe.Pointer(old)
		if sameKey(s.columns, s.columns, from, unsafe.Pointer(row)) {
			from = nil
		}
		out.row(s, OpUpdate, unsafe.Pointer(row), from)
	}
}

// Delete takes back the row with the key of row, of which only the fields marked key count.
func Delete[P any](out *Out, row *P) {
	if s := schemaOf[P](out); s != nil && out.isKeyed(s, OpDelete) {
		out.head(s, OpDelete)
		s.writeDeleted(&out.rows, unsafe.Pointer(row))
		out.rows.null()
	}
}

// Truncate takes all rows of a public schema back.
func Truncate[P any](out *Out) {
	if s := schemaOf[P](out); s != nil {
		out.head(s, OpTruncate)
		out.rows.array(0)
		out.rows.null()
	}
}

// Map publishes one row for each source row that to makes one of: the ordinary case.
//
//	change    what is published
//	insert    the row, if there is one
//	update    the new row, from the old key if it changed; if there is none any more, a delete by the old key
//	delete    a delete by key
//	truncate  a truncate: let one table alone feed a public schema, or look at Change.Op instead
//
// to returns nil for a row that is not published. The source's key must be the public row's, in type and value, for a
// delete brings the old key alone; where it is not, use [MapWithKey].
func Map[S, P any](out *Out, change Change[S], to func(*S) (*P, error)) error {
	s := schemaOf[P](out)
	if s == nil {
		return nil
	}
	if err := s.takesKeysOf(change.table); err != nil {
		return err
	}
	checked := func(row *S) (*P, error) {
		public, err := to(row)
		if err == nil && public != nil && !sameKey(s.columns, change.table.columns, unsafe.Pointer(public), unsafe.Pointer(row)) {
			err = Fatal("public schema `%s` has other keys than table %s; use MapWithKey", s.name, change.table)
		}
		return public, err
	}
	key := func(row *S) *P {
		key := new(P)
		for i, j := nextKey(s.columns, 0), nextKey(change.table.columns, 0); i < len(s.columns); {
			copyField(&s.columns[i], &change.table.columns[j], unsafe.Pointer(key), unsafe.Pointer(row))
			i, j = nextKey(s.columns, i+1), nextKey(change.table.columns, j+1)
		}
		return key
	}
	if change.Op == OpUpdate && change.old == nil {
		// Most of what happens: the key is as it was, so the old one is asked for only where the row is taken back.
		public, err := checked(change.New)
		switch {
		case err != nil:
			return err
		case public != nil:
			Update(out, public)
		default:
			Delete(out, key(change.New))
		}
		return nil
	}
	return mapped(out, s, &change, checked, key)
}

// MapWithKey does as [Map], with a function that makes the public key of the source key: of the row that it is given and
// of the one that it returns only the fields marked key count.
func MapWithKey[S, P any](out *Out, change Change[S], key func(*S) *P, to func(*S) (*P, error)) error {
	s := schemaOf[P](out)
	if s == nil {
		return nil
	}
	return mapped(out, s, &change, to, func(row *S) *P { return key(keyOf(change.table, row)) })
}

func mapped[S, P any](out *Out, s *PublicSchema, change *Change[S], to func(*S) (*P, error), key func(*S) *P) error {
	var was, row *P
	var err error
	switch {
	case change.whole && change.old != nil:
		// The whole old row tells whether it was published at all.
		if was, err = to(change.old); err != nil {
			return err
		}
	case change.old != nil:
		was = key(change.old)
	case change.Op == OpUpdate:
		was = key(change.New)
	}
	if change.New != nil {
		if row, err = to(change.New); err != nil {
			return err
		}
	}
	switch {
	case change.Op == OpTruncate:
		Truncate[P](out)
	case row != nil && was != nil:
		UpdateFrom(out, was, row)
	case row != nil:
		Insert(out, row)
	case was != nil:
		Delete(out, was)
	}
	return nil
}

// schemaOf finds the public schema of a row type.
func schemaOf[P any](out *Out) *PublicSchema {
	row := reflect.TypeFor[P]()
	for _, s := range out.schemas {
		if s.row == row {
			return s
		}
	}
	out.mistaken(Fatal("the transform does not declare a public schema of %s: add it to Publishes", row))
	return nil
}

func (o *Out) mistaken(err error) {
	if o.mistake == nil {
		o.mistake = err
	}
}

func (o *Out) isKeyed(s *PublicSchema, op Op) bool {
	if s.keys == 0 {
		o.mistaken(Fatal("public schema `%s` has no key, so it is append-only: %ss can't be published", s.name, op))
	}
	return s.keys > 0
}

func (o *Out) row(s *PublicSchema, op Op, row, old unsafe.Pointer) {
	o.head(s, op)
	s.write(&o.rows, row)
	if old == nil {
		o.rows.null()
	} else {
		s.writeKey(&o.rows, old)
	}
}

func (o *Out) head(s *PublicSchema, op Op) {
	index := 0
	for o.schemas[index] != s {
		index++
	}
	o.count++
	o.rows.array(5)
	o.rows.int(int64(index))
	o.rows.int(int64(op))
	o.rows.int(int64(o.source))
}
