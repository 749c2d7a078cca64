package pelton

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What a transform's author may rely on, shown through the native host.

type item struct {
	ID     int64  `pelton:"id,key"`
	Name   string `pelton:"title"`
	Size   *int32
	Body   Toasted[string]
	Hidden bool
}

type publicItem struct {
	ID   int64 `pelton:",key"`
	Name string
	Size *int32
	Body Toasted[string]
}

func items() *Transform {
	return &Transform{
		Name: "items", Version: "1.0.0",
		Publishes: []*PublicSchema{Public[publicItem]("items", "2.1")},
		Tables: []Handler{Table("shop.items", func(change Change[item], out *Out) error {
			return Map(out, change, func(i *item) (*publicItem, error) {
				if i.Hidden {
					return nil, nil
				}
				return &publicItem{i.ID, i.Name, i.Size, i.Body}, nil
			})
		})},
	}
}

func itemOf(id int64, name string) *item {
	return &item{ID: id, Name: name, Body: Value("b")}
}

func hidden(id int64, name string) *item {
	return &item{ID: id, Name: name, Body: Value("b"), Hidden: true}
}

func untouched(id int64, name string) *item {
	return &item{ID: id, Name: name, Body: Unchanged[string]()}
}

// checkItems runs changes and compares what is published.
func checkItems(t *testing.T, identity Identity, changes func(*Harness), expected ...string) {
	t.Helper()
	host := NewHarness(items()).Identity("shop.items", identity)
	changes(host)
	out, err := host.Run()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "published", strings.TrimSpace(out.String()), strings.Join(expected, "\n"))
}

func TestMapPublishesOneRowForOneRowUnderThePrimaryKey(t *testing.T) {
	check := func(changes func(*Harness), expected ...string) {
		t.Helper()
		checkItems(t, IdentityDefault, changes, expected...)
	}
	check(func(h *Harness) { InsertRow(h, itemOf(1, "a")); InsertRow(h, hidden(2, "a")) },
		`insert items id=1 name="a" size=NULL body="b"`)
	check(func(h *Harness) { UpdateRow(h, itemOf(1, "a"), untouched(1, "c")) },
		`update items id=1 name="c" size=NULL body=unchanged`)
	check(func(h *Harness) { UpdateRow(h, itemOf(1, "a"), itemOf(2, "a")) },
		`update items from (1) id=2 name="a" size=NULL body="b"`)
	check(func(h *Harness) { UpdateRow(h, itemOf(1, "a"), hidden(1, "a")) }, "delete items id=1")
	check(func(h *Harness) { UpdateRow(h, itemOf(1, "a"), hidden(2, "a")) }, "delete items id=1")
	// The old row is not known, so it can't be told whether it was published: a delete too many does no harm.
	check(func(h *Harness) { DeleteRow(h, hidden(1, "a")) }, "delete items id=1")
	check(func(h *Harness) { TruncateTable[item](h) }, "truncate items")
}

func TestMapKnowsTheOldRowUnderFull(t *testing.T) {
	check := func(changes func(*Harness), expected ...string) {
		t.Helper()
		checkItems(t, IdentityFull, changes, expected...)
	}
	check(func(h *Harness) { UpdateRow(h, hidden(1, "a"), itemOf(1, "a")) }, `insert items id=1 name="a" size=NULL body="b"`)
	check(func(h *Harness) { UpdateRow(h, hidden(1, "a"), hidden(1, "c")) })
	check(func(h *Harness) { DeleteRow(h, hidden(1, "a")) })
	check(func(h *Harness) { DeleteRow(h, itemOf(1, "a")) }, "delete items id=1")
	// An unchanged value is filled from the old row.
	check(func(h *Harness) { UpdateRow(h, itemOf(1, "a"), untouched(1, "c")) }, `update items id=1 name="c" size=NULL body="b"`)
}

// batch makes one with one span, as the host writes it, for what the harness would not send.
func batchOf(changes ...string) ([]Span, uint32, []byte) {
	payload := []byte{0x90 | byte(len(changes))}
	for _, change := range changes {
		payload = append(payload, change...)
	}
	count := uint32(len(changes))
	return []Span{{Xid: 7, Epoch: 1, CommitLSN: 9, Phase: PhaseLive, Count: count, Complete: true}}, count, payload
}

// shopItems has the table's columns in another order, and one more than is subscribed: part of the replica identity.
func shopItems(identity Identity) Relation {
	column := func(name, kind string, key bool) Column {
		return Column{Name: name, Kind: KindOf(kind), Nullable: true, Key: key}
	}
	return Relation{ID: 3, Version: 1, Schema: "shop", Name: "items", Identity: identity, Columns: []Column{
		column("hidden", "boolean", false), column("region", "text", true), column("body", "text", false),
		column("id", "integer", true), column("title", "citext", false), column("size", "smallint", false),
	}}
}

func start(relation Relation) (*runner, error) {
	return newRunner(items(), &Context{Relations: []Relation{relation}, Instances: 1})
}

func started(t *testing.T, relation Relation) *runner {
	t.Helper()
	running, err := start(relation)
	if err != nil {
		t.Fatal(err)
	}
	return running
}

func checkFatal(t *testing.T, err error, parts ...string) {
	t.Helper()
	known, ok := asError(err)
	if !ok || !known.IsFatal() {
		t.Errorf("not fatal: %v", err)
		return
	}
	for _, part := range parts {
		if !strings.Contains(known.Message, part) {
			t.Errorf("%q does not hold %q", known.Message, part)
		}
	}
}

const insertItem = "\x94\x00\x03\x96\xc2\xa2eu\xa1B\x05\xa1T\x07\xc0"

func TestColumnsAreFoundByNameWhateverTheirOrder(t *testing.T) {
	out, err := started(t, shopItems(IdentityDefault)).process(batchOf(insertItem))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "rows", string(out.payload), "\xdd\x00\x00\x00\x01\x95\x00\x00\x00\x94\x05\xa1T\x07\xa1B\xc0")
}

func TestAnAlteredTableIsHeldAgainstTheStruct(t *testing.T) {
	check := func(alter func(*Relation), parts ...string) {
		t.Helper()
		relation := shopItems(IdentityDefault)
		alter(&relation)
		_, err := start(relation)
		checkFatal(t, err, parts...)
	}
	check(func(r *Relation) { r.Columns = slices.Delete(r.Columns, 4, 5) }, "shop.items has no column `title`")
	check(func(r *Relation) { r.Columns[3].Kind = KindOf("numeric") },
		"column `id` of table shop.items is numeric; the transform expects bigint, integer or smallint")
	check(func(r *Relation) { r.Columns[5].Kind = KindOf("bigint") },
		"column `size` of table shop.items is bigint; the transform expects integer or smallint")
	check(func(r *Relation) { r.Columns[3].Key = false }, "`id`", "REPLICA IDENTITY FULL")
	check(func(r *Relation) { r.ID = relationsMax }, "ids must be dense")

	running := started(t, shopItems(IdentityDefault))
	later := shopItems(IdentityDefault)
	later.Columns = later.Columns[1:]
	checkFatal(t, running.relationChanged(&later), "no column `hidden`")
}

func TestAValueThatDoesNotFitIsRejectedWithItsColumnsName(t *testing.T) {
	check := func(change, code string, parts ...string) {
		t.Helper()
		out, err := started(t, shopItems(IdentityDefault)).process(batchOf(change))
		if err != nil || len(out.rejected) != 1 {
			t.Fatalf("%v, %v", out, err)
		}
		same(t, "a rejected change leaves no rows", string(out.payload), "\xdd\x00\x00\x00\x00")
		same(t, "code", out.rejected[0].Code, code)
		for _, part := range parts {
			if !strings.Contains(out.rejected[0].Message, part) {
				t.Errorf("%q does not hold %q", out.rejected[0].Message, part)
			}
		}
	}
	check("\x94\x00\x03\x96\xc2\xa2eu\xa1B\x05\xc0\x07\xc0", "null",
		"column `title` of table shop.items is NULL; make the field a pointer if that may be")
	check("\x94\x01\x03\x96\xc2\xa2eu\xa1B\x05\xd4\x01\x00\x07\xc0", "unchanged", "`title`", "Toasted[…]", "FULL")

	// A kind that was not announced is the host's mistake, and nobody's row.
	_, err := started(t, shopItems(IdentityDefault)).process(batchOf("\x94\x00\x03\x96\xc2\xa2eu\xa1B\xa1x\xa1T\x07\xc0"))
	checkFatal(t, err, "column `id` of table shop.items arrived as text; the transform expects bigint, integer or smallint")
	_, err = started(t, shopItems(IdentityDefault)).process(batchOf("\x94\x00\x03\x96\xc2\xa2eu\xa1B\x05\xa1T\xce\xff\xff\xff\xff\xc0"))
	checkFatal(t, err, "column `size`", "an integer that is too large")
}

func TestAnUnchangedValueOfAPlainFieldIsFilledFromAFullOldRow(t *testing.T) {
	old := "\x96\xc2\xa2eu\xa1B\x05\xa1T\x07"
	update := "\x94\x01\x03\x96\xc2\xa2eu\xd4\x01\x00\x05\xd4\x01\x00\x08" + old
	out, err := started(t, shopItems(IdentityFull)).process(batchOf(update))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "rows", string(out.payload), "\xdd\x00\x00\x00\x01\x95\x00\x01\x00\x94\x05\xa1T\x08\xa1B\xc0")
}

func TestBytesThatAreNoBatchAreAnErrorAndNeverAPanic(t *testing.T) {
	spans, count, payload := batchOf(insertItem)
	running := started(t, shopItems(IdentityDefault))
	for cut := range payload {
		if _, err := running.process(spans, count, payload[:cut]); err == nil {
			t.Errorf("cut at %d", cut)
		}
	}
	for at := range payload {
		for _, value := range []byte{0, 1, 3, 0x7f, 0x90, 0x9f, 0xa1, 0xc0, 0xc1, 0xc6, 0xd4, 0xdb, 0xdd, 0xff} {
			broken := bytes.Clone(payload)
			broken[at] = value
			_, _ = running.process(spans, count, broken)
		}
	}
	_, err := running.process(batchOf("\x94\x00\x04\xc0\xc0"))
	checkFatal(t, err, "relation 4")
	spans[0].Count = 1<<32 - 1
	_, err = running.process(spans, count, payload)
	checkFatal(t, err, "spans")
}

// --- Several tables, settings, logs, messages, errors, transactions ---

type colour string

func (colour) Labels() []string { return []string{"red", "very dark"} }

type thing struct {
	Place  int32 `pelton:",key"`
	Number int32 `pelton:",key"`
	Colour colour
}

type publicThing struct {
	Label  string
	Place  int32 `pelton:",key"`
	Number int32 `pelton:",key"`
	Colour colour
}

type line struct {
	Text string `pelton:",kind=varchar"`
	At   int64
}

type options struct {
	Prefix string `doc:"Put before every label."`
	Most   uint32 `default:"100" doc:"How many changes a transaction may have."`
	Suffix *string
}

func house() *Transform {
	var options options
	return &Transform{
		Name: "house", Version: "3",
		Publishes: []*PublicSchema{Public[publicThing]("things", "1.0"), Public[line]("journal", "1.0")},
		Settings:  &options,
		Init: func(context *Context) error {
			Debug("starting", "instances", context.Instances)
			return nil
		},
		Tables: []Handler{
			Table("things", func(change Change[thing], out *Out) error {
				at := out.Span().CommitTime
				if change.Op == OpInsert && change.New.Number < 0 {
					Insert(out, &line{"never seen", at})
					return Reject("negative", "thing %d has a negative number", change.New.Place)
				}
				if change.Op == OpInsert && change.New.Number == 13 {
					return Retry(50, "not today")
				}
				return Map(out, change, func(t *thing) (*publicThing, error) {
					suffix := ""
					if options.Suffix != nil {
						suffix = *options.Suffix
					}
					return &publicThing{fmt.Sprint(options.Prefix, t.Number, suffix), t.Place, t.Number, t.Colour}, nil
				})
			}).Ops(OpInsert, OpDelete),
			Message("notes", func(change Change[LogicalMessage], out *Out) error {
				Insert(out, &line{fmt.Sprint(string(change.New.Content), " ", change.New.Transactional), out.Span().CommitTime})
				return nil
			}),
		},
		WholeTransactions: true,
		EndOfTransaction: func(out *Out) error {
			if out.Span().Count > options.Most {
				Warn("a large transaction", "changes", out.Span().Count)
			}
			Insert(out, &line{fmt.Sprint("end of ", out.Span().Xid), 0})
			return nil
		},
	}
}

func TestSeveralTablesAndMessagesBecomeSeveralPublicSchemas(t *testing.T) {
	host := NewHarness(house()).Setting("prefix", "no. ").Setting("most", "2").CommitTime(44)
	InsertRow(host, &thing{1, 2, "very dark"})
	host.EmitMessage("notes", LogicalMessage{true, []byte("hello")})
	DeleteRow(host, &thing{1, 2, "red"})
	host.Commit()
	InsertRow(host, &thing{-1, 3, "red"})
	out, err := host.Run()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "rows", out.String(), `insert things label="no. 2" place=1 number=2 colour="very dark"
insert journal text="hello true" at=44
delete things place=1 number=2
insert journal text="end of 1" at=0
insert things label="no. 3" place=-1 number=3 colour="red"
insert journal text="end of 2" at=0
`)
	same(t, "logs", fmt.Sprint(out.Logs), "[debug: starting instances=1 warn: a large transaction changes=3]")
	same(t, "table", host.Table("things"), []string{`label="no. 3" place=-1 number=3 colour="red"`})
}

func TestARejectedChangeLeavesNothingBehindAndStopsNobody(t *testing.T) {
	host := NewHarness(house()).Setting("prefix", "").Setting("suffix", "!")
	InsertRow(host, &thing{1, 1, "red"})
	InsertRow(host, &thing{2, -1, "red"})
	InsertRow(host, &thing{3, 3, "red"})
	out, err := host.Run()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "rejected", out.Rejected, []Rejection{{1, "negative", "thing 2 has a negative number"}})
	same(t, "rows", len(host.Table("things")), 2)
	if strings.Contains(out.String(), "never seen") {
		t.Error("a rejected change published a row")
	}
	var sources []int
	for _, row := range out.Rows {
		sources = append(sources, row.Source)
	}
	same(t, "sources", sources, []int{0, 2, 2})
}

func things() Relation {
	return Relation{Schema: "public", Name: "things", Columns: []Column{{Name: "place", Kind: KindOf("integer"), Key: true},
		{Name: "number", Kind: KindOf("integer"), Key: true}, {Name: "colour", Kind: KindOf("enum")}}}
}

func TestWhatARejectedChangeHadPublishedIsNotSent(t *testing.T) {
	running, err := newRunner(house(), &Context{Settings: []Attr{{"prefix", ""}}, Relations: []Relation{things()}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := running.process(batchOf("\x94\x00\x00\x93\x02\xff\xa3red\xc0", "\x94\x00\x00\x93\x03\x03\xa3red\xc0"))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "rejected", len(out.rejected), 1)
	same(t, "the row of the second change, and the end of the transaction", string(out.payload),
		"\xdd\x00\x00\x00\x02\x95\x00\x00\x01\x94\xa13\x03\x03\xa3red\xc0\x95\x01\x00\x01\x92\xa8end of 7\x00\xc0")
	out, err = running.process(batchOf("\x94\x00\x00\x93\x02\x01\xa4blue\xc0"))
	if err != nil || len(out.rejected) != 1 || out.rejected[0].Code != "label" {
		t.Errorf("an unknown label: %v, %v", out, err)
	}
}

func TestTheEndOfATransactionSpeaksForItsLastChangeOnce(t *testing.T) {
	transform := items()
	transform.WholeTransactions = true
	transform.EndOfTransaction = func(*Out) error { return Reject("end", "too late") }
	transform.Tables = []Handler{Table("shop.items", func(change Change[item], _ *Out) error {
		return Reject("change", "refused")
	})}
	host := NewHarness(transform)
	InsertRow(host, itemOf(1, "a"))
	out, err := host.Run()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "rejected", out.Rejected, []Rejection{{0, "change", "refused"}})
}

func TestABatchToBeRetriedComesAgain(t *testing.T) {
	host := NewHarness(house()).Setting("prefix", "")
	InsertRow(host, &thing{1, 13, "red"})
	for range 2 {
		_, err := host.Run()
		if known, ok := asError(err); !ok || !known.IsRetry() || known.Message != "not today" || known.AfterMs != 50 {
			t.Errorf("%v", err)
		}
	}
}

func TestSettingsThatDoNotFitAreNamed(t *testing.T) {
	check := func(host *Harness, message string) {
		t.Helper()
		InsertRow(host, &thing{1, 1, "red"})
		_, err := host.Run()
		same(t, "error", err.Error(), message)
	}
	check(NewHarness(house()), "setting `prefix` is missing: Put before every label.")
	for _, text := range []string{"secret", "", "-1", "4294967296"} {
		check(NewHarness(house()).Setting("prefix", "").Setting("most", text), "setting `most` must be an integer, and not negative")
	}
	declared, err := settingsOf(house().Settings)
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, s := range declared {
		def := "-"
		if s.def != nil {
			def = *s.def
		}
		shown = append(shown, fmt.Sprint(s.name, " ", s.required, " ", def, " ", s.doc))
	}
	same(t, "declared", shown, []string{"prefix true - Put before every label.",
		"most false 100 How many changes a transaction may have.", "suffix false - "})
}

func TestTheStructsAreTheDescriptor(t *testing.T) {
	house := house()
	table := house.Tables[0].source()
	same(t, "table", fmt.Sprint(table, table.ops), "public.things [insert delete]")
	same(t, "message", house.Tables[1].source().String(), "pg_logical_message.notes")
	var columns []string
	for _, c := range items().Publishes[0].columns {
		columns = append(columns, fmt.Sprint(c.name, " ", c.kind, " ", c.nullable, " ", c.key))
	}
	same(t, "columns", columns, []string{"id bigint false true", "name text false false", "size integer true false", "body text false false"})
	schema := items().Publishes[0]
	same(t, "version", fmt.Sprint(schema.major, ".", schema.minor), "2.1")
	same(t, "kind", house.Publishes[1].columns[0].kind, Kind{kindOther, "varchar"})
	for name, snake := range map[string]string{"ID": "id", "CustomerID": "customer_id", "HTTPCode": "http_code", "Is_Test": "is_test",
		"PlacedAt": "placed_at", "A1B": "a1_b"} {
		same(t, name, snakeCase(name), snake)
	}
}

// --- Mistakes that show before it runs, and when ---

type keyless struct{ Text string }

type undeclared struct {
	ID int64 `pelton:",key"`
}

type other struct {
	Code string `pelton:",key"`
}

func TestAnAuthorsMistakesAreFatalAndSayWhatToDo(t *testing.T) {
	sizes := NewMap[int64, int64]("sizes")
	clumsy := &Transform{
		Name: "clumsy", Version: "1",
		Publishes: []*PublicSchema{Public[keyless]("log", "1.0"), Public[other]("others", "1.0")},
		Tables: []Handler{Table("items", func(change Change[item], out *Out) error {
			switch {
			case change.Op == OpInsert && change.New.Hidden:
				Insert(out, &undeclared{1})
			case change.Op == OpInsert:
				return sizes.Put(1, 1)
			case change.Op == OpUpdate:
				Update(out, &keyless{"x"})
			case change.Op == OpDelete:
				return Map(out, change, func(*item) (*other, error) { return nil, nil })
			}
			return nil
		})},
	}
	check := func(change func(*Harness), message string) {
		t.Helper()
		host := NewHarness(clumsy)
		change(host)
		_, err := host.Run()
		checkFatal(t, err, message)
	}
	check(func(h *Harness) { InsertRow(h, hidden(1, "a")) },
		"the transform does not declare a public schema of pelton.undeclared: add it to Publishes")
	check(func(h *Harness) { UpdateRow(h, itemOf(1, "a"), itemOf(1, "b")) },
		"public schema `log` has no key, so it is append-only: updates can't be published")
	check(func(h *Harness) { InsertRow(h, itemOf(1, "a")) }, "Stateful: true")
	check(func(h *Harness) { DeleteRow(h, itemOf(1, "a")) }, "public schema `others` has other keys than table public.items; use MapWithKey")
}

func TestKeysThatDifferAreFatalAndMapWithKeyMakesThem(t *testing.T) {
	shifted := func(i *item) (*undeclared, error) { return &undeclared{i.ID + 1}, nil }
	withKey := false
	transform := &Transform{
		Name: "other keys", Version: "1", Publishes: []*PublicSchema{Public[undeclared]("undeclared", "1.0")},
		Tables: []Handler{Table("shop.items", func(change Change[item], out *Out) error {
			if withKey {
				return MapWithKey(out, change, func(key *item) *undeclared { return &undeclared{key.ID + 1} }, shifted)
			}
			return Map(out, change, shifted)
		})},
	}
	host := NewHarness(transform)
	InsertRow(host, itemOf(1, "a"))
	_, err := host.Run()
	checkFatal(t, err, "public schema `undeclared` has other keys than table shop.items; use MapWithKey")
	withKey = true
	InsertRow(host, itemOf(1, "a"))
	UpdateRow(host, itemOf(1, "a"), itemOf(2, "a"))
	UpdateRow(host, itemOf(2, "a"), itemOf(2, "b"))
	DeleteRow(host, itemOf(2, "a"))
	out, err := host.Run()
	same(t, "rows", fmt.Sprint(out, err), "insert undeclared id=2\nupdate undeclared from (2) id=3\nupdate undeclared id=3\ndelete undeclared id=3\n <nil>")
}

func TestWhatIsWrongWithATransformIsSaidBeforeItRuns(t *testing.T) {
	type unfit struct{ At map[string]string }
	type twice struct{ ID, Id int64 }
	type tagged struct {
		id int64 `pelton:"id"`
	}
	type optioned struct {
		ID int64 `pelton:"id,primary"`
	}
	ignore := func(Change[item], *Out) error { return nil }
	check := func(alter func(*Transform), parts ...string) {
		t.Helper()
		transform := items()
		alter(transform)
		checkFatal(t, transform.check(), parts...)
	}
	add := func(handler Handler) func(*Transform) {
		return func(t *Transform) { t.Tables = append(t.Tables, handler) }
	}
	publish := func(schema *PublicSchema) func(*Transform) {
		return func(t *Transform) { t.Publishes = append(t.Publishes, schema) }
	}
	check(func(t *Transform) { t.Version = "" }, "no name or no version")
	check(func(t *Transform) { t.Tables = nil }, "takes no changes")
	check(func(t *Transform) { t.Publishes = nil }, "what it publishes")
	check(func(t *Transform) { t.Parallel, t.WholeTransactions = true, true }, "exclude each other")
	check(func(t *Transform) { t.EndOfTransaction = func(*Out) error { return nil } }, "needs WholeTransactions")
	check(add(Table("shop.items", ignore)), "two functions take the changes of table shop.items; make it one")
	check(add(Table("", ignore)), "without a name")
	check(add(Table("u", func(Change[unfit], *Out) error { return nil })), "table public.u", "field At", "map[string]string can't be a column")
	check(add(Table("u", func(Change[twice], *Out) error { return nil })), "are the column `id`")
	check(add(Table("u", func(Change[tagged], *Out) error { return nil })), "field id", "capital letter")
	check(add(Table("u", func(Change[optioned], *Out) error { return nil })), `unknown option "primary"`)
	check(add(Table("u", func(Change[int], *Out) error { return nil })), "int is no struct")
	check(publish(Public[keyless]("items", "2.2")), "public schema `items` 2 is declared twice")
	check(publish(Public[publicItem]("again", "1.0")), "one row type")
	check(publish(Public[keyless]("k", "1")), `version "1"; write major.minor`)
	check(func(t *Transform) { t.Settings = options{} }, "a pointer to a struct")
	check(func(t *Transform) { t.Settings = &struct{ At []int }{} }, "setting `at` is []int")
	check(func(t *Transform) {
		t.Settings = &struct {
			N int `default:"x"`
		}{}
	}, "the default of setting `n` must be an integer")
	var _ = tagged{id: 1}
}

// --- State ---

type seen struct {
	Times int64
	Names []string
	Last  *Decimal
}

type seenKey struct {
	ID   int64
	Name string
}

var (
	seenMap  = NewMap[seenKey, seen]("seen")
	otherMap = NewMap[int64, struct{}]("see")
)

func remembering() *Transform {
	return &Transform{
		Name: "remembering", Version: "1", StateVersion: 4, Publishes: []*PublicSchema{Public[publicItem]("items", "1.0")},
		Tables: []Handler{Table("shop.items", func(change Change[item], _ *Out) error {
			if change.Op != OpInsert {
				return nil
			}
			key := seenKey{change.New.ID, change.New.Name}
			known, err := seenMap.Get(key)
			if err != nil {
				return err
			}
			if known == nil {
				known = &seen{}
			}
			last := DecimalFromScaled(Int128Of(known.Times+1), 1)
			if err := seenMap.Put(key, seen{known.Times + 1, append(known.Names, change.New.Name), &last}); err != nil {
				return err
			}
			if err := otherMap.Put(change.New.ID, struct{}{}); err != nil {
				return err
			}
			if change.New.Hidden {
				return Reject("hidden", "not this one")
			}
			return nil
		})},
	}
}

func TestStateIsCommittedWithTheBatchAndDroppedWithIt(t *testing.T) {
	host := NewHarness(remembering())
	InsertRow(host, itemOf(1, "a"))
	InsertRow(host, itemOf(1, "a"))
	InsertRow(host, hidden(2, "b"))
	if _, err := host.Run(); err != nil {
		t.Fatal(err)
	}
	host.Restart()
	InsertRow(host, itemOf(1, "a"))
	InsertRow(host, itemOf(-1, "z"))
	if _, err := host.Run(); err != nil {
		t.Fatal(err)
	}
	err := host.WithState(func() error {
		known, err := seenMap.Get(seenKey{1, "a"})
		same(t, "seen", fmt.Sprintf("%d %s %s", known.Times, known.Names, *known.Last), "3 [a a a] 0.3")
		if gone, err := seenMap.Get(seenKey{2, "b"}); gone != nil || err != nil {
			t.Error("its change was rejected")
		}
		var keys []seenKey
		if err := seenMap.ForEach(func(key seenKey, _ seen) error { keys = append(keys, key); return nil }); err != nil {
			return err
		}
		same(t, "in key order, and no other map's", keys, []seenKey{{-1, "z"}, {1, "a"}})
		many, err := seenMap.GetMany([]seenKey{{1, "a"}, {9, "x"}, {1, "a"}})
		if err != nil || many[0].Times != 3 || many[1] != nil || many[2].Times != 3 {
			t.Error(many, err)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestStateBelongsToABatchAndIsRefusedOutsideOfOne(t *testing.T) {
	refusal := "the transform uses its state outside of a batch, as in `Init`: read and write it in the functions that take changes"
	hasty := remembering()
	hasty.Init = func(*Context) error { return otherMap.Put(1, struct{}{}) }
	host := NewHarness(hasty)
	InsertRow(host, itemOf(1, "a"))
	_, err := host.Run()
	checkFatal(t, err, refusal)
	host = NewHarness(remembering())
	InsertRow(host, itemOf(1, "a"))
	if _, err := host.Run(); err != nil {
		t.Fatal(err)
	}
	checkFatal(t, otherMap.Remove(1), refusal)
}

func TestScansGoInBatchesAndSeeWhatWasWritten(t *testing.T) {
	err := NewHarness(remembering()).WithState(func() error {
		for id := range int64(1000) {
			if err := otherMap.Put(id, struct{}{}); err != nil {
				return err
			}
		}
		if err := otherMap.Remove(500); err != nil {
			return err
		}
		var ids []int64
		if err := otherMap.ForEach(func(id int64, _ struct{}) error { ids = append(ids, id); return nil }); err != nil {
			return err
		}
		same(t, "ids", len(ids), 999)
		if !slices.IsSorted(ids) || slices.Contains(ids, 500) {
			t.Error(ids)
		}
		behind := int64(997)
		entries, err := otherMap.Scan(&behind, 10)
		same(t, "behind", len(entries), 2)
		if err != nil {
			return err
		}
		if err := otherMap.Clear(); err != nil {
			return err
		}
		entries, err = otherMap.Scan(nil, 1)
		same(t, "cleared", len(entries), 0)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestMoreStateThanIsKeptIsWrittenAndReadAgain(t *testing.T) {
	texts := NewMap[int64, string]("texts")
	host := NewHarness(remembering())
	err := host.WithState(func() error {
		large := strings.Repeat("x", 1<<20)
		for id := range int64(10) {
			if err := texts.Put(id, large); err != nil {
				return err
			}
		}
		text, err := texts.Get(0)
		if err == nil {
			same(t, "length", len(*text), 1<<20)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestStateOfOtherTypesSaysThatAVersionIsDue(t *testing.T) {
	numbers, texts := NewMap[int64, int64]("m"), NewMap[int64, string]("m")
	err := NewHarness(remembering()).WithState(func() error {
		if err := numbers.Put(1, 1); err != nil {
			return err
		}
		_, err := texts.Get(1)
		return err
	})
	checkFatal(t, err, "the state `m`", "raise StateVersion")
	checkFatal(t, NewHarness(remembering()).WithState(func() error {
		return NewMap[float64, int64]("floats").Put(1, 1)
	}), "keys of the state `floats`", "float64 can't be a key")
}

func TestAnErrorThatIsNoVerdictIsNotMadeOne(t *testing.T) {
	own := fmt.Errorf("the author's own")
	transform := items()
	transform.Tables = []Handler{Table("shop.items", func(Change[item], *Out) error { return own })}
	host := NewHarness(transform)
	InsertRow(host, itemOf(1, "a"))
	if _, err := host.Run(); err != own {
		t.Error(err)
	}
	transform.Tables = []Handler{Table("shop.items", func(Change[item], *Out) error {
		return fmt.Errorf("in order: %w", Reject("code", "the message"))
	})}
	host = NewHarness(transform)
	InsertRow(host, itemOf(1, "a"))
	out, err := host.Run()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "nothing is added", out.Rejected, []Rejection{{0, "code", "the message"}})
}

func TestRowsAreTheAuthorsToKeep(t *testing.T) {
	var kept []*item
	transform := items()
	transform.Tables = []Handler{Table("shop.items", func(change Change[item], _ *Out) error {
		kept = append(kept, change.New)
		return nil
	})}
	host := NewHarness(transform)
	for id := range int64(100) {
		InsertRow(host, itemOf(id, fmt.Sprint("name ", id)))
	}
	if _, err := host.Run(); err != nil {
		t.Fatal(err)
	}
	for id, row := range kept {
		same(t, "row", row.Name, fmt.Sprint("name ", id))
	}
}
