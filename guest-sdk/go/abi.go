package pelton

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// The contract's records in the component model's canonical ABI, as far as transformer of wit/transform.wit uses it: it is
// small and frozen, so the layouts stand here by hand. Addresses and lengths are 32 bits, little endian; a record's fields
// stand at multiples of their sizes; a variant is its case in one byte, and behind it the payload at a multiple of 4.
//
// The host writes arguments, and results of imports, into memory that it asks for, and reads what it is handed when
// the call has returned. Go's collector moves no heap memory, and what crosses is held by memory until it is over. So a
// batch is read where the host wrote it: whatever points into it keeps it alive.

// memory is the linear memory: of the component, or a slice in a test.
type memory interface {
	// alloc returns zeroed memory at a multiple of 8.
	alloc(size int) (address uint32, bytes []byte)
	// lend returns where bytes are; they stay there until the crossing is over.
	lend(bytes []byte) uint32
	// at returns what is at an address.
	at(address, size uint32) []byte
}

const (
	stringSize       = 8
	attrSize         = 16
	columnSize       = 40
	relationSize     = 44
	spanSize         = 48
	subscriptionSize = 40
	publicSchemaSize = 32
	settingSize      = 32
	rejectionSize    = 20
	// result<T, error>: the case, and behind it the larger one of T and an error, which is at most 24 bytes.
	resultSize     = 28
	descriptorSize = 4 + 60
)

func get32(from []byte, at int) uint32 { return binary.LittleEndian.Uint32(from[at:]) }

func get64(from []byte, at int) uint64 { return binary.LittleEndian.Uint64(from[at:]) }

func put32(to []byte, at int, value uint32) { binary.LittleEndian.PutUint32(to[at:], value) }

func putBool(to []byte, at int, value bool) {
	if value {
		to[at] = 1
	}
}

// --- from the host ---

func liftString(m memory, from []byte, at int) string {
	bytes := liftBytes(m, from, at)
	return unsafe.String(unsafe.SliceData(bytes), len(bytes))
}

func liftBytes(m memory, from []byte, at int) []byte {
	return m.at(get32(from, at), get32(from, at+4))
}

// liftList reads the list whose address and length stand at that place.
func liftList[T any](m memory, from []byte, at, size int, lift func(memory, []byte) T) []T {
	return liftItems(m, get32(from, at), get32(from, at+4), size, lift)
}

func liftItems[T any](m memory, address, count uint32, size int, lift func(memory, []byte) T) []T {
	bytes := m.at(address, count*uint32(size))
	items := make([]T, count)
	for i := range items {
		items[i] = lift(m, bytes[i*size:][:size])
	}
	return items
}

func liftAttr(m memory, from []byte) Attr {
	return Attr{liftString(m, from, 0), liftString(m, from, 8)}
}

func liftColumn(m memory, from []byte) Column {
	kind := Kind{code: kindCode(from[8])}
	if kind.code >= kindArray {
		kind.name = liftString(m, from, 12)
	}
	return Column{
		Name:     liftString(m, from, 0),
		Kind:     kind,
		Nullable: from[28] != 0,
		Key:      from[29] != 0,
		Attrs:    liftList(m, from, 32, attrSize, liftAttr),
	}
}

func liftRelation(m memory, from []byte) Relation {
	return Relation{
		ID:       get32(from, 0),
		Version:  get32(from, 4),
		Schema:   liftString(m, from, 8),
		Name:     liftString(m, from, 16),
		Identity: Identity(from[24]),
		Columns:  liftList(m, from, 28, columnSize, liftColumn),
		Attrs:    liftList(m, from, 36, attrSize, liftAttr),
	}
}

func liftSpan(m memory, from []byte) Span {
	return Span{
		Xid:        get32(from, 0),
		Epoch:      get32(from, 4),
		CommitLSN:  get64(from, 8),
		CommitTime: int64(get64(from, 16)),
		Phase:      Phase(from[24]),
		First:      get32(from, 28),
		Count:      get32(from, 32),
		Complete:   from[36] != 0,
		Attrs:      liftList(m, from, 40, attrSize, liftAttr),
	}
}

// liftError reads the error of a result; nil is none.
func liftError(m memory, from []byte) error {
	if from[0] == 0 {
		return nil
	}
	switch verdict(from[4]) {
	case retryable:
		return &Error{verdict: retryable, Message: liftString(m, from, 8), AfterMs: get32(from, 16)}
	case rejected:
		return &Error{verdict: fatal, Message: liftString(m, from, 20)}
	}
	return &Error{verdict: fatal, Message: liftString(m, from, 8)}
}

// liftValue reads an option<bytes>; nil is none.
func liftValue(m memory, from []byte) []byte {
	if from[0] == 0 {
		return nil
	}
	return liftBytes(m, from, 4)
}

func liftEntry(m memory, from []byte) entry {
	return entry{key: liftString(m, from, 0), value: liftBytes(m, from, 8)}
}

// --- to the host ---

func lowerBytes(m memory, to []byte, at int, bytes []byte) {
	put32(to, at, m.lend(bytes))
	put32(to, at+4, uint32(len(bytes)))
}

func lowerString(m memory, to []byte, at int, text string) {
	lowerBytes(m, to, at, unsafe.Slice(unsafe.StringData(text), len(text)))
}

// lowerList writes a list, and its address and length at that place.
func lowerList[T any](m memory, to []byte, at int, items []T, size int, lower func(memory, []byte, *T)) {
	address := lowerItems(m, items, size, lower)
	put32(to, at, address)
	put32(to, at+4, uint32(len(items)))
}

func lowerItems[T any](m memory, items []T, size int, lower func(memory, []byte, *T)) uint32 {
	address, bytes := m.alloc(len(items) * size)
	for i := range items {
		lower(m, bytes[i*size:][:size], &items[i])
	}
	return address
}

func lowerText(m memory, to []byte, text *string) { lowerString(m, to, 0, *text) }

func lowerAttr(m memory, to []byte, attr *Attr) {
	lowerString(m, to, 0, attr.Name)
	lowerString(m, to, 8, attr.Value)
}

// lowerError writes a result that is an error.
func lowerError(m memory, to []byte, err *Error) {
	to[0] = 1
	switch {
	case err.IsRetry():
		to[4] = byte(retryable)
		lowerString(m, to, 8, err.Message)
		put32(to, 16, err.AfterMs)
	case err.IsRejected():
		// Rejected changes stand in the output; outside of a batch there is none that could be rejected.
		to[4] = byte(fatal)
		lowerString(m, to, 8, err.Code+": "+err.Message)
	default:
		to[4] = byte(fatal)
		lowerString(m, to, 8, err.Message)
	}
}

func lowerOutput(m memory, to []byte, out *output) {
	put32(to, 4, out.count)
	lowerBytes(m, to, 8, out.payload)
	lowerList(m, to, 16, out.rejected, rejectionSize, func(m memory, to []byte, rejection *Rejection) {
		put32(to, 0, rejection.Index)
		lowerString(m, to, 4, rejection.Code)
		lowerString(m, to, 12, rejection.Message)
	})
}

const entrySize = 20

func lowerEntry(m memory, to []byte, entry *entry) {
	lowerString(m, to, 0, entry.key)
	if entry.value != nil {
		to[8] = 1
		lowerBytes(m, to, 12, entry.value)
	}
}

// lowerDescriptor writes what a transform says of itself; check has found nothing wrong with it.
func lowerDescriptor(m memory, to []byte, t *Transform) {
	to = to[4:]
	lowerString(m, to, 0, t.Name)
	lowerString(m, to, 8, t.Version)
	// The encoding, 0: MessagePack.
	lowerList(m, to, 20, t.Tables, subscriptionSize, lowerSubscription)
	lowerList(m, to, 28, t.Publishes, publicSchemaSize, lowerPublicSchema)
	settings, _ := settingsOf(t.Settings)
	lowerList(m, to, 36, settings, settingSize, lowerSetting)
	putBool(to, 44, t.Parallel)
	putBool(to, 45, t.WholeTransactions)
	putBool(to, 46, t.isStateful())
	put32(to, 48, t.stateVersion())
	lowerList(m, to, 52, []Attr{{"sdk", "pelton-sdk-go " + Version}}, attrSize, lowerAttr)
}

func lowerSubscription(m memory, to []byte, handler *Handler) {
	table := (*handler).source()
	names := make([]string, len(table.columns))
	for i := range names {
		names[i] = table.columns[i].name
	}
	lowerString(m, to, 0, table.schema)
	lowerString(m, to, 8, table.name)
	lowerList(m, to, 16, names, stringSize, lowerText)
	lowerList(m, to, 24, table.ops, 1, func(_ memory, to []byte, op *Op) { to[0] = byte(*op) })
	lowerList(m, to, 32, nil, attrSize, lowerAttr)
}

func lowerPublicSchema(m memory, to []byte, schema **PublicSchema) {
	s := *schema
	lowerString(m, to, 0, s.name)
	put32(to, 8, s.major)
	put32(to, 12, s.minor)
	lowerList(m, to, 16, s.columns, columnSize, lowerColumn)
	lowerList(m, to, 24, nil, attrSize, lowerAttr)
}

func lowerColumn(m memory, to []byte, c *column) {
	lowerString(m, to, 0, c.name)
	to[8] = byte(c.kind.code)
	if c.kind.code >= kindArray {
		lowerString(m, to, 12, c.kind.name)
	}
	// No type OID; and the modifier is left open.
	put32(to, 24, math.MaxUint32)
	putBool(to, 28, c.nullable)
	putBool(to, 29, c.key)
	lowerList(m, to, 32, nil, attrSize, lowerAttr)
}

func lowerSetting(m memory, to []byte, s *setting) {
	lowerString(m, to, 0, s.name)
	putBool(to, 8, s.required)
	if s.def != nil {
		to[12] = 1
		lowerString(m, to, 16, *s.def)
	}
	lowerString(m, to, 24, s.doc)
}
