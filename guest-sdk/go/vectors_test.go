package pelton

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"
)

// Holds reading and writing to wit/vectors/, as the host is.

type vectorColumn struct {
	Name string
	Kind json.RawMessage
	Key  bool
}

type vectorRow = []map[string]any

type vectorCase struct {
	Name     string
	Relation struct{ Columns []vectorColumn }
	Changes  json.RawMessage
	Schemas  []struct{ Columns []vectorColumn } `json:"public_schemas"`
	Rows     []struct {
		Schema int `json:"public_schema"`
		Op     string
		Source int64
		Values vectorRow
		OldKey *vectorRow `json:"old_key"`
	}
	Msgpack string
}

func vectors(t *testing.T, file string) []vectorCase {
	text, err := os.ReadFile("../../wit/vectors/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []vectorCase
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) <= 5 {
		t.Fatalf("%s holds %d cases: %v", file, len(cases), err)
	}
	return cases
}

func opOf(name string) int64 {
	return int64(slices.Index([]string{"insert", "update", "delete", "truncate"}, name))
}

// vectorValue returns a value of the vectors as readValue does.
func vectorValue(t *testing.T, value map[string]any, kind string) any {
	for name, inner := range value {
		text, _ := inner.(string)
		switch name {
		case "unchanged":
			return UnchangedValue{}
		case "bool":
			return inner
		case "int":
			number, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return number
		case "float":
			bits := 64
			if kind == `"float32"` {
				bits = 32
			}
			number, _ := strconv.ParseFloat(text, bits)
			return number
		case "bytes":
			bytes, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			return bytes
		case "text":
			return text
		default:
			t.Fatalf("unknown value %s", name)
		}
	}
	return nil
}

func sameValue(a, b any) bool {
	if first, ok := a.(float64); ok {
		second, ok := b.(float64)
		return ok && (math.Float64bits(first) == math.Float64bits(second) || math.IsNaN(first) && math.IsNaN(second))
	}
	return showValue(a) == showValue(b)
}

// checkVectorRow reads a row and compares it; nothing expected means nil.
func checkVectorRow(t *testing.T, r *reader, expected vectorRow, columns []vectorColumn, name string) {
	t.Helper()
	values, ok := readRow(r)
	if !ok || len(values) != len(expected) || (values == nil) != (expected == nil) {
		t.Fatalf("%s: read %v, expected %v", name, values, expected)
	}
	for i, value := range expected {
		if want := vectorValue(t, value, string(columns[i].Kind)); !sameValue(values[i], want) {
			t.Errorf("%s: column %d is %v, not %v", name, i, values[i], want)
		}
	}
}

func TestBatchesAreReadAsTheHostWritesThem(t *testing.T) {
	for _, c := range vectors(t, "input.json") {
		var changes []struct {
			Op  string
			New vectorRow
			Old *struct{ Key, Full vectorRow }
		}
		bytes, err := hex.DecodeString(c.Msgpack)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(c.Changes, &changes); err != nil {
			t.Fatal(err)
		}
		r := &reader{data: bytes}
		if count, ok := r.array(); !ok || count != len(changes) {
			t.Fatalf("%s: %d changes", c.Name, count)
		}
		for _, change := range changes {
			parts, _ := r.array()
			op, _ := r.index()
			relation, ok := r.index()
			if !ok || parts != 4 || int64(op) != opOf(change.Op) || relation != 0 {
				t.Fatalf("%s: the head is %d, %d, %d", c.Name, parts, op, relation)
			}
			checkVectorRow(t, r, change.New, c.Relation.Columns, c.Name)
			var old vectorRow
			if change.Old != nil {
				if old = change.Old.Key; old == nil {
					old = change.Old.Full
				}
			}
			checkVectorRow(t, r, old, c.Relation.Columns, c.Name)
		}
		if !r.isEmpty() {
			t.Errorf("%s: bytes are left", c.Name)
		}
	}
}

func writeVectorRow(t *testing.T, w *writer, row vectorRow, columns []vectorColumn) {
	w.array(len(row))
	for i, value := range row {
		switch value := vectorValue(t, value, string(columns[i].Kind)).(type) {
		case nil:
			w.null()
		case UnchangedValue:
			w.unchanged()
		case bool:
			w.bool(value)
		case int64:
			w.int(value)
		case float64:
			if string(columns[i].Kind) == `"float32"` {
				w.float32(float32(value))
			} else {
				w.float64(value)
			}
		case string:
			w.text(value)
		case []byte:
			w.bytes(value)
		}
	}
}

func TestRowsAreWrittenAsTheHostReadsThem(t *testing.T) {
	for _, c := range vectors(t, "output.json") {
		var w writer
		w.array(len(c.Rows))
		for _, row := range c.Rows {
			columns := c.Schemas[row.Schema].Columns
			w.array(5)
			w.int(int64(row.Schema))
			w.int(opOf(row.Op))
			w.int(row.Source)
			writeVectorRow(t, &w, row.Values, columns)
			if row.OldKey == nil {
				w.null()
				continue
			}
			keys := slices.DeleteFunc(slices.Clone(columns), func(c vectorColumn) bool { return !c.Key })
			writeVectorRow(t, &w, *row.OldKey, keys)
		}
		same(t, c.Name, hex.EncodeToString(w.data), c.Msgpack)
	}
}
