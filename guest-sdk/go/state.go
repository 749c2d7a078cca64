package pelton

import (
	"reflect"
	"slices"
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

// overlay is what is known of the state while a batch is transformed.
type overlay struct {
	isOpen  bool
	entries map[string]*kept
	written []string
	bytes   int
	key     []byte
}

type kept struct {
	// nil: the key has no value.
	value   []byte
	written bool
}

// entry is a key of the state and its value; nil removes it.
type entry struct {
	key   string
	value []byte
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
	clear(o.entries)
	if o.entries == nil || o.bytes > overlayBytesMax/4 {
		o.entries = map[string]*kept{}
	}
	o.written, o.bytes = o.written[:0], 0
}

// check refuses what belongs to no batch: it would be committed with none, and seen in some runs only.
func (o *overlay) check() error {
	if o.isOpen {
		return nil
	}
	return Fatal("the transform uses its state outside of a batch, as in `Init`: read and write it in the functions that take changes")
}

// flush hands what was written to the host.
func (o *overlay) flush() error {
	if len(o.written) == 0 {
		return nil
	}
	slices.Sort(o.written)
	entries := make([]entry, len(o.written))
	for i, key := range o.written {
		kept := o.entries[key]
		kept.written = false
		entries[i] = entry{key, kept.value}
	}
	o.written = o.written[:0]
	return hostPut(entries)
}

func (o *overlay) keep(key string, value []byte, written bool) error {
	o.bytes += len(key) + len(value)
	known := o.entries[key]
	if known == nil {
		known = &kept{}
		o.entries[key] = known
	}
	if written && !known.written {
		o.written = append(o.written, key)
	}
	known.value, known.written = value, written
	if o.bytes <= overlayBytesMax {
		return nil
	}
	if err := o.flush(); err != nil {
		return err
	}
	o.forget()
	return nil
}

// fetch reads keys that are not known yet.
func (o *overlay) fetch(keys []string) ([][]byte, error) {
	values, err := hostGet(keys)
	if err == nil && len(values) != len(keys) {
		err = Fatal("the host returned another number of state values than was asked for")
	}
	return values, err
}

// StateMap is a part of the state, with keys and values of one type each. [NewMap] makes it.
type StateMap[K, V any] struct {
	name  string
	key   codec
	value codec
	err   error
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
	bytes := m.keyBytes(&key)
	if known := state.entries[string(bytes)]; known != nil {
		return m.read(known.value)
	}
	own := string(bytes)
	values, err := state.fetch([]string{own})
	if err != nil {
		return nil, err
	}
	value, err := m.read(values[0])
	if err != nil {
		return nil, err
	}
	return value, state.keep(own, values[0], false)
}

// GetMany returns the values of many keys, in their order, with one call to the host.
func (m *StateMap[K, V]) GetMany(keys []K) ([]*V, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	encoded, unknown := make([]string, len(keys)), []string(nil)
	for i := range keys {
		encoded[i] = string(m.keyBytes(&keys[i]))
		if state.entries[encoded[i]] == nil {
			unknown = append(unknown, encoded[i])
		}
	}
	slices.Sort(unknown)
	unknown = slices.Compact(unknown)
	fetched := map[string][]byte{}
	if len(unknown) > 0 {
		values, err := state.fetch(unknown)
		if err != nil {
			return nil, err
		}
		for i, key := range unknown {
			fetched[key] = values[i]
		}
	}
	values := make([]*V, len(keys))
	for i, key := range encoded {
		value, ok := fetched[key]
		if !ok {
			value = state.entries[key].value
		}
		read, err := m.read(value)
		if err != nil {
			return nil, err
		}
		values[i] = read
	}
	for _, key := range unknown {
		if err := state.keep(key, fetched[key], false); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// Put sets the value of a key.
func (m *StateMap[K, V]) Put(key K, value V) error {
	if err := m.check(); err != nil {
		return err
	}
	w := writer{data: make([]byte, 0, 32)}
	if err := m.value.write(&w, unsafe.Pointer(&value)); err != nil {
		return err
	}
	return m.keep(&key, w.data)
}

// Remove removes a key.
func (m *StateMap[K, V]) Remove(key K) error {
	if err := m.check(); err != nil {
		return err
	}
	return m.keep(&key, nil)
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
		behind = []byte(string(m.keyBytes(after)))
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

func (m *StateMap[K, V]) keep(key *K, value []byte) error {
	return state.keep(string(m.keyBytes(key)), value, true)
}

// keyBytes encodes a key; the bytes are good until the next call.
func (m *StateMap[K, V]) keyBytes(key *K) []byte {
	w := writer{data: append(append(state.key[:0], m.name...), 0)}
	// Keys hold nothing that can't be written.
	_ = m.key.write(&w, unsafe.Pointer(key))
	state.key = w.data
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
