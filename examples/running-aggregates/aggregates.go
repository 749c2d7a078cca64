// Sums and counts per shop and day, kept right under updates, deletes, changed keys and truncates.
//
// An update says what a sale is now and a delete which one it was, and neither what it counted for. So the state keeps what
// each sale counts for: a change takes the old share out of one group and puts the new one into another.
package main

import pelton "github.com/pelton-dev/pelton/guest-sdk/go"

// Sale is a row of public.sales.
type Sale struct {
	ID     int64 `pelton:",key"`
	Shop   string
	Day    pelton.Date
	Amount pelton.Decimal
	Pieces int32
}

// DaySales is what a shop has sold on a day. A day without sales has no row.
type DaySales struct {
	Shop   string      `pelton:",key"`
	Day    pelton.Date `pelton:",key"`
	Sales  int64
	Pieces int64
	Amount pelton.Decimal
}

// group is a shop and a day.
type group struct {
	Shop string
	Day  string
}

// share is what a sale counts for.
type share struct {
	Shop, Day string
	Pieces    int64
	Cents     pelton.Int128
}

// sum is what the sales of a group come to.
type sum struct {
	Sales, Pieces int64
	Cents         pelton.Int128
}

var (
	shares = pelton.NewMap[int64, share]("shares")
	sums   = pelton.NewMap[group, sum]("sums")
)

var transform = pelton.Transform{
	Name:         "running-aggregates",
	Version:      "1.0.0",
	Publishes:    []*pelton.PublicSchema{pelton.Public[DaySales]("sales_by_day", "1.0")},
	Tables:       []pelton.Handler{pelton.Table("public.sales", sales)},
	StateVersion: 1,
}

func sales(change pelton.Change[Sale], out *pelton.Out) error {
	if change.Op == pelton.OpTruncate {
		pelton.Truncate[DaySales](out)
		if err := shares.Clear(); err != nil {
			return err
		}
		return sums.Clear()
	}
	before := change.OldKey()
	if before == nil {
		// An insert, too, may find its sale counted: a repair brings rows again.
		before = change.New
	}
	was, err := shares.Get(before.ID)
	if err != nil {
		return err
	}
	if was != nil {
		if err := shares.Remove(before.ID); err != nil {
			return err
		}
		if err := add(was, -1, out); err != nil {
			return err
		}
	}
	if change.New == nil {
		return nil
	}
	cents, err := change.New.Amount.Scaled(2)
	if err != nil {
		return err
	}
	is := share{change.New.Shop, string(change.New.Day), int64(change.New.Pieces), cents}
	if err := shares.Put(change.New.ID, is); err != nil {
		return err
	}
	return add(&is, 1, out)
}

// add counts a share in, or out again.
func add(of *share, sign int64, out *pelton.Out) error {
	key := group{of.Shop, of.Day}
	known, err := sums.Get(key)
	if err != nil {
		return err
	}
	now := sum{}
	if known != nil {
		now = *known
	}
	cents := of.Cents
	if sign < 0 {
		cents = cents.Neg()
	}
	now.Sales, now.Pieces, now.Cents = now.Sales+sign, now.Pieces+sign*of.Pieces, now.Cents.Add(cents)
	row := &DaySales{of.Shop, pelton.Date(of.Day), now.Sales, now.Pieces, pelton.DecimalFromScaled(now.Cents, 2)}
	if now.Sales == 0 {
		pelton.Delete(out, row)
		return sums.Remove(key)
	}
	if known == nil {
		pelton.Insert(out, row)
	} else {
		pelton.Update(out, row)
	}
	return sums.Put(key, now)
}

func init() { pelton.Export(&transform) }

func main() {}
