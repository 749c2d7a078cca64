package pelton

// What the host says of tables and transactions.

// Kind is what a column holds; it decides how its values travel.
type Kind struct {
	code kindCode
	// The kind of an array's elements, or the name of another type, by Postgres's name.
	name string
}

type kindCode uint8

// In the order of the contract's variant.
const (
	kindBool kindCode = iota
	kindInt16
	kindInt32
	kindInt64
	kindFloat32
	kindFloat64
	kindNumeric
	kindText
	kindBytea
	kindUUID
	kindJSON
	kindJSONB
	kindDate
	kindTime
	kindTimetz
	kindTimestamp
	kindTimestamptz
	kindInterval
	kindEnumeration
	kindArray
	kindOther
)

var kindNames = [...]string{
	"boolean", "smallint", "integer", "bigint", "real", "double precision", "numeric", "text", "bytea", "uuid", "json",
	"jsonb", "date", "time", "timetz", "timestamp", "timestamptz", "interval", "enum",
}

// KindOf returns the kind with a Postgres name, such as "bigint", "integer[]" or "varchar".
func KindOf(name string) Kind {
	for code, known := range kindNames {
		if known == name {
			return Kind{code: kindCode(code)}
		}
	}
	if name == "bool" {
		return Kind{code: kindBool}
	}
	if element := len(name) - len("[]"); element > 0 && name[element:] == "[]" {
		return Kind{kindArray, name[:element]}
	}
	return Kind{kindOther, name}
}

// String returns Postgres's name of the kind.
func (k Kind) String() string {
	switch k.code {
	case kindArray:
		return k.name + "[]"
	case kindOther:
		return k.name
	}
	return kindNames[k.code]
}

// isText tells the kinds that travel as Postgres's text.
func (k Kind) isText() bool {
	return k.code > kindFloat64 && k.code != kindBytea
}

// Attr is a name and a value of the contract's only extension point, and a setting as it was given.
type Attr struct{ Name, Value string }

// Column is a column of a [Relation].
type Column struct {
	Name     string
	Kind     Kind
	Nullable bool
	// Key marks the columns of the replica identity.
	Key   bool
	Attrs []Attr
}

// Identity is what Postgres writes of the old row on UPDATE and DELETE.
type Identity uint8

const (
	IdentityDefault Identity = iota // the primary key
	IdentityIndex                   // a chosen unique index
	IdentityFull                    // the whole row
	IdentityNothing
)

// Relation is a source table at one version of its columns.
type Relation struct {
	ID, Version  uint32
	Schema, Name string
	Identity     Identity
	Columns      []Column
	Attrs        []Attr
}

// Op is what a change does, or what happens to a public row.
type Op uint8

const (
	OpInsert Op = iota
	OpUpdate
	OpDelete
	OpTruncate
)

// String returns the operation's name.
func (op Op) String() string {
	return [...]string{"insert", "update", "delete", "truncate"}[op&3]
}

// Phase is where the changes of a transaction come from.
type Phase uint8

const (
	PhaseBackfill Phase = iota // rows that existed before the flow
	PhaseLive
	PhaseReplay
	PhaseTest
)

// Span is a run of a batch's changes that belong to one source transaction.
type Span struct {
	// Xid is 0 for backfill.
	Xid, Epoch uint32
	CommitLSN  uint64
	// CommitTime is in microseconds since 1970-01-01 UTC: the only clock that a transform gets.
	CommitTime   int64
	Phase        Phase
	First, Count uint32
	// Complete is false while a large transaction goes on in the next batch.
	Complete bool
	Attrs    []Attr
}

// Context is what the host says when an instance starts.
type Context struct {
	// Settings are the manifest's, by name.
	Settings            []Attr
	Relations           []Relation
	Instance, Instances uint32
	Attrs               []Attr
}
