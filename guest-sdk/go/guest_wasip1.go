package pelton

import (
	"runtime/debug"
	"unsafe"
)

// The component's exports and imports, in WebAssembly alone. What crosses stands in abi.go.

// A batch leaves garbage and little else, so the collector has little to keep and runs seldom; but before the memory that
// a transform has by default, 64 MiB, is full.
const (
	gcPercent   = 400
	memoryLimit = 40 << 20
)

func init() {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
}

// linear is the component's own memory.
type linear struct{}

// lent is what the host reads of the call that is going on, or that returned last.
var lent []unsafe.Pointer

// asked is what the host has asked for and nobody has lifted yet.
var asked []unsafe.Pointer

func addressOf(pointer unsafe.Pointer) uint32 { return uint32(uintptr(pointer)) }

func (linear) alloc(size int) (uint32, []byte) {
	// Words, for their alignment.
	words := make([]uint64, size/8+1)
	pointer := unsafe.Pointer(unsafe.SliceData(words))
	lent = append(lent, pointer)
	return addressOf(pointer), unsafe.Slice((*byte)(pointer), size)
}

func (linear) lend(bytes []byte) uint32 {
	pointer := unsafe.Pointer(unsafe.SliceData(bytes))
	lent = append(lent, pointer)
	return addressOf(pointer)
}

func (linear) at(address, size uint32) []byte {
	if size == 0 {
		return []byte{}
	}
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), address)), size)
}

// The host asks here for the memory of arguments and of results of imports.
//
//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldSize, _, size uint32) unsafe.Pointer {
	pointer := unsafe.Pointer(unsafe.SliceData(make([]uint64, size/8+1)))
	if oldSize > 0 {
		copy(unsafe.Slice((*byte)(pointer), size), unsafe.Slice((*byte)(old), oldSize))
	}
	asked = append(asked, pointer)
	return pointer
}

// begin starts a call of the host: what was lent for the last one is over, and the arguments are lifted from now on.
// The caller holds the returned arguments until it is done.
func begin() []unsafe.Pointer {
	arguments := asked
	asked = nil
	clear(lent)
	lent = lent[:0]
	return arguments
}

// The area of results: no call of an export begins before the host has read the last one's.
var resultWords [descriptorSize / 8]uint64

func resultArea() []byte {
	clear(resultWords[:])
	return unsafe.Slice((*byte)(unsafe.Pointer(&resultWords)), descriptorSize)
}

// running is the one instance.
var running *runner

// returned writes what a call returned, unless it is an error that only a mistake of the program can be.
func returned(area []byte, err error) unsafe.Pointer {
	if err != nil {
		known, ok := asError(err)
		if !ok {
			logCrash("the transform returned an error that is none of Reject, Retry and Fatal: " + messageOf(err))
			panic(crashed{})
		}
		lowerError(linear{}, area, known)
	}
	return unsafe.Pointer(unsafe.SliceData(area))
}

// logPanics logs a panic with its place: it ends the instance, and nothing would be known of it but that.
func logPanics() {
	if reason := recover(); reason != nil {
		if _, logged := reason.(crashed); !logged {
			logCrash("the transform panicked: " + reasonOf(reason))
		}
		panic(reason)
	}
}

//go:wasmexport pelton:transform/lifecycle@0.1.0#describe
func exportDescribe() unsafe.Pointer {
	begin()
	defer logPanics()
	area := resultArea()
	if exported == nil {
		return returned(area, errNoTransform)
	}
	err := exported.check()
	if err == nil {
		lowerDescriptor(linear{}, area, exported)
	}
	return returned(area, err)
}

//go:wasmexport pelton:transform/lifecycle@0.1.0#init
func exportInit(settings, settingsLen, relations, relationsLen, instance, instances, attrs, attrsLen uint32) unsafe.Pointer {
	arguments := begin()
	defer logPanics()
	area, m := resultArea(), linear{}
	if exported == nil {
		return returned(area, errNoTransform)
	}
	started, err := newRunner(exported, &Context{
		Settings:  liftItems(m, settings, settingsLen, attrSize, liftAttr),
		Relations: liftItems(m, relations, relationsLen, relationSize, liftRelation),
		Instance:  instance,
		Instances: instances,
		Attrs:     liftItems(m, attrs, attrsLen, attrSize, liftAttr),
	})
	running = started
	keepAlive(arguments)
	return returned(area, err)
}

//go:wasmexport pelton:transform/lifecycle@0.1.0#relation-changed
func exportRelationChanged(id, version, schema, schemaLen, name, nameLen, identity, columns, columnsLen, attrs, attrsLen uint32) unsafe.Pointer {
	arguments := begin()
	defer logPanics()
	area, m := resultArea(), linear{}
	if running == nil {
		return returned(area, errBeforeInit)
	}
	err := running.relationChanged(&Relation{
		ID:       id,
		Version:  version,
		Schema:   string(m.at(schema, schemaLen)),
		Name:     string(m.at(name, nameLen)),
		Identity: Identity(identity),
		Columns:  liftItems(m, columns, columnsLen, columnSize, liftColumn),
		Attrs:    liftItems(m, attrs, attrsLen, attrSize, liftAttr),
	})
	keepAlive(arguments)
	return returned(area, err)
}

//go:wasmexport pelton:transform/packed@0.1.0#process
func exportProcess(_ uint64, spans, spansLen, count, payload, payloadLen uint32) unsafe.Pointer {
	arguments := begin()
	defer logPanics()
	area, m := resultArea(), linear{}
	if running == nil {
		return returned(area, errBeforeInit)
	}
	out, err := running.process(liftItems(m, spans, spansLen, spanSize, liftSpan), count, m.at(payload, payloadLen))
	keepAlive(arguments)
	if err == nil {
		lowerOutput(m, area, &out)
	}
	return returned(area, err)
}

var errNoTransform = Fatal("the program exports no transform: add func init() { pelton.Export(&transform) } to the package that is built")

var errBeforeInit = Fatal("the host calls the transform before init")

// keepAlive holds arguments until here.
//
//go:noinline
func keepAlive([]unsafe.Pointer) {}

//go:wasmimport pelton:transform/host@0.1.0 enabled
func importEnabled(level uint32) uint32

//go:wasmimport pelton:transform/host@0.1.0 log
func importLog(level uint32, message unsafe.Pointer, messageLen uint32, fields, fieldsLen uint32)

//go:wasmimport pelton:transform/state@0.1.0 get
func importGet(keys, keysLen uint32, result unsafe.Pointer)

//go:wasmimport pelton:transform/state@0.1.0 put
func importPut(entries, entriesLen uint32, result unsafe.Pointer)

//go:wasmimport pelton:transform/state@0.1.0 scan
func importScan(prefix unsafe.Pointer, prefixLen uint32, hasAfter uint32, after unsafe.Pointer, afterLen uint32, limit uint32, result unsafe.Pointer)

// The area of imports' results: the host writes there, so it is no part of a stack, which may move.
var importedWords [resultSize/8 + 1]uint64

func imported() []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&importedWords)), resultSize)
}

// lifted ends the crossing of an import's results: what of them lives on holds itself.
func lifted() {
	clear(asked)
	asked = asked[:0]
}

func hostEnabled(level Level) bool { return importEnabled(uint32(level)) != 0 }

func hostLog(level Level, message string, fields []Attr) {
	address := lowerItems(linear{}, fields, attrSize, lowerAttr)
	importLog(uint32(level), unsafe.Pointer(unsafe.StringData(message)), uint32(len(message)), address, uint32(len(fields)))
}

func hostGet(keys []string) ([][]byte, error) {
	defer lifted()
	result := imported()
	importGet(lowerItems(linear{}, keys, stringSize, lowerText), uint32(len(keys)), unsafe.Pointer(&importedWords))
	if err := liftError(linear{}, result); err != nil {
		return nil, err
	}
	return liftList(linear{}, result, 4, 12, liftValue), nil
}

func hostPut(entries []entry) error {
	defer lifted()
	importPut(lowerItems(linear{}, entries, entrySize, lowerEntry), uint32(len(entries)), unsafe.Pointer(&importedWords))
	return liftError(linear{}, imported())
}

func hostScan(prefix string, after []byte, limit uint32) ([]entry, error) {
	defer lifted()
	hasAfter := uint32(0)
	if after != nil {
		hasAfter = 1
	}
	importScan(unsafe.Pointer(unsafe.StringData(prefix)), uint32(len(prefix)), hasAfter,
		unsafe.Pointer(unsafe.SliceData(after)), uint32(len(after)), limit, unsafe.Pointer(&importedWords))
	if err := liftError(linear{}, imported()); err != nil {
		return nil, err
	}
	return liftList(linear{}, imported(), 4, 16, liftEntry), nil
}
