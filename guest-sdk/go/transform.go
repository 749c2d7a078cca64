package pelton

import (
	"fmt"
	"reflect"
)

// Version is the SDK's.
const Version = "0.1.0"

// Transform is what an author writes: what it reads, what it publishes, and the functions in between.
type Transform struct {
	Name, Version string

	// Publishes lists its public schemas, made by [Public].
	Publishes []*PublicSchema
	// Tables lists its functions, one a table, made by [Table], [TableIn] and [Message].
	Tables []Handler

	// Settings is a pointer to the struct that the manifest's settings fill before Init is called.
	//
	// A plain field is required, one with a default is not, and a pointer may be left out:
	//
	//	type settings struct {
	//		Prefix string  `pelton:"prefix" doc:"Put before every label."`
	//		Limit  int64   `default:"1000" doc:"How many orders of one customer are too many."`
	//		Label  *string
	//	}
	//
	// Fields are strings, bools, integers, floats, or what has an UnmarshalText.
	Settings any
	// Init is called when an instance starts.
	Init func(context *Context) error

	// Stateful says that it uses its state: what the variables made by [NewMap] hold.
	Stateful bool
	// StateVersion is raised when what is stored takes another shape; to give one is to be stateful. The first is 1.
	StateVersion uint32

	// Parallel allows the host to run several instances, each with its share of the keys.
	Parallel bool
	// WholeTransactions asks for batches that never end inside a source transaction, however large. One whose changes take
	// more than limits.memoryMib stops the transform.
	WholeTransactions bool
	// EndOfTransaction is called behind the last change that it takes of a source transaction, with WholeTransactions only.
	EndOfTransaction func(out *Out) error
}

// Handler is a table's function. [Table], [TableIn] and [Message] make it.
type Handler interface {
	source() *sourceTable
	run(in *input, out *Out) error
	// readsAhead returns false when there is no function that names the state which a change will need.
	readsAhead() bool
	ahead(in *input, ahead *Ahead)
	// forget forgets the changes that were read ahead and not run.
	forget()
}

// TableHandler is the function of a table whose rows are the struct Row.
type TableHandler[Row any] struct {
	table     sourceTable
	transform func(Change[Row], *Out) error
	names     func(Change[Row], *Ahead)
	rows      rows[Row]
	// The changes that were read ahead, in their order; the next one to run is at next.
	read []readAhead[Row]
	next int
}

// readAhead is a change that was read before the first of its batch was transformed, and where its bytes end.
type readAhead[Row any] struct {
	change Change[Row]
	end    int
	err    error
}

// readAheadMax is how many changes are kept; the others are read once more.
const readAheadMax = 1 << 14

// Table hands the changes of `schema.table` to a function. Without a schema it is `public`. Names stand as they are, without
// quotes.
//
// The columns that the fields of Row name are subscribed, no others: each exported field is the column with its name in
// snake case, or with that of its tag, `pelton:"name"`. Fields tagged `pelton:",key"` are the replica identity's columns,
// usually the primary key's; they are all that a delete brings. The tag `pelton:"-"` leaves a field out.
func Table[Row any](table string, transform func(Change[Row], *Out) error) *TableHandler[Row] {
	schema, name := splitTable(table)
	return TableIn(schema, name, transform)
}

// TableIn does as [Table] for a table whose name, or whose schema's, holds a dot.
func TableIn[Row any](schema, name string, transform func(Change[Row], *Out) error) *TableHandler[Row] {
	return &TableHandler[Row]{table: newTable(schema, name, reflect.TypeFor[Row]()), transform: transform}
}

// Message hands logical messages (pg_logical_emit_message) of that prefix to a function: each is an insert.
func Message(prefix string, transform func(Change[LogicalMessage], *Out) error) *TableHandler[LogicalMessage] {
	return TableIn(messageSchema, prefix, transform)
}

// LogicalMessage is what pg_logical_emit_message sent.
type LogicalMessage struct {
	Transactional bool
	Content       []byte
}

// Ops subscribes to these operations alone.
func (h *TableHandler[Row]) Ops(ops ...Op) *TableHandler[Row] {
	h.table.ops = ops
	return h
}

// ReadAhead adds a function that names the state which a change will need. It is called for every change of a batch before
// the first is transformed, and what it names is read at once.
//
// It is a hint and no more: what it does not name is read when it is needed, and what it names in vain does no harm.
func (h *TableHandler[Row]) ReadAhead(names func(Change[Row], *Ahead)) *TableHandler[Row] {
	h.names = names
	return h
}

func (h *TableHandler[Row]) source() *sourceTable { return &h.table }

func (h *TableHandler[Row]) run(in *input, out *Out) error {
	if h.next < len(h.read) {
		known := &h.read[h.next]
		h.next++
		in.reader.at = known.end
		if known.err != nil {
			return known.err
		}
		return h.transform(known.change, out)
	}
	change, err := readChange(in, &h.rows)
	if err != nil {
		return err
	}
	return h.transform(change, out)
}

func (h *TableHandler[Row]) readsAhead() bool { return h.names != nil }

func (h *TableHandler[Row]) ahead(in *input, ahead *Ahead) {
	change, err := readChange(in, &h.rows)
	if len(h.read) < readAheadMax {
		h.read = append(h.read, readAhead[Row]{change, in.reader.at, err})
	}
	if err == nil {
		h.names(change, ahead)
	}
}

func (h *TableHandler[Row]) forget() {
	clear(h.read)
	h.read, h.next = h.read[:0], 0
}

func (t *Transform) isStateful() bool { return t.Stateful || t.StateVersion > 0 }

func (t *Transform) stateVersion() uint32 { return max(t.StateVersion, 1) }

// check returns what is wrong with a transform, which is fatal.
func (t *Transform) check() error {
	switch {
	case t.Name == "" || t.Version == "":
		return Fatal("the transform has no name or no version: pelton.Transform{Name: \"orders\", Version: \"1.0.0\", …}")
	case len(t.Tables) == 0:
		return Fatal("the transform takes no changes: Tables: []pelton.Handler{pelton.Table(\"public.orders\", orders)}")
	case len(t.Publishes) == 0:
		return Fatal("the transform says not what it publishes: Publishes: []*pelton.PublicSchema{pelton.Public[Order](\"orders\", \"1.0\")}")
	case t.Parallel && t.WholeTransactions:
		return Fatal("Parallel and WholeTransactions exclude each other: parallel instances see parts of a transaction")
	case t.EndOfTransaction != nil && !t.WholeTransactions:
		return Fatal("EndOfTransaction needs WholeTransactions: a large transaction comes in pieces otherwise, and the last of them " +
			"may have no change that the transform takes")
	}
	for i, handler := range t.Tables {
		a := handler.source()
		if a.err != nil {
			return Fatal("table %s: %s", a, a.err)
		}
		for _, other := range t.Tables[:i] {
			if b := other.source(); a.schema == b.schema && a.name == b.name {
				return Fatal("two functions take the changes of table %s; make it one", a)
			}
		}
	}
	for i, a := range t.Publishes {
		if a.err != nil {
			return Fatal("public schema `%s`: %s", a.name, a.err)
		}
		for _, b := range t.Publishes[:i] {
			if a.name == b.name && a.major == b.major {
				return Fatal("public schema `%s` %d is declared twice", a.name, a.major)
			}
			if a.row == b.row {
				return Fatal("public schemas `%s` and `%s` have one row type, %s; give each its own", b.name, a.name, a.row)
			}
		}
	}
	_, err := settingsOf(t.Settings)
	return err
}

// exported is the program's transform.
var exported *Transform

// Export makes a transform the program's. Call it in an init function: a component's main is not called.
//
//	func init() { pelton.Export(&transform) }
//
//	func main() {}
func Export(transform *Transform) {
	if exported != nil {
		panic(fmt.Sprintf("pelton: the program exports two transforms, %s and %s", exported.Name, transform.Name))
	}
	exported = transform
}
