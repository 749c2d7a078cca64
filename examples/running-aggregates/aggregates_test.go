package main

import (
	"slices"
	"testing"

	pelton "github.com/pelton-dev/pelton/guest-sdk/go"
)

func sale(id int64, shop string, amount pelton.Decimal, pieces int32) *Sale {
	return &Sale{ID: id, Shop: shop, Day: "2024-07-01", Amount: amount, Pieces: pieces}
}

func TestSumsAreRightUnderWhateverHappensToTheirRows(t *testing.T) {
	for _, identity := range []pelton.Identity{pelton.IdentityDefault, pelton.IdentityFull} {
		host := pelton.NewHarness(&transform).Identity("public.sales", identity)
		check := func(want ...string) {
			t.Helper()
			if _, err := host.Run(); err != nil {
				t.Fatal(err)
			}
			if got := host.Table("sales_by_day"); !slices.Equal(got, want) {
				t.Errorf("\n got  %q\n want %q", got, want)
			}
		}
		row := func(shop, sales, pieces, amount string) string {
			return `shop="` + shop + `" day="2024-07-01" sales=` + sales + ` pieces=` + pieces + ` amount="` + amount + `"`
		}
		pelton.InsertRow(host, sale(1, "north", "5.00", 1))
		pelton.InsertRow(host, sale(2, "north", "0.01", 2))
		pelton.InsertRow(host, sale(3, "south", "1.10", 3))
		check(row("north", "2", "3", "5.01"), row("south", "1", "3", "1.10"))

		// Another shop, another amount, another key, and a new instance in between.
		pelton.UpdateRow(host, sale(2, "north", "0.01", 2), sale(2, "south", "0.02", 1))
		host.Restart()
		pelton.UpdateRow(host, sale(3, "south", "1.10", 3), sale(9, "south", "1.10", 3))
		check(row("north", "1", "1", "5.00"), row("south", "2", "4", "1.12"))

		pelton.DeleteRow(host, sale(1, "north", "5.00", 1))
		pelton.DeleteRow(host, sale(9, "south", "1.10", 3))
		check(row("south", "1", "1", "0.02"))

		pelton.InsertRow(host, sale(2, "south", "7.00", 1)) // as a repair brings it
		check(row("south", "1", "1", "7.00"))

		pelton.TruncateTable[Sale](host)
		check()
		if len(host.State()) != 0 {
			t.Errorf("%d entries are left of nothing", len(host.State()))
		}
	}
}
