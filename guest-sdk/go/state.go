package pelton

import (
	"bytes"
	"reflect"
	"strings"
	"unsafe"
)

// State: a transform's own keys and values, committed together with the rows that it made.
//
// Reads are remembered and writes collected until the batch ends, so the host is called once a batch to write, and once a
// key to read it first; Map.GetMany and Ahead read many at once. When a batch fails, all of it is forgotten, here and at
// the host.

// overlayBytesMax is what is kept of a batch before it goes to the host, and is read again after that.
const overlayBytesMax = 4 << 20

// overlayEntriesKept is how many entries keep their room from one batch to the next.
const overlayEntriesKept = 1 << 14

// overlay is what is known of the state while a batch is transformed.
type overlay struct {
	isOpen  bool
	index   map[string]int
	entries []entry
	// Which entries are not known, and which are written.
	unknown, written []int
	bytes            int
	scratch          writer
}

// entry is a key of the state and its value; nil is none.
type entry struct {
	key   string
	value []byte
	// The value is what the host has, or will have. What is only named by Ahead is not known.
	known   bool
	written bool
}

var state overlay

// open begins with nothing: the last batch may have failed.
func (o *overlay) open() {
	o.forget()
	o.isOpen = true
}

func (o *overlay) close() {
	o.isOpen = false
	o.forget()
}

func (o *overlay) forget() {
	if o.index == nil || len(o.entries) > overlayEntriesKept {
		o.index, o.entries = map[string]int{}, nil
	}
	clear(o.index)
	clear(o.entries)
	o.entries, o.unknown, o.written, o.bytes = o.entries[:0], o.unknown[:0], o.written[:0], 0
}

// check refuses what belongs to no batch: it would be committed with none, and seen in some runs only.
func (o *overlay) check() error {
	if o.isOpen {
		return nil
	}
	return Fatal("the transform uses its state outside of a batch, as in `Init`: read and write it in the functions that take changes")
}

// at returns the index of a key's entry, which is made if there is none.
func (o *overlay) at(key []byte) int {
	i, ok := o.index[string(key)]
	if !ok {
		own := string(key)
		i = len(o.entries)
		o.index[own] = i
		o.entries = append(o.entries, entry{key: own})
		o.unknown = append(o.unknown, i)
		o.bytes += len(key)
	}
	return i
}

// fetch asks the host for the entries that are not known, with one call.
func (o *overlay) fetch() error {
	var keys []string
	unknown := o.unknown[:0]
	for _, i := range o.unknown {
		if !o.entries[i].known {
			keys, unknown = append(keys, o.entries[i].key), append(unknown, i)
		}
	}
	o.unknown = unknown
	if len(keys) == 0 {
		return nil
	}
	values, err := hostGet(keys)
	if err != nil {
		return err
	}
	if len(values) != len(keys) {
		return Fatal("the host returned another number of state values than was asked for")
	}
	for next, i := range unknown {
		o.entries[i].value, o.entries[i].known = values[next], true
		o.bytes += len(values[next])
	}
	o.unknown = o.unknown[:0]
	return nil
}

// set gives a key a value.
func (o *overlay) set(key, value []byte) error {
	i := o.at(key)
	entry := &o.entries[i]
	if !entry.written {
		o.written = append(o.written, i)
	}
	entry.value, entry.known, entry.written = value, true, true
	o.bytes += len(value)
	return o.shrink()
}

// shrink forgets what has become too much, once it is written.
func (o *overlay) shrink() error {
	if o.bytes <= overlayBytesMax {
		return nil
	}
	if err := o.flush(); err != nil {
		return err
	}
	o.forget()
	return nil
}

// flush hands what was written to the host.
func (o *overlay) flush() error {
	if len(o.written) == 0 {
		return nil
	}
	written := make([]entry, len(o.written))
	for next, i := range o.written {
		written[next] = o.entries[i]
		o.entries[i].written = false
	}
	o.written = o.written[:0]
	return hostPut(written)
}

// StateMap is a part of the state, with keys and values of one type each. [NewMap] makes it.
type StateMap[K, V any] struct {
	name  string
	key   codec
	value codec
	err   error
	// What is encoded stands here, so that it need not be allocated.
	lastKey   K
	lastValue V
}

// NewMap names a part of the state; two maps of one transform have different names. Make it a variable of the package:
//
//	var orders = pelton.NewMap[int64, int64]("orders by customer")
//
// A transform that uses it says Stateful. An instance may be replaced between any two batches, so whatever must survive
// goes here, never into variables. When what is stored takes another shape, raise StateVersion.
//
// Keys are bools, integers, [Int128], strings, []byte, the text types of this package, and structs of these; a map is
// scanned in their order. Values are also float64, pointers (nil or not), slices, and structs of exported fields, whose
// order counts. A map that is a set has values of struct{}.
//
// It is used in the functions that take changes, never in Init: what is read or written belongs to a batch.
func NewMap[K, V any](name string) *StateMap[K, V] {
	m := &StateMap[K, V]{name: name}
	if strings.IndexByte(name, 0) >= 0 {
		m.err = Fatal("the name of a map of the state can't hold a zero byte")
	}
	var err error
	if m.key, err = keyCodec(reflect.TypeFor[K]()); err != nil && m.err == nil {
		m.err = Fatal("keys of the state `%s`: %s", name, err)
	}
	if m.value, err = valueCodec(reflect.TypeFor[V]()); err != nil && m.err == nil {
		m.err = Fatal("values of the state `%s`: %s", name, err)
	}
	return m
}

// Get returns the value of a key; nil if it has none.
//
// The error is what the host says, or fatal: what is stored is no V, or there is no batch, as in Init.
func (m *StateMap[K, V]) Get(key K) (*V, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	entry := state.at(m.keyBytes(key))
	if !state.entries[entry].known {
		if err := state.fetch(); err != nil {
			return nil, err
		}
	}
	value, err := m.read(state.entries[entry].value)
	if err != nil {
		return nil, err
	}
	return value, state.shrink()
}

// GetMany returns the values of many keys, in their order, with one call to the host.
func (m *StateMap[K, V]) GetMany(keys []K) ([]*V, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	for _, key := range keys {
		state.at(m.keyBytes(key))
	}
	if err := state.fetch(); err != nil {
		return nil, err
	}
	values := make([]*V, len(keys))
	for i, key := range keys {
		value, err := m.read(state.entries[state.at(m.keyBytes(key))].value)
		if err != nil {
			return nil, err
		}
		values[i] = value
	}
	return values, state.shrink()
}

// Put sets the value of a key.
func (m *StateMap[K, V]) Put(key K, value V) error {
	if err := m.check(); err != nil {
		return err
	}
	m.lastValue = value
	w := &state.scratch
	w.data = w.data[:0]
	if err := m.value.write(w, unsafe.Pointer(&m.lastValue)); err != nil {
		return err
	}
	bytes := append([]byte{}, w.data...)
	return state.set(m.keyBytes(key), bytes)
}

// Remove removes a key.
func (m *StateMap[K, V]) Remove(key K) error {
	if err := m.check(); err != nil {
		return err
	}
	return state.set(m.keyBytes(key), nil)
}

// Scan returns up to limit entries in key order, beginning behind after, or at the first where it is nil.
func (m *StateMap[K, V]) Scan(after *K, limit int) ([]Entry[K, V], error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	if err := state.flush(); err != nil {
		return nil, err
	}
	prefix := m.name + "\x00"
	var behind []byte
	if after != nil {
		behind = bytes.Clone(m.keyBytes(*after))
	}
	found, err := hostScan(prefix, behind, uint32(limit))
	if err != nil {
		return nil, err
	}
	entries := make([]Entry[K, V], len(found))
	for i, raw := range found {
		key, ok := strings.CutPrefix(raw.key, prefix)
		r := reader{data: []byte(key)}
		if !ok || m.key.read(&r, unsafe.Pointer(&entries[i].Key)) != nil || !r.isEmpty() {
			return nil, m.unreadable()
		}
		value, err := m.read(raw.value)
		if err != nil {
			return nil, err
		}
		if value == nil {
			return nil, m.unreadable()
		}
		entries[i].Value = *value
	}
	return entries, nil
}

// Entry is a key of a [StateMap] and its value.
type Entry[K, V any] struct {
	Key   K
	Value V
}

// ForEach calls each for every entry in key order, reading them in batches. Its error is each's or the host's.
func (m *StateMap[K, V]) ForEach(each func(key K, value V) error) error {
	const batch = 256
	var after *K
	for {
		entries, err := m.Scan(after, batch)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := each(entry.Key, entry.Value); err != nil {
				return err
			}
		}
		if len(entries) < batch {
			return nil
		}
		after = &entries[batch-1].Key
	}
}

// Clear removes every key, in batches.
func (m *StateMap[K, V]) Clear() error {
	return m.ForEach(func(key K, _ V) error { return m.Remove(key) })
}

func (m *StateMap[K, V]) check() error {
	if m.err != nil {
		return m.err
	}
	return state.check()
}

// keyBytes encodes a key; the bytes are good until something else is encoded.
func (m *StateMap[K, V]) keyBytes(key K) []byte {
	m.lastKey = key
	w := &state.scratch
	w.data = append(append(w.data[:0], m.name...), 0)
	// Keys hold nothing that can't be written.
	_ = m.key.write(w, unsafe.Pointer(&m.lastKey))
	return w.data
}

// read decodes a value; nil is none.
func (m *StateMap[K, V]) read(bytes []byte) (*V, error) {
	if bytes == nil {
		return nil, nil
	}
	value, r := new(V), reader{data: bytes}
	if m.value.read(&r, unsafe.Pointer(value)) != nil || !r.isEmpty() {
		return nil, m.unreadable()
	}
	return value, nil
}

func (m *StateMap[K, V]) unreadable() error {
	return Fatal("the state `%s` holds what this version of the transform can't read: its types were changed, so raise "+
		"StateVersion and rebuild", m.name)
}
