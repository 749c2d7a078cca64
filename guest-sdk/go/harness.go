//go:build !wasip1

package pelton

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unsafe"
)

// Harness is a host for one transform, without WebAssembly and without a database: what tests of transforms run against.
//
//	host := pelton.NewHarness(&transform)
//	pelton.InsertRow(host, &Order{ID: 17, Customer: "Ann"})
//	output, err := host.Run()
//	fmt.Print(output) // insert orders id=17 label="Ann #17"
//
// Changes are encoded as the host would, so what is tested is all but the sandbox: the tags, what the replica identity
// sends, rejections, and state that is committed with the rows or dropped with them. Tests that use one do not run in
// parallel: a transform's variables are its own.
type Harness struct {
	transform  *Transform
	settings   []Attr
	relations  []Relation
	phase      Phase
	runner     *runner
	waiting    []waiting
	xid        uint32
	commitTime int64
	state      map[string][]byte
	tables     destination
	// What Settings held after Init: another harness may have filled it since.
	filled any
}

// waiting is a change since the last run, with the number of its transaction.
type waiting struct {
	xid   uint32
	bytes []byte
}

// NewHarness makes a host whose tables have their key fields as primary keys.
func NewHarness(transform *Transform) *Harness {
	h := &Harness{transform: transform, phase: PhaseTest, xid: 1, state: map[string][]byte{}, tables: destination{}}
	for i, handler := range transform.Tables {
		table := handler.source()
		relation := Relation{ID: uint32(i), Version: 1, Schema: table.schema, Name: table.name}
		for j := range table.columns {
			c := &table.columns[j]
			relation.Columns = append(relation.Columns, Column{Name: c.name, Kind: c.kind, Nullable: c.nullable, Key: c.key})
		}
		h.relations = append(h.relations, relation)
	}
	return h
}

// Setting gives a setting, as the manifest would.
func (h *Harness) Setting(name, value string) *Harness {
	h.settings = append(h.settings, Attr{name, value})
	return h
}

// Identity sets the replica identity of `schema.table`; until then it is the primary key.
func (h *Harness) Identity(table string, identity Identity) *Harness {
	schema, name := splitTable(table)
	for i := range h.relations {
		if relation := &h.relations[i]; relation.Schema == schema && relation.Name == name {
			relation.Identity = identity
			return h
		}
	}
	panic("pelton: the transform has no function for table " + table)
}

// Phase says where the changes come from from now on.
func (h *Harness) Phase(phase Phase) *Harness {
	h.phase = phase
	return h
}

// CommitTime sets the commit time of the transactions from now on, in microseconds since 1970-01-01 UTC.
func (h *Harness) CommitTime(micros int64) *Harness {
	h.commitTime = micros
	return h
}

// InsertRow inserts a row into its table.
func InsertRow[Row any](h *Harness, row *Row) {
	table, relation := tableOf[Row](h)
	h.change(table, relation, OpInsert, unsafe.Pointer(row), nil)
}

// UpdateRow updates a row. What is unchanged in row arrives as such; the old row is sent as far as the replica identity says.
func UpdateRow[Row any](h *Harness, old, row *Row) {
	table, relation := tableOf[Row](h)
	sent := unsafe.Pointer(old)
	if relation.Identity != IdentityFull && sameKey(table.columns, table.columns, unsafe.Pointer(old), unsafe.Pointer(row)) {
		sent = nil
	}
	h.change(table, relation, OpUpdate, unsafe.Pointer(row), sent)
}

// DeleteRow deletes a row. It panics where Postgres itself refuses it, under REPLICA IDENTITY NOTHING.
func DeleteRow[Row any](h *Harness, row *Row) {
	table, relation := tableOf[Row](h)
	if relation.Identity == IdentityNothing {
		panic("pelton: Postgres refuses deletes on a table with REPLICA IDENTITY NOTHING")
	}
	h.change(table, relation, OpDelete, nil, unsafe.Pointer(row))
}

// TruncateTable truncates the table of a row type.
func TruncateTable[Row any](h *Harness) {
	table, relation := tableOf[Row](h)
	h.change(table, relation, OpTruncate, nil, nil)
}

// EmitMessage sends a logical message, as pg_logical_emit_message does.
func (h *Harness) EmitMessage(prefix string, message LogicalMessage) {
	for i, handler := range h.transform.Tables {
		if table := handler.source(); table.schema == messageSchema && table.name == prefix {
			h.change(table, &h.relations[i], OpInsert, unsafe.Pointer(&message), nil)
			return
		}
	}
	panic("pelton: the transform has no function for messages " + prefix)
}

// Commit ends the source transaction: what comes next belongs to another one.
func (h *Harness) Commit() { h.xid++ }

// Restart replaces the instance, as the host may between any two batches: only the state survives.
func (h *Harness) Restart() { h.runner = nil }

// Run hands all changes since the last run to the transform, as one batch.
//
// As at the host, a batch with rejected changes runs again without them, and what the state had before comes back when it
// fails. The error is an [*Error], or what a function returned that is none; a batch to be retried comes again with the
// next run.
func (h *Harness) Run() (*Output, error) {
	batch := h.waiting
	h.waiting = nil
	h.xid++
	h.enter()
	out, err := h.run(batch)
	if err != nil {
		if known, ok := asError(err); ok && known.IsRetry() {
			h.waiting = batch
		}
		return nil, err
	}
	out.Logs, out.StateReads = host.lines, host.reads
	h.state = host.state
	h.tables.apply(h.transform.Publishes, out.Rows)
	return out, nil
}

// Table returns the rows of a public schema as they are at the destination now, in key order.
func (h *Harness) Table(name string) []string {
	for _, schema := range h.transform.Publishes {
		if schema.name == name {
			return h.tables.table(schema)
		}
	}
	panic("pelton: `" + name + "` is not published")
}

// State returns the entries of the state, by their keys: the bytes that the host keeps.
func (h *Harness) State() map[string][]byte { return maps.Clone(h.state) }

// WithState runs read with the state at hand: a StateMap can be read there.
func (h *Harness) WithState(read func() error) error {
	h.enter()
	state.open()
	defer state.close()
	return read()
}

func (h *Harness) enter() {
	host = fake{state: maps.Clone(h.state), level: LevelDebug, stateful: h.transform.isStateful()}
	if h.filled != nil {
		reflect.ValueOf(h.transform.Settings).Elem().Set(reflect.ValueOf(h.filled))
	}
}

func tableOf[Row any](h *Harness) (*sourceTable, *Relation) {
	row := reflect.TypeFor[Row]()
	for i, handler := range h.transform.Tables {
		if table := handler.source(); table.row == row {
			return table, &h.relations[i]
		}
	}
	panic(fmt.Sprintf("pelton: the transform has no function for rows of %s", row))
}

// change encodes a change as the host does: the columns in the relation's order, of the old row what its identity sends.
func (h *Harness) change(table *sourceTable, relation *Relation, op Op, row, old unsafe.Pointer) {
	var w writer
	w.array(4)
	w.int(int64(op))
	w.int(int64(relation.ID))
	for _, side := range [2]unsafe.Pointer{row, old} {
		if side == nil {
			w.null()
			continue
		}
		w.array(len(table.columns))
		for i := range table.columns {
			if c := &table.columns[i]; side == row || c.key || relation.Identity == IdentityFull {
				c.write(&w, side)
			} else {
				w.unchanged()
			}
		}
	}
	h.waiting = append(h.waiting, waiting{h.xid, w.data})
}

func (h *Harness) run(batch []waiting) (*Output, error) {
	if h.runner == nil {
		started, err := newRunner(h.transform, &Context{Settings: h.settings, Relations: h.relations, Instances: 1})
		if err != nil {
			return nil, err
		}
		h.runner = started
		if h.transform.Settings != nil {
			h.filled = reflect.ValueOf(h.transform.Settings).Elem().Interface()
		}
	}
	left := make([]int, len(batch))
	for i := range left {
		left[i] = i
	}
	var rejections []Rejection
	for {
		spans, payload := h.batch(batch, left)
		out, err := h.runner.process(spans, uint32(len(left)), payload)
		if err != nil {
			return nil, err
		}
		if len(out.rejected) == 0 {
			slices.SortFunc(rejections, func(a, b Rejection) int { return int(a.Index) - int(b.Index) })
			rows, err := readOutput(h.transform.Publishes, out, left)
			return &Output{Rows: rows, Rejected: rejections}, err
		}
		refused := map[int]bool{}
		for _, rejection := range out.rejected {
			refused[left[rejection.Index]] = true
			rejections = append(rejections, Rejection{uint32(left[rejection.Index]), rejection.Code, rejection.Message})
		}
		left = slices.DeleteFunc(left, func(i int) bool { return refused[i] })
		host.state = maps.Clone(h.state)
	}
}

func (h *Harness) batch(batch []waiting, left []int) ([]Span, []byte) {
	var spans []Span
	var w writer
	w.array(len(left))
	for first, i := range left {
		change := &batch[i]
		w.data = append(w.data, change.bytes...)
		if last := len(spans) - 1; last >= 0 && spans[last].Xid == change.xid {
			spans[last].Count++
			continue
		}
		spans = append(spans, Span{Xid: change.xid, Epoch: 1, CommitLSN: uint64(change.xid) << 8, CommitTime: h.commitTime,
			Phase: h.phase, First: uint32(first), Count: 1, Complete: true})
	}
	return spans, w.data
}

// LogLine is one line of the log, as a test sees it.
type LogLine struct {
	Level   Level
	Message string
	Fields  []Attr
}

// String returns `warn: a large transaction changes=3`.
func (l LogLine) String() string {
	var text strings.Builder
	text.WriteString(l.Level.String() + ": " + l.Message)
	for _, field := range l.Fields {
		text.WriteString(" " + field.Name + "=" + field.Value)
	}
	return text.String()
}
