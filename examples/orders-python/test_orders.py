"""The transform, run natively."""

import unittest
from dataclasses import replace

from pelton_sdk import Decimal, Identity, Timestamptz, unchanged
from pelton_sdk.testing import Harness

from orders import Order, Orders, PublicOrder, masked
from totals import CustomerTotal


def order(id: int, customer_id: int, amount: str) -> Order:
    return Order(
        id=id,
        customer_id=customer_id,
        customer_name="Ann",
        email="ann@example.com",
        amount=Decimal(amount),
        currency="EUR",
        note=None,
        is_test=False,
        placed_at=Timestamptz("2024-07-01 12:00:00+00"),
    )


def as_test(order: Order) -> Order:
    return replace(order, is_test=True)


class OrdersTest(unittest.TestCase):
    def totals(self, host: Harness) -> list[str]:
        return host.table(CustomerTotal)

    def test_an_order_is_renamed_joined_and_masked(self) -> None:
        host = Harness(Orders)
        host.insert(replace(order(17, 3, "12.50"), note="leave at the door"))
        self.assertEqual(
            str(host.run()),
            'insert customer_totals customer_id=3 orders=1 spent="12.50"\n'
            'insert orders id=17 customer_id=3 contact="a***@example.com" price="12.50 EUR" note="leave at the door" '
            'ordered_at="2024-07-01 12:00:00+00" label="Ann #17"\n',
        )
        for email, expected in [("ann@example.com", "a***@example.com"), ("a@b@c", "a***@c"), ("@x", "***"), ("", "***")]:
            self.assertEqual(masked(email), expected)

    def test_test_orders_are_nobodys_business(self) -> None:
        host = Harness(Orders)
        host.insert(as_test(order(1, 3, "5.00"))).insert(order(2, 3, "7.00"))
        # One becomes a test, the other stops being one.
        host.update(order(2, 3, "7.00"), as_test(order(2, 3, "7.00")))
        host.update(as_test(order(1, 3, "5.00")), order(1, 3, "5.00"))
        host.run()
        self.assertEqual(len(host.table(PublicOrder)), 1)
        self.assertEqual(self.totals(host), ['customer_id=3 orders=1 spent="5.00"'])

    def test_an_unchanged_note_stays(self) -> None:
        host = Harness(Orders)
        first = replace(order(1, 3, "5.00"), note="a long note")
        host.insert(first).update(first, replace(order(1, 3, "6.00"), note=unchanged))
        host.run()
        self.assertIn('price="6.00 EUR" note="a long note"', host.table(PublicOrder)[0])

    def test_totals_are_right_under_updates_key_changes_deletes_and_truncates(self) -> None:
        for identity in [Identity.DEFAULT, Identity.FULL]:
            host = Harness(Orders).identity(Order, identity)
            host.insert(order(1, 3, "5.00")).insert(order(2, 3, "0.01")).insert(order(3, 4, "1.10")).commit()
            host.run()
            self.assertEqual(
                self.totals(host), ['customer_id=3 orders=2 spent="5.01"', 'customer_id=4 orders=1 spent="1.10"']
            )

            # Another amount, another customer, another key; and a new instance in between.
            host.update(order(1, 3, "5.00"), order(1, 3, "4.00")).restart()
            host.run()
            host.update(order(2, 3, "0.01"), order(2, 4, "0.01")).update(order(3, 4, "1.10"), order(9, 4, "1.10"))
            host.run()
            self.assertEqual(
                self.totals(host), ['customer_id=3 orders=1 spent="4.00"', 'customer_id=4 orders=2 spent="1.11"']
            )

            host.delete(order(9, 4, "1.10")).delete(order(1, 3, "4.00"))
            host.run()
            self.assertEqual(self.totals(host), ['customer_id=4 orders=1 spent="0.01"'])

            host.truncate(Order).insert(order(1, 3, "2.00"))
            host.run()
            self.assertEqual(self.totals(host), ['customer_id=3 orders=1 spent="2.00"'])
            self.assertEqual(len(host.table(PublicOrder)), 1)
            self.assertEqual(len(host.state()), 2, "one share, one total")

    def test_a_row_that_comes_again_is_counted_once(self) -> None:
        host = Harness(Orders)
        host.insert(order(1, 3, "5.00")).insert(order(1, 3, "6.00"))
        host.run()
        self.assertEqual(self.totals(host), ['customer_id=3 orders=1 spent="6.00"'])

    def test_an_amount_that_is_no_number_is_rejected_alone(self) -> None:
        host = Harness(Orders)
        host.insert(order(1, 3, "NaN")).insert(order(2, 3, "5.00"))
        (rejected,) = host.run().rejected
        self.assertEqual((rejected.index, rejected.code), (0, "not-finite"))
        self.assertEqual(self.totals(host), ['customer_id=3 orders=1 spent="5.00"'])

    def test_the_state_of_a_batch_is_read_at_once(self) -> None:
        host = Harness(Orders)
        for id in range(100):
            host.insert(order(id, id % 7, "1.00"))
        self.assertEqual(host.run().state_reads, 1)
        host.restart().update(order(8, 1, "1.00"), order(800, 2, "1.00")).delete(order(9, 2, "1.00"))
        # And once more for the customer who lost an order: only the order's share tells who that is.
        self.assertEqual(host.run().state_reads, 2)

    def test_the_state_has_the_bytes_that_every_language_gives_it(self) -> None:
        host = Harness(Orders)
        host.insert(order(1, 3, "12.50"))
        host.run()
        cents = (1250).to_bytes(16)
        self.assertEqual(
            host.state(),
            {
                b"shares\0" + (2**63 + 1).to_bytes(8): b"\x92\x03\xc4\x10" + cents,
                b"totals\0" + (2**63 + 3).to_bytes(8): b"\x92\x01\xc4\x10" + cents,
            },
        )


if __name__ == "__main__":
    unittest.main()
