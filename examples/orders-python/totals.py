"""What every customer has spent, in the transform's state.

A delete brings the order's key alone, and an update does not say what the order was before. So the state keeps what each
order counts for, and a change takes the old share from one customer and gives the new one to another. A TRUNCATE empties
both maps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pelton_sdk import Ahead, Change, Decimal, Int128, Key, Map, Out, public, state_value

if TYPE_CHECKING:
    from orders import Order


@public("customer_totals", "1.0")
class CustomerTotal:
    """One row a customer."""

    customer_id: Key[int]
    orders: int
    #: In the amounts' own currency; the shop has one.
    spent: Decimal


@state_value
class Share:
    """What an order counts for."""

    customer: int
    cents: Int128


@state_value
class Total:
    orders: int = 0
    cents: Int128 = 0


SHARES = Map[int, Share]("shares")
TOTALS = Map[int, Total]("totals")


def ahead(change: Change[Order], ahead: Ahead) -> None:
    """Names the state that counting a change will read: the order's share, and the total of its customer."""
    order = identity(change)
    if order is not None:
        ahead.read(SHARES, order)
    if change.new_row is not None:
        ahead.read(TOTALS, change.new_row.customer_id)


def identity(change: Change[Order]) -> int | None:
    """Returns the order's key before the change. An insert, too, may find its order counted: a repair brings rows again."""
    key: int | None = change.old_key
    if key is None and change.new_row is not None:
        return change.new_row.id
    return key


def count(change: Change[Order], out: Out) -> None:
    """Counts a change."""
    order = identity(change)
    if order is None:
        SHARES.clear()
        TOTALS.clear()
        out.truncate(CustomerTotal)
        return
    old, new = SHARES.get(order), None
    if old is not None:
        SHARES.remove(order)
    row = change.new_row
    if row is not None and not row.is_test:
        new = Share(row.customer_id, row.amount.scaled(2))
        SHARES.put(row.id, new)
    if old is not None and new is not None and old.customer == new.customer:
        add(new.customer, 0, new.cents - old.cents, out)
        return
    if old is not None:
        add(old.customer, -1, -old.cents, out)
    if new is not None:
        add(new.customer, 1, new.cents, out)


def add(customer: int, orders: int, cents: int, out: Out) -> None:
    if orders == 0 and cents == 0:
        return
    known = TOTALS.get(customer)
    total = known or Total()
    total.orders += orders
    total.cents += cents
    if total.orders == 0:
        TOTALS.remove(customer)
        out.delete(CustomerTotal, customer)
        return
    TOTALS.put(customer, total)
    row = CustomerTotal(customer_id=customer, orders=total.orders, spent=Decimal.from_scaled(total.cents, 2))
    if known is None:
        out.insert(row)
    else:
        out.update(row)
