// Takes transactions whole: an order is published once its lines add up to its total.
// tests/conformance/README.md says what it does; the other languages' do the same.
package main

import pelton "github.com/pelton-dev/pelton/guest-sdk/go"

// Order is a row of public.orders (id bigint PRIMARY KEY, total numeric NOT NULL).
type Order struct {
	ID    int64 `pelton:",key"`
	Total pelton.Decimal
}

// Line is a row of public.order_lines (order_id bigint, line int, amount numeric NOT NULL, PRIMARY KEY (order_id, line)).
type Line struct {
	OrderID int64 `pelton:",key"`
	Line    int32 `pelton:",key"`
	Amount  pelton.Decimal
}

// CheckedOrder is an order whose lines add up.
type CheckedOrder struct {
	ID    int64 `pelton:",key"`
	Total pelton.Decimal
	Lines int32
}

// The digits behind the point that are counted.
const scale = 6

type lineKey struct {
	OrderID int64
	Line    int32
}

type none = struct{}

var (
	// Each order's total.
	totals = pelton.NewMap[int64, pelton.Decimal]("totals")
	// Each line's amount, in units of its last digit.
	lines = pelton.NewMap[lineKey, pelton.Int128]("lines")
	// The orders that this transaction has touched.
	touched = pelton.NewMap[int64, none]("touched")
	// The orders that are published.
	published = pelton.NewMap[int64, none]("published")
)

var transform = pelton.Transform{
	Name:              "lines",
	Version:           "1.0.0",
	Publishes:         []*pelton.PublicSchema{pelton.Public[CheckedOrder]("checked_orders", "1.0")},
	Tables:            []pelton.Handler{pelton.Table("public.orders", takeOrder), pelton.Table("public.order_lines", takeLine)},
	StateVersion:      1,
	WholeTransactions: true,
	EndOfTransaction:  endOfTransaction,
}

func init() { pelton.Export(&transform) }

func main() {}

func takeOrder(change pelton.Change[Order], out *pelton.Out) error {
	if change.Op == pelton.OpTruncate {
		pelton.Truncate[CheckedOrder](out)
		if err := totals.Clear(); err != nil {
			return err
		}
		return published.Clear()
	}
	if old := change.OldKey(); old != nil {
		if err := totals.Remove(old.ID); err != nil {
			return err
		}
		if err := touched.Put(old.ID, none{}); err != nil {
			return err
		}
	}
	if order := change.New; order != nil {
		if _, err := order.Total.Scaled(scale); err != nil {
			return err
		}
		if err := totals.Put(order.ID, order.Total); err != nil {
			return err
		}
		return touched.Put(order.ID, none{})
	}
	return nil
}

func takeLine(change pelton.Change[Line], _ *pelton.Out) error {
	if change.Op == pelton.OpTruncate {
		if err := lines.Clear(); err != nil {
			return err
		}
		return totals.ForEach(func(id int64, _ pelton.Decimal) error { return touched.Put(id, none{}) })
	}
	if old := change.OldKey(); old != nil {
		if err := lines.Remove(lineKey{old.OrderID, old.Line}); err != nil {
			return err
		}
		if err := touched.Put(old.OrderID, none{}); err != nil {
			return err
		}
	}
	if line := change.New; line != nil {
		units, err := line.Amount.Scaled(scale)
		if err != nil {
			return err
		}
		if err := lines.Put(lineKey{line.OrderID, line.Line}, units); err != nil {
			return err
		}
		return touched.Put(line.OrderID, none{})
	}
	return nil
}

func endOfTransaction(out *pelton.Out) error {
	var ids []int64
	err := touched.ForEach(func(id int64, _ none) error {
		ids = append(ids, id)
		return nil
	})
	if err != nil {
		return err
	}
	if err := touched.Clear(); err != nil {
		return err
	}
	for _, id := range ids {
		if err := check(id, out); err != nil {
			return err
		}
	}
	return nil
}

// check publishes an order, or takes it back.
func check(id int64, out *pelton.Out) error {
	total, err := totals.Get(id)
	if err != nil {
		return err
	}
	before, err := published.Get(id)
	if err != nil {
		return err
	}
	if total != nil {
		count, addsUp, err := addsUpTo(id, *total)
		if err != nil {
			return err
		}
		if addsUp {
			row := &CheckedOrder{id, *total, count}
			if before == nil {
				pelton.Insert(out, row)
			} else {
				pelton.Update(out, row)
			}
			return published.Put(id, none{})
		}
		pelton.Warn("an order is left out: its lines do not add up to its total")
	}
	if before == nil {
		return nil
	}
	pelton.Delete(out, &CheckedOrder{ID: id})
	return published.Remove(id)
}

// addsUpTo returns how many lines an order has, and whether they sum up to its total.
func addsUpTo(id int64, total pelton.Decimal) (count int32, addsUp bool, err error) {
	want, err := total.Scaled(scale)
	if err != nil {
		return 0, false, err
	}
	sum, fits := pelton.Int128{}, true
	err = lines.ForEach(func(line lineKey, units pelton.Int128) error {
		if line.OrderID == id {
			count++
			if fits {
				sum, fits = sum.CheckedAdd(units)
			}
		}
		return nil
	})
	return count, fits && sum == want, err
}
