package pelton

import (
	"fmt"
	"testing"
)

// slab is a memory for tests: what is lent is copied into it, as the host would find it.
type slab struct{ bytes []byte }

func (s *slab) alloc(size int) (uint32, []byte) {
	for len(s.bytes)%8 != 0 {
		s.bytes = append(s.bytes, 0xaa)
	}
	address := len(s.bytes)
	s.bytes = append(s.bytes, make([]byte, size)...)
	return uint32(address), s.bytes[address:]
}

func (s *slab) lend(bytes []byte) uint32 {
	address := uint32(len(s.bytes))
	s.bytes = append(s.bytes, bytes...)
	return address
}

func (s *slab) at(address, size uint32) []byte { return s.bytes[address:][:size] }

// newSlab has room enough for never moving: what alloc has returned is written later.
func newSlab() *slab { return &slab{make([]byte, 8, 1<<20)} }

func text(m memory, from []byte, at int) string { return liftString(m, from, at) }

func TestADescriptorIsLaidOutAsTheContractSays(t *testing.T) {
	m := newSlab()
	area := make([]byte, descriptorSize)
	transform := house()
	transform.StateVersion = 7
	lowerDescriptor(m, area, transform)
	d := area[4:]
	same(t, "ok", area[0], 0)
	same(t, "head", fmt.Sprint(text(m, d, 0), " ", text(m, d, 8), " ", d[16]), "house 3 0")
	same(t, "flags", fmt.Sprint(d[44], d[45], d[46], get32(d, 48)), "0 1 1 7")
	attrs := liftList(m, d, 52, attrSize, liftAttr)
	same(t, "attrs", attrs, []Attr{{"sdk", "pelton-sdk-go " + Version}})

	subscriptions := liftList(m, d, 20, subscriptionSize, func(m memory, from []byte) string {
		columns := liftList(m, from, 16, stringSize, func(m memory, from []byte) string { return text(m, from, 0) })
		return fmt.Sprint(text(m, from, 0), ".", text(m, from, 8), columns, m.at(get32(from, 24), get32(from, 28)), get32(from, 36))
	})
	same(t, "subscriptions", subscriptions, []string{"public.things[place number colour] [0 2] 0",
		"pg_logical_message.notes[transactional content] [] 0"})
	schemas := liftList(m, d, 28, publicSchemaSize, func(m memory, from []byte) string {
		columns := liftList(m, from, 16, columnSize, func(m memory, from []byte) string {
			c := liftColumn(m, from)
			return fmt.Sprint(c.Name, " ", c.Kind, " ", c.Nullable, " ", c.Key, " ", get32(from, 20), " ", int32(get32(from, 24)))
		})
		return fmt.Sprint(text(m, from, 0), " ", get32(from, 8), ".", get32(from, 12), columns, get32(from, 28))
	})
	same(t, "schemas", schemas, []string{
		"things 1.0 [label text false false 0 -1 place integer false true 0 -1 number integer false true 0 -1 colour enum false false 0 -1] 0",
		"journal 1.0 [text varchar false false 0 -1 at bigint false false 0 -1] 0"})
	settings := liftList(m, d, 36, settingSize, func(m memory, from []byte) string {
		def := "-"
		if from[12] != 0 {
			def = text(m, from, 16)
		}
		return fmt.Sprint(text(m, from, 0), from[8], def, " ", text(m, from, 24))
	})
	same(t, "settings", settings, []string{"prefix1- Put before every label.",
		"most0100 How many changes a transaction may have.", "suffix0- "})
}

func TestARelationAndASpanAreReadWhereTheContractHasThem(t *testing.T) {
	m := newSlab()
	column := make([]byte, columnSize)
	lowerString(m, column, 0, "tags")
	column[8] = byte(kindArray)
	lowerString(m, column, 12, "text")
	column[28], column[29] = 1, 1
	relation := make([]byte, relationSize)
	put32(relation, 0, 3)
	put32(relation, 4, 2)
	lowerString(m, relation, 8, "shop")
	lowerString(m, relation, 16, "items")
	relation[24] = byte(IdentityFull)
	put32(relation, 28, m.lend(column))
	put32(relation, 32, 1)
	lowerList(m, relation, 36, []Attr{{"a", "b"}}, attrSize, lowerAttr)
	same(t, "relation", fmt.Sprint(liftRelation(m, relation)), "{3 2 shop items 2 [{tags text[] true true []}] [{a b}]}")

	span := make([]byte, spanSize)
	for i, value := range map[int]uint32{0: 1, 4: 2, 8: 3, 16: 4, 24: 1, 28: 6, 32: 7, 36: 1} {
		put32(span, i, value)
	}
	same(t, "span", fmt.Sprint(liftSpan(m, span)), "{1 2 3 4 1 6 7 true []}")
}

func TestErrorsAndOutputsCrossAsTheContractSays(t *testing.T) {
	m := newSlab()
	area := make([]byte, resultSize)
	lowerError(m, area, Retry(50, "later").(*Error))
	back := liftError(m, area).(*Error)
	same(t, "retry", fmt.Sprint(back.IsRetry(), back.AfterMs, back.Message), "true 50later")
	clear(area)
	lowerError(m, area, Fatal("no").(*Error))
	same(t, "fatal", liftError(m, area).Error(), "no")
	clear(area)
	// Outside of a batch there is no change that could be rejected.
	lowerError(m, area, Reject("code", "no").(*Error))
	same(t, "rejected", liftError(m, area).Error(), "code: no")
	same(t, "none", liftError(m, make([]byte, resultSize)), nil)

	clear(area)
	lowerOutput(m, area, &output{5, []byte("rows"), []Rejection{{2, "code", "message"}}})
	same(t, "output", fmt.Sprint(area[0], get32(area, 4), text(m, area, 8)), "0 5rows")
	rejections := liftList(m, area, 16, rejectionSize, func(m memory, from []byte) string {
		return fmt.Sprint(get32(from, 0), text(m, from, 4), text(m, from, 12))
	})
	same(t, "rejections", rejections, []string{"2codemessage"})

	entries := lowerItems(m, []entry{{key: "k", value: []byte("v")}, {key: "gone"}, {key: "empty", value: []byte{}}}, entrySize, lowerEntry)
	read := liftItems(m, entries, 3, entrySize, func(m memory, from []byte) string {
		return fmt.Sprintf("%s=%q", text(m, from, 0), liftValue(m, from[8:]))
	})
	same(t, "entries", read, []string{`k="v"`, `gone=""`, `empty=""`})
}
