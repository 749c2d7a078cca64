"""Takes transactions whole: an order is published once its lines add up to its total.

``tests/conformance/README.md`` says what it does; the other languages' do the same.
"""

from pelton_sdk import Change, Decimal, Int32, Int128, Integer, Key, Map, Out, Truncate, log, public, source, transform


@source("public.orders")
class Order:
    """``CREATE TABLE public.orders (id bigint PRIMARY KEY, total numeric NOT NULL)``"""

    id: Key[int]
    total: Decimal


@source("public.order_lines")
class Line:
    """``CREATE TABLE public.order_lines (order_id bigint, line int, amount numeric NOT NULL, PRIMARY KEY (order_id, line))``"""

    order_id: Key[int]
    line: Key[Integer]
    amount: Decimal


@public("checked_orders", "1.0")
class CheckedOrder:
    id: Key[int]
    total: Decimal
    lines: Integer


#: The digits behind the point that are counted.
SCALE = 6

#: Each order's total.
TOTALS = Map[int, Decimal]("totals")
#: Each line's amount, in units of its last digit.
LINES = Map[tuple[int, Int32], Int128]("lines")
#: The orders that this transaction has touched.
TOUCHED = Map[int, None]("touched")
#: The orders that are published.
PUBLISHED = Map[int, None]("published")


@transform(name="lines", publishes=[CheckedOrder], whole_transactions=True, state_version=1)
class Lines:
    def orders(self, change: Change[Order], out: Out) -> None:
        if isinstance(change, Truncate):
            TOTALS.clear()
            PUBLISHED.clear()
            out.truncate(CheckedOrder)
            return
        if change.old_key is not None:
            TOTALS.remove(change.old_key)
            TOUCHED.put(change.old_key, None)
        order = change.new_row
        if order is not None:
            order.total.scaled(SCALE)
            TOTALS.put(order.id, order.total)
            TOUCHED.put(order.id, None)

    def lines(self, change: Change[Line], out: Out) -> None:
        if isinstance(change, Truncate):
            LINES.clear()
            for id, _ in TOTALS.for_each():
                TOUCHED.put(id, None)
            return
        if change.old_key is not None:
            LINES.remove(change.old_key)
            TOUCHED.put(change.old_key[0], None)
        line = change.new_row
        if line is not None:
            LINES.put((line.order_id, line.line), line.amount.scaled(SCALE))
            TOUCHED.put(line.order_id, None)

    def end_of_transaction(self, out: Out) -> None:
        touched = [id for id, _ in TOUCHED.for_each()]
        TOUCHED.clear()
        for id in touched:
            check(id, out)


def check(id: int, out: Out) -> None:
    """Publishes an order, or takes it back."""
    total = TOTALS.get(id)
    published = PUBLISHED.has(id)
    if total is not None:
        lines, added_up = sum_of_lines(id)
        if added_up == total.scaled(SCALE):
            PUBLISHED.put(id, None)
            row = CheckedOrder(id, total, lines)
            if published:
                out.update(row)
            else:
                out.insert(row)
            return
        log.warn("an order is left out: its lines do not add up to its total")
    if published:
        PUBLISHED.remove(id)
        out.delete(CheckedOrder, id)


def sum_of_lines(id: int) -> tuple[int, int | None]:
    """Returns how many lines an order has, and their sum, if it is not too large for one."""
    count, total, fits = 0, 0, True
    for (order, _), amount in LINES.for_each():
        if order == id:
            count += 1
            total += amount
            fits = fits and -(2**127) <= total < 2**127
    return count, total if fits else None
