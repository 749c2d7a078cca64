package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	pelton "github.com/pelton-dev/pelton/guest-sdk/go"
)

// The transform, run natively.

func order(id, customer int64, amount pelton.Decimal) *Order {
	return &Order{
		ID: id, CustomerID: customer, CustomerName: "Ann", Email: "ann@example.com", Amount: amount, Currency: "EUR",
		Note: pelton.Value[*string](nil), PlacedAt: "2024-07-01 12:00:00+00",
	}
}

func testOrder(id, customer int64, amount pelton.Decimal) *Order {
	order := order(id, customer, amount)
	order.IsTest = true
	return order
}

func withNote(order *Order, note pelton.Toasted[*string]) *Order {
	order.Note = note
	return order
}

func run(t *testing.T, host *pelton.Harness) *pelton.Output {
	t.Helper()
	output, err := host.Run()
	if err != nil {
		t.Fatal(err)
	}
	return output
}

func check(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("\n got  %q\n want %q", got, want)
	}
}

func TestAnOrderIsRenamedJoinedAndMasked(t *testing.T) {
	host := pelton.NewHarness(&transform)
	note := "leave at the door"
	pelton.InsertRow(host, withNote(order(17, 3, "12.50"), pelton.Value(&note)))
	check(t, strings.Split(strings.TrimSpace(run(t, host).String()), "\n"),
		`insert customer_totals customer_id=3 orders=1 spent="12.50"`,
		`insert orders id=17 customer_id=3 contact="a***@example.com" price="12.50 EUR" note="leave at the door" `+
			`ordered_at="2024-07-01 12:00:00+00" label="Ann #17"`)
	for email, expected := range map[string]string{"ann@example.com": "a***@example.com", "a@b@c": "a***@c", "@x": "***", "": "***",
		"é@x": "é***@x", "x": "***"} {
		check(t, []string{masked(email)}, expected)
	}
}

func TestTestOrdersAreNobodysBusiness(t *testing.T) {
	host := pelton.NewHarness(&transform)
	pelton.InsertRow(host, testOrder(1, 3, "5.00"))
	pelton.InsertRow(host, order(2, 3, "7.00"))
	// One becomes a test, the other stops being one.
	pelton.UpdateRow(host, order(2, 3, "7.00"), testOrder(2, 3, "7.00"))
	pelton.UpdateRow(host, testOrder(1, 3, "5.00"), order(1, 3, "5.00"))
	run(t, host)
	if rows := host.Table("orders"); len(rows) != 1 {
		t.Errorf("%q", rows)
	}
	check(t, host.Table("customer_totals"), `customer_id=3 orders=1 spent="5.00"`)
}

func TestAnUnchangedNoteStays(t *testing.T) {
	host := pelton.NewHarness(&transform)
	note := "a long note"
	first := withNote(order(1, 3, "5.00"), pelton.Value(&note))
	pelton.InsertRow(host, first)
	pelton.UpdateRow(host, first, withNote(order(1, 3, "6.00"), pelton.Unchanged[*string]()))
	run(t, host)
	if row := host.Table("orders")[0]; !strings.Contains(row, `price="6.00 EUR" note="a long note"`) {
		t.Error(row)
	}
}

func TestTotalsAreRightUnderUpdatesKeyChangesDeletesAndTruncates(t *testing.T) {
	for _, identity := range []pelton.Identity{pelton.IdentityDefault, pelton.IdentityFull} {
		host := pelton.NewHarness(&transform).Identity("public.orders", identity)
		pelton.InsertRow(host, order(1, 3, "5.00"))
		pelton.InsertRow(host, order(2, 3, "0.01"))
		pelton.InsertRow(host, order(3, 4, "1.10"))
		host.Commit()
		run(t, host)
		check(t, host.Table("customer_totals"), `customer_id=3 orders=2 spent="5.01"`, `customer_id=4 orders=1 spent="1.10"`)

		// Another amount, another customer, another key; and a new instance in between.
		pelton.UpdateRow(host, order(1, 3, "5.00"), order(1, 3, "4.00"))
		host.Restart()
		run(t, host)
		pelton.UpdateRow(host, order(2, 3, "0.01"), order(2, 4, "0.01"))
		pelton.UpdateRow(host, order(3, 4, "1.10"), order(9, 4, "1.10"))
		run(t, host)
		check(t, host.Table("customer_totals"), `customer_id=3 orders=1 spent="4.00"`, `customer_id=4 orders=2 spent="1.11"`)

		pelton.DeleteRow(host, order(9, 4, "1.10"))
		pelton.DeleteRow(host, order(1, 3, "4.00"))
		run(t, host)
		check(t, host.Table("customer_totals"), `customer_id=4 orders=1 spent="0.01"`)

		pelton.TruncateTable[Order](host)
		pelton.InsertRow(host, order(1, 3, "2.00"))
		run(t, host)
		check(t, host.Table("customer_totals"), `customer_id=3 orders=1 spent="2.00"`)
		if len(host.Table("orders")) != 1 || len(host.State()) != 2 {
			t.Errorf("%q, %q", host.Table("orders"), host.State())
		}
	}
}

func TestTheStateHasTheBytesOfEveryLanguage(t *testing.T) {
	host := pelton.NewHarness(&transform)
	pelton.InsertRow(host, order(1, 3, "5.00"))
	run(t, host)
	check(t, []string{fmt.Sprintf("%q", host.State())}, `map["shares\x00\x80\x00\x00\x00\x00\x00\x00\x01":"\x92\x03\xc4\x10`+
		`\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xf4" `+
		`"totals\x00\x80\x00\x00\x00\x00\x00\x00\x03":"\x92\x01\xc4\x10`+
		`\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xf4"]`)
}

func TestARowThatComesAgainIsCountedOnce(t *testing.T) {
	host := pelton.NewHarness(&transform)
	pelton.InsertRow(host, order(1, 3, "5.00"))
	pelton.InsertRow(host, order(1, 3, "6.00"))
	run(t, host)
	check(t, host.Table("customer_totals"), `customer_id=3 orders=1 spent="6.00"`)
}

func TestAnAmountThatIsNoNumberIsRejectedAlone(t *testing.T) {
	host := pelton.NewHarness(&transform)
	pelton.InsertRow(host, order(1, 3, "NaN"))
	pelton.InsertRow(host, order(2, 3, "5.00"))
	check(t, []string{fmt.Sprint(run(t, host).Rejected)}, "[{0 not-finite a numeric is NaN or infinite}]")
	check(t, host.Table("customer_totals"), `customer_id=3 orders=1 spent="5.00"`)
}

func TestTheStateOfABatchIsReadAtOnce(t *testing.T) {
	host := pelton.NewHarness(&transform)
	for id := range int64(100) {
		pelton.InsertRow(host, order(id, id%7, "1.00"))
	}
	if reads := run(t, host).StateReads; reads != 1 {
		t.Errorf("%d reads", reads)
	}
	host.Restart()
	pelton.UpdateRow(host, order(8, 1, "1.00"), order(800, 2, "1.00"))
	pelton.DeleteRow(host, order(9, 2, "1.00"))
	// And once more for the customer who lost an order: only the order's share tells who that is.
	if reads := run(t, host).StateReads; reads != 2 {
		t.Errorf("%d reads", reads)
	}
}
