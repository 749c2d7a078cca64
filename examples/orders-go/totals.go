package main

import pelton "github.com/pelton-dev/pelton/guest-sdk/go"

// What every customer has spent, in the transform's state.
//
// A delete brings the order's key alone, and an update does not say what the order was before. So the state keeps what
// each order counts for, and a change takes the old share from one customer and gives the new one to another. A TRUNCATE
// empties both maps.

// CustomerTotal is one row a customer.
type CustomerTotal struct {
	CustomerID int64 `pelton:",key"`
	Orders     int64
	// In the amounts' own currency; the shop has one.
	Spent pelton.Decimal
}

// share is what an order counts for.
type share struct {
	Customer int64
	Cents    pelton.Int128
}

type total struct {
	Orders int64
	Cents  pelton.Int128
}

var (
	shares = pelton.NewMap[int64, share]("shares")
	totals = pelton.NewMap[int64, total]("totals")
)

// totalsAhead names the state that counting a change will read: the order's share, and the total of its customer.
func totalsAhead(change pelton.Change[Order], ahead *pelton.Ahead) {
	if id, ok := idOf(&change); ok {
		pelton.ReadAhead(ahead, shares, id)
	}
	if change.New != nil {
		pelton.ReadAhead(ahead, totals, change.New.CustomerID)
	}
}

// idOf returns the order's key before the change. An insert, too, may find its order counted: a repair brings rows again.
func idOf(change *pelton.Change[Order]) (int64, bool) {
	if old := change.OldKey(); old != nil {
		return old.ID, true
	}
	if change.New != nil {
		return change.New.ID, true
	}
	return 0, false
}

// count counts a change.
func count(change *pelton.Change[Order], out *pelton.Out) error {
	id, ok := idOf(change)
	if !ok {
		pelton.Truncate[CustomerTotal](out)
		if err := shares.Clear(); err != nil {
			return err
		}
		return totals.Clear()
	}
	old, err := shares.Get(id)
	if err != nil {
		return err
	}
	if old != nil {
		if err := shares.Remove(id); err != nil {
			return err
		}
	}
	var counted *share
	if order := change.New; order != nil && !order.IsTest {
		cents, err := order.Amount.Scaled(2)
		if err != nil {
			return err
		}
		counted = &share{order.CustomerID, cents}
		if err := shares.Put(order.ID, *counted); err != nil {
			return err
		}
	}
	if old != nil && counted != nil && old.Customer == counted.Customer {
		return add(counted.Customer, 0, counted.Cents.Sub(old.Cents), out)
	}
	if old != nil {
		if err := add(old.Customer, -1, old.Cents.Neg(), out); err != nil {
			return err
		}
	}
	if counted != nil {
		return add(counted.Customer, 1, counted.Cents, out)
	}
	return nil
}

func add(customer, orders int64, cents pelton.Int128, out *pelton.Out) error {
	if orders == 0 && cents.Sign() == 0 {
		return nil
	}
	known, err := totals.Get(customer)
	if err != nil {
		return err
	}
	var sum total
	if known != nil {
		sum = *known
	}
	sum.Orders += orders
	sum.Cents = sum.Cents.Add(cents)
	if sum.Orders == 0 {
		pelton.Delete(out, &CustomerTotal{CustomerID: customer})
		return totals.Remove(customer)
	}
	row := &CustomerTotal{customer, sum.Orders, pelton.DecimalFromScaled(sum.Cents, 2)}
	if known == nil {
		pelton.Insert(out, row)
	} else {
		pelton.Update(out, row)
	}
	return totals.Put(customer, sum)
}
