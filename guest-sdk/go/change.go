package pelton

import "unsafe"

// Change is one change of a source table.
type Change[Row any] struct {
	Op Op
	// New is the new row of an insert or an update; nil otherwise.
	New *Row

	// What was sent of the old row: of an update the key where it changed, of a delete the key, and of both the whole row
	// under REPLICA IDENTITY FULL.
	old   *Row
	whole bool
	table *sourceTable
}

// OldRow returns the whole old row of an update or a delete of a table with REPLICA IDENTITY FULL; nil otherwise.
func (c *Change[Row]) OldRow() *Row {
	if c.whole {
		return c.old
	}
	return nil
}

// OldKey returns the key that the row had before an update or a delete, in a row of which only the fields marked key
// are set. Of an update that did not send its old row it is the new row's. Of an insert and a truncate it is nil.
func (c *Change[Row]) OldKey() *Row {
	switch c.Op {
	case OpUpdate, OpDelete:
		from := c.old
		if from == nil {
			from = c.New
		} else if !c.whole {
			return from
		}
		return keyOf(c.table, from)
	}
	return nil
}

// KeyChanged returns true for an update that gave its row another key.
func (c *Change[Row]) KeyChanged() bool {
	return c.Op == OpUpdate && c.old != nil && !sameKey(c.table.columns, c.table.columns, unsafe.Pointer(c.old), unsafe.Pointer(c.New))
}
