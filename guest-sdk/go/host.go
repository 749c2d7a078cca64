//go:build !wasip1

package pelton

import (
	"slices"
	"strings"
)

// What a transform can ask of the host: to log, and its own state. There is nothing else. In WebAssembly these are the
// imports of wit/transform.wit; anywhere else they ask this fake, so that a transform runs in an ordinary test (Harness).

type fake struct {
	state map[string][]byte
	lines []LogLine
	level Level
	// The transform declares itself stateful; otherwise the host refuses it its state.
	stateful bool
	// How often it was asked for values.
	reads int
}

var host fake

func hostEnabled(level Level) bool { return level >= host.level }

func hostLog(level Level, message string, fields []Attr) {
	host.lines = append(host.lines, LogLine{level, message, fields})
}

func (f *fake) check() error {
	if f.stateful {
		return nil
	}
	return Fatal("the transform uses state and does not declare it: say Stateful: true")
}

func hostGet(keys []string) ([][]byte, error) {
	host.reads++
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i] = host.state[key]
	}
	return values, host.check()
}

func hostPut(entries []entry) error {
	if err := host.check(); err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.value == nil {
			delete(host.state, entry.key)
		} else {
			host.state[entry.key] = entry.value
		}
	}
	return nil
}

func hostScan(prefix string, after []byte, limit uint32) ([]entry, error) {
	var entries []entry
	for key, value := range host.state {
		if strings.HasPrefix(key, prefix) && (after == nil || key > string(after)) {
			entries = append(entries, entry{key: key, value: value})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.key, b.key) })
	return entries[:min(len(entries), int(limit))], host.check()
}
