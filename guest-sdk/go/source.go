package pelton

import (
	"reflect"
	"strings"
	"unsafe"
)

// Source rows: how the columns of a table become the fields of a struct.
//
// The host sends the subscribed columns, and always the replica identity, in catalog order, and that order changes with
// the table. So columns are matched by name, once for each relation (plan); a row is then read front to back, each column
// going to the field that the plan says, or being stepped over.

// sourceTable is a source table as a struct describes it.
type sourceTable struct {
	schema, name string
	row          reflect.Type
	columns      []column
	// Empty: all operations.
	ops []Op
	err error
}

func (t *sourceTable) String() string { return t.schema + "." + t.name }

// messageSchema is the schema of logical messages; their prefix is the table.
const messageSchema = "pg_logical_message"

// newTable describes a table; what is wrong with it is reported when the transform is described.
func newTable(schema, name string, row reflect.Type) sourceTable {
	columns, err := columnsOf(row)
	if err == nil && (schema == "" || name == "") {
		err = Fatal("a table without a name: write `schema.table`, without quotes around the names")
	}
	return sourceTable{schema: schema, name: name, row: row, columns: columns, err: err}
}

// splitTable splits `schema.table`; a name alone is a table of `public`.
func splitTable(table string) (schema, name string) {
	if schema, name, ok := strings.Cut(table, "."); ok {
		return schema, name
	}
	return "public", table
}

func (t *sourceTable) sees(ops ...Op) bool {
	for _, seen := range t.ops {
		for _, op := range ops {
			if seen == op {
				return true
			}
		}
	}
	return len(t.ops) == 0
}

// keyOf returns a new row with the key of another one.
func keyOf[Row any](t *sourceTable, row *Row) *Row {
	key := new(Row)
	for i := range t.columns {
		if c := &t.columns[i]; c.key {
			copyField(c, c, unsafe.Pointer(key), unsafe.Pointer(row))
		}
	}
	return key
}

// plan is where the columns of a relation go.
type plan struct {
	table *sourceTable
	// For each column of the relation the field that takes it; nil: it is part of the replica identity, or another
	// function's.
	fields []*column
	full   bool
}

// newPlan holds a relation against the struct that its rows become.
//
// The error is fatal: a column is missing, of a kind that its field can't take, or marked key and not part of the
// replica identity, so that updates and deletes would come without it.
func newPlan(table *sourceTable, relation *Relation) (*plan, error) {
	plan := &plan{table: table, full: relation.Identity == IdentityFull, fields: make([]*column, len(relation.Columns))}
	for i := range table.columns {
		field := &table.columns[i]
		at := -1
		for j := range relation.Columns {
			if relation.Columns[j].Name == field.name {
				at = j
			}
		}
		if at < 0 {
			return nil, Fatal("table %s has no column `%s`, which the transform reads; was it renamed or dropped?", table, field.name)
		}
		column := &relation.Columns[at]
		if !field.accepts(column.Kind) {
			return nil, Fatal("column `%s` of table %s is %s; the transform expects %s", field.name, table, column.Kind, field.expected)
		}
		if field.key && table.sees(OpUpdate, OpDelete) && !column.Key && !plan.full {
			return nil, Fatal("column `%s` of table %s is marked key and not part of the replica identity, so updates and deletes "+
				"come without it; mark the columns of the replica identity, or ALTER TABLE %s REPLICA IDENTITY FULL",
				field.name, table, table)
		}
		plan.fields[at] = field
	}
	return plan, nil
}

// row reads a row, or of its key alone, into the struct at base; full is the old row, where unchanged values are looked up.
func (p *plan) row(r *reader, base unsafe.Pointer, keyOnly bool, full *reader) error {
	columns, ok := r.array()
	if !ok {
		return errMalformed
	}
	if columns != len(p.fields) {
		return Fatal("the host sent %d columns for table %s, whose relation has %d", columns, p.table, len(p.fields))
	}
	for i, field := range p.fields {
		if field == nil || keyOnly && !field.key {
			if !r.skip() {
				return errMalformed
			}
			continue
		}
		if full != nil && r.peek() == markFixext1 {
			if err := p.fromOld(r, i, base, *full); err != nil {
				return err
			}
			continue
		}
		start := r.at
		if unfit := field.read(r, base); unfit != fits {
			r.at = start
			return p.unfit(r, field, unfit)
		}
	}
	return nil
}

// fromOld reads the old row's value of an unchanged column.
func (p *plan) fromOld(r *reader, at int, base unsafe.Pointer, old reader) error {
	if !r.skip() {
		return errMalformed
	}
	if old.isNil() {
		old = reader{data: []byte{markFixext1, 1, 0}}
	} else if columns, ok := old.array(); !ok || columns != len(p.fields) {
		return errMalformed
	} else {
		for range at {
			if !old.skip() {
				return errMalformed
			}
		}
	}
	start := old.at
	if unfit := p.fields[at].read(&old, base); unfit != fits {
		old.at = start
		return p.unfit(&old, p.fields[at], unfit)
	}
	return nil
}

// unfit returns the error for the value that comes next, which its field can't take.
func (p *plan) unfit(r *reader, field *column, unfit unfit) error {
	switch unfit {
	case unfitNull:
		return Reject("null", "column `%s` of table %s is NULL; make the field a pointer if that may be", field.name, p.table)
	case unfitUnchanged:
		return Reject("unchanged", "column `%s` of table %s is a TOASTed value that the update left alone, so it was not sent; "+
			"make the field Toasted[…], or ALTER TABLE %s REPLICA IDENTITY FULL", field.name, p.table, p.table)
	case unfitLabel:
		return Reject("label", "column `%s` of table %s holds a label that the enum does not have; add it", field.name, p.table)
	case unfitRange:
		return Fatal("column `%s` of table %s arrived as an integer that is too large; the transform expects %s",
			field.name, p.table, field.expected)
	}
	if rest := *r; !rest.skip() {
		return errMalformed
	}
	return Fatal("column `%s` of table %s arrived as %s; the transform expects %s", field.name, p.table, r.describe(), field.expected)
}

// input is one change on its way to its function.
type input struct {
	reader *reader
	op     Op
	plan   *plan
}

// readChange reads the change into its row type. The reader stands behind the change afterwards, unless there was an error.
func readChange[Row any](in *input, rows *rows[Row]) (change Change[Row], err error) {
	r, p := in.reader, in.plan
	change.Op, change.table = in.op, p.table
	switch in.op {
	case OpInsert, OpUpdate:
		// The old row stands behind the new one, whose unchanged values it fills.
		var full *reader
		if in.op == OpUpdate && p.full {
			behind := *r
			if !behind.skipRow() {
				return change, errMalformed
			}
			full = &behind
		}
		change.New = rows.next()
		if err = p.row(r, unsafe.Pointer(change.New), false, full); err != nil {
			return change, err
		}
	default:
		if !r.skipRow() {
			return change, errMalformed
		}
	}
	if in.op == OpInsert || in.op == OpTruncate {
		if !r.skipRow() {
			return change, errMalformed
		}
		return change, nil
	}
	if r.isNil() {
		if in.op == OpDelete {
			return change, Reject("no-old-row", "a delete of table %s came without its old row", p.table)
		}
		return change, nil
	}
	change.old, change.whole = rows.next(), p.full
	return change, p.row(r, unsafe.Pointer(change.old), !p.full, nil)
}

// rows makes rows, many at once: one allocation costs as much as reading a row. Every row is its reader's to keep.
type rows[Row any] struct {
	free []Row
}

const rowsAtOnce = 32

func (r *rows[Row]) next() *Row {
	if len(r.free) == 0 {
		r.free = make([]Row, rowsAtOnce)
	}
	row := &r.free[0]
	r.free = r.free[1:]
	return row
}
