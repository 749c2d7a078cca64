package pelton

// Reading ahead: the state that a whole batch will need, with one call to the host.

// aheadBytesMax is how many bytes of keys are asked for at once.
const aheadBytesMax = 1 << 20

// Ahead takes the keys that a batch will read; [ReadAhead] names them.
type Ahead struct{ bytes int }

// ReadAhead names a key that will be read. A transform that reads one key a change asks its host once a change, and the
// host may have to ask a database; see [TableHandler.ReadAhead].
func ReadAhead[K, V any](ahead *Ahead, m *StateMap[K, V], key K) {
	if m.err != nil || ahead.bytes >= aheadBytesMax {
		return
	}
	ahead.bytes += len(state.entries[state.at(m.keyBytes(key))].key)
}
