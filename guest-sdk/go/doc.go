// Package pelton is for writing Pelton transforms in Go: a struct for the source row, a struct for the public row, one
// function a table.
//
//	type Order struct {
//		ID       int64 `pelton:",key"`
//		Customer string
//		Amount   pelton.Decimal
//		Note     *string
//		IsTest   bool
//	}
//
//	type PublicOrder struct {
//		ID     int64 `pelton:",key"`
//		Label  string
//		Amount pelton.Decimal
//	}
//
//	var transform = pelton.Transform{
//		Name: "orders", Version: "1.0.0",
//		Publishes: []*pelton.PublicSchema{pelton.Public[PublicOrder]("orders", "1.0")},
//		Tables:    []pelton.Handler{pelton.Table("public.orders", orders)},
//	}
//
//	func init() { pelton.Export(&transform) }
//
//	func main() {}
//
//	func orders(change pelton.Change[Order], out *pelton.Out) error {
//		return pelton.Map(out, change, func(order *Order) (*PublicOrder, error) {
//			if order.IsTest {
//				return nil, nil
//			}
//			return &PublicOrder{order.ID, fmt.Sprintf("%s #%d", order.Customer, order.ID), order.Amount}, nil
//		})
//	}
//
// pelton build makes a component of the program. [Harness] runs it in an ordinary test.
//
// # Columns
//
// An exported field is the column of its name in snake case: CustomerID is customer_id. The tag `pelton:"name,key"` names
// another one, and marks the key.
//
//	boolean                      bool
//	smallint, integer, bigint    int16, int32, int64 or int (a wider one takes a narrower column)
//	real, double precision       float32, float64 (likewise)
//	bytea                        []byte
//	numeric, date, uuid, …       Decimal, Date, UUID, …: Postgres's own text, read on demand
//	an enum                      a string type with Labels, or any string
//	everything else              string: Postgres's own text
//	may be NULL                  a pointer
//	may be TOASTed               Toasted
//
// A string shares the memory of the batch that it came with: one that is kept for long keeps it all; [strings.Clone] lets
// it go.
//
// # State
//
// What a variable made by [NewMap] holds is committed with the rows that a batch made, or dropped with them.
//
// # Errors
//
// [Reject] refuses the change at hand, [Retry] asks for the batch again, [Fatal] stops the flow. Any other error, and a
// panic, is a mistake of the program: it is logged with its place, and the host finds the change that causes it.
package pelton
