//go:build !wasip1

package pelton

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Output is what came of a batch. Printed, it is one line a row.
type Output struct {
	Rows []PublicRow
	// Rejected counts changes since the last run.
	Rejected []Rejection
	Logs     []LogLine
	// StateReads is how often the host was asked for values of the state: once, where all was read ahead.
	StateReads int
}

// String returns one line a row.
func (o *Output) String() string {
	var text strings.Builder
	for i := range o.Rows {
		text.WriteString(o.Rows[i].String() + "\n")
	}
	return text.String()
}

// PublicRow is a public row.
type PublicRow struct {
	Schema *PublicSchema
	Op     Op
	// Source is the index of the change that it came from, since the last run.
	Source int
	// Values are in the order of the schema's columns: nil for NULL, [UnchangedValue], bool, int64, float64, string or []byte.
	Values []any
	// OldKey is the key that an update changed, or nil.
	OldKey []any
}

// UnchangedValue is a value of a [PublicRow] that leaves the destination's column as it is.
type UnchangedValue struct{}

// String returns `update people from (1) id=3 name="ANN"`; of a delete the key alone.
func (r *PublicRow) String() string {
	var text strings.Builder
	text.WriteString(r.Op.String() + " " + r.Schema.name)
	if r.OldKey != nil {
		var key []string
		for _, value := range r.OldKey {
			key = append(key, showValue(value))
		}
		text.WriteString(" from (" + strings.Join(key, ", ") + ")")
	}
	for i, value := range r.Values {
		if _, unchanged := value.(UnchangedValue); !unchanged || r.Op != OpDelete {
			text.WriteString(" " + r.Schema.columns[i].name + "=" + showValue(value))
		}
	}
	return text.String()
}

func showValue(value any) string {
	switch value := value.(type) {
	case nil:
		return "NULL"
	case UnchangedValue:
		return "unchanged"
	case string:
		return strconv.Quote(value)
	case []byte:
		return `\x` + hex.EncodeToString(value)
	}
	return fmt.Sprint(value)
}

// readValue reads one value as a test sees it.
func readValue(r *reader) (value any, ok bool) {
	switch mark := r.peek(); {
	case mark == markNil:
		return nil, r.isNil()
	case mark == markFixext1:
		return UnchangedValue{}, r.isUnchanged()
	case mark == markFalse || mark == markTrue:
		return r.bool()
	case mark == markFloat32 || mark == markFloat64:
		return r.float()
	case mark >= markBin8 && mark <= markBin32:
		return r.bytes()
	case mark >= 0xa0 && mark <= 0xbf || mark >= markStr8 && mark <= markStr32:
		return r.text()
	}
	return r.int()
}

// readRow reads a row of values; nil where there is none.
func readRow(r *reader) (values []any, ok bool) {
	if r.isNil() {
		return nil, true
	}
	count, ok := r.array()
	values = []any{}
	for ; ok && count > 0; count-- {
		var value any
		value, ok = readValue(r)
		values = append(values, value)
	}
	return values, ok
}

// readOutput reads a transform's output as the host does, sources being the changes of its batch.
func readOutput(schemas []*PublicSchema, out output, sources []int) ([]PublicRow, error) {
	r := &reader{data: out.payload}
	count, ok := r.array()
	rows := make([]PublicRow, 0, count)
	for ; ok && count > 0; count-- {
		_, ok1 := r.array()
		schema, ok2 := r.index()
		op, ok3 := r.index()
		source, ok4 := r.index()
		values, ok5 := readRow(r)
		oldKey, ok6 := readRow(r)
		if ok = ok1 && ok2 && ok3 && ok4 && ok5 && ok6; !ok {
			break
		}
		row := PublicRow{schemas[schema], Op(op), sources[source], values, oldKey}
		for i, value := range values {
			if _, unchanged := value.(UnchangedValue); unchanged && row.Op == OpInsert {
				return nil, Fatal("column `%s` of public schema `%s` is unchanged in an insert: there is nothing to leave as it is",
					row.Schema.columns[i].name, row.Schema.name)
			}
		}
		rows = append(rows, row)
	}
	if !ok || !r.isEmpty() {
		return nil, errMalformed
	}
	return rows, nil
}

// destination is the tables that public rows are kept in: what a reader of the destination sees.
type destination map[*PublicSchema][][]any

func (d destination) apply(schemas []*PublicSchema, rows []PublicRow) {
	for i := range rows {
		d[rows[i].Schema] = applied(d[rows[i].Schema], &rows[i])
	}
}

func applied(table [][]any, row *PublicRow) [][]any {
	s := row.Schema
	switch {
	case row.Op == OpTruncate:
		return nil
	case s.keys == 0:
		return append(table, row.Values)
	}
	old := fmt.Sprint(row.OldKey)
	if row.OldKey == nil {
		old = s.keyText(row.Values)
	}
	at := slices.IndexFunc(table, func(values []any) bool { return s.keyText(values) == old })
	var existing []any
	if at >= 0 {
		existing = table[at]
		table = slices.Delete(table, at, at+1)
	}
	if row.Op == OpDelete {
		return table
	}
	values := slices.Clone(row.Values)
	for i := range values {
		if _, unchanged := values[i].(UnchangedValue); unchanged {
			if existing == nil {
				// There is nothing to leave as it is: an UPDATE that finds no row.
				return table
			}
			values[i] = existing[i]
		}
	}
	key := s.keyText(values)
	table = slices.DeleteFunc(table, func(other []any) bool { return s.keyText(other) == key })
	return append(table, values)
}

// keyText tells keys apart.
func (s *PublicSchema) keyText(values []any) string {
	var key []any
	for i := range s.columns {
		if s.columns[i].key {
			key = append(key, values[i])
		}
	}
	return fmt.Sprint(key)
}

// table returns the rows of a schema as text, sorted by their keys.
func (d destination) table(s *PublicSchema) []string {
	rows := slices.Clone(d[s])
	slices.SortStableFunc(rows, func(a, b []any) int {
		for i := range s.columns {
			if order := compareValues(a[i], b[i]); s.columns[i].key && order != 0 {
				return order
			}
		}
		return 0
	})
	lines := []string{}
	for _, values := range rows {
		var line []string
		for i, value := range values {
			line = append(line, s.columns[i].name+"="+showValue(value))
		}
		lines = append(lines, strings.Join(line, " "))
	}
	return lines
}

func compareValues(a, b any) int {
	if first, ok := a.(int64); ok {
		if second, ok := b.(int64); ok {
			return int(min(max(first-second, -1), 1))
		}
	}
	return strings.Compare(showValue(a), showValue(b))
}
