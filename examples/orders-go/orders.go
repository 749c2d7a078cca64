// The shop's orders, as others may see them, and what every customer has spent.
//
// public.orders becomes two public schemas: orders, one row an order, and customer_totals, one row a customer, kept up to
// date in the transform's state.
package main

import (
	"strconv"
	"strings"
	"unicode/utf8"

	pelton "github.com/pelton-dev/pelton/guest-sdk/go"
)

// Order is a row of public.orders.
type Order struct {
	ID           int64 `pelton:",key"`
	CustomerID   int64
	CustomerName string
	Email        string
	Amount       pelton.Decimal
	Currency     string
	Note         pelton.Toasted[*string]
	IsTest       bool
	PlacedAt     pelton.Timestamptz
}

// PublicOrder is what others see of an order; test orders they do not see.
type PublicOrder struct {
	ID         int64 `pelton:",key"`
	CustomerID int64
	// The e-mail address, masked: a***@example.com.
	Contact string
	// Amount and currency in one: 12.50 EUR.
	Price string
	Note  pelton.Toasted[*string]
	// PlacedAt, renamed.
	OrderedAt pelton.Timestamptz
	// The customer's name and the order's number in one: Ann #17.
	Label string
}

var transform = pelton.Transform{
	Name:    "orders",
	Version: "1.0.0",
	Publishes: []*pelton.PublicSchema{
		pelton.Public[PublicOrder]("orders", "1.0"),
		pelton.Public[CustomerTotal]("customer_totals", "1.0"),
	},
	Tables: []pelton.Handler{
		// The state that a batch needs is read at once.
		pelton.Table("public.orders", orders).ReadAhead(totalsAhead),
	},
	StateVersion: 1,
}

func init() { pelton.Export(&transform) }

func main() {}

func orders(change pelton.Change[Order], out *pelton.Out) error {
	if err := count(&change, out); err != nil {
		return err
	}
	return pelton.Map(out, change, func(order *Order) (*PublicOrder, error) {
		if order.IsTest {
			return nil, nil
		}
		return &PublicOrder{
			ID:         order.ID,
			CustomerID: order.CustomerID,
			Contact:    masked(order.Email),
			Price:      string(order.Amount) + " " + order.Currency,
			Note:       order.Note,
			OrderedAt:  order.PlacedAt,
			Label:      order.CustomerName + " #" + strconv.FormatInt(order.ID, 10),
		}, nil
	})
}

// masked hides an address behind its first letter: ann@example.com becomes a***@example.com.
func masked(email string) string {
	at := strings.LastIndexByte(email, '@')
	if at <= 0 || email[0] == '@' {
		return "***"
	}
	_, first := utf8.DecodeRuneInString(email)
	return email[:first] + "***" + email[at:]
}
