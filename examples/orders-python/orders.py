"""The shop's orders, as others may see them, and what every customer has spent.

``public.orders`` becomes two public schemas: ``orders``, one row an order, and ``customer_totals``, one row a customer,
kept up to date in the transform's state.
"""

from pelton_sdk import Ahead, Change, Decimal, Key, Out, Timestamptz, Toasted, public, source, transform

import totals


@source("public.orders")
class Order:
    """A row of ``public.orders``."""

    id: Key[int]
    customer_id: int
    customer_name: str
    email: str
    amount: Decimal
    currency: str
    note: Toasted[str | None]
    is_test: bool
    placed_at: Timestamptz


@public("orders", "1.0")
class PublicOrder:
    """What others see of an order; test orders they do not see."""

    id: Key[int]
    customer_id: int
    #: The e-mail address, masked: ``a***@example.com``.
    contact: str
    #: Amount and currency in one: ``12.50 EUR``.
    price: str
    note: Toasted[str | None]
    #: ``placed_at``, renamed.
    ordered_at: Timestamptz
    #: The customer's name and the order's number in one: ``Ann #17``.
    label: str


@transform(name="orders", publishes=[PublicOrder, totals.CustomerTotal], state_version=1)
class Orders:
    """The shop's transform."""

    def orders_ahead(self, change: Change[Order], ahead: Ahead) -> None:
        """The state that a batch needs is read at once."""
        totals.ahead(change, ahead)

    def orders(self, change: Change[Order], out: Out) -> None:
        totals.count(change, out)
        out.map(change, PublicOrder, published)


def published(order: Order) -> PublicOrder | None:
    if order.is_test:
        return None
    return PublicOrder(
        id=order.id,
        customer_id=order.customer_id,
        contact=masked(order.email),
        price=f"{order.amount} {order.currency}",
        note=order.note,
        ordered_at=order.placed_at,
        label=f"{order.customer_name} #{order.id}",
    )


def masked(email: str) -> str:
    """Hides an address behind its first letter: ``ann@example.com`` becomes ``a***@example.com``."""
    name, at, domain = email.rpartition("@")
    return f"{email[0]}***@{domain}" if at and not email.startswith("@") else "***"
