"""The transform, run natively."""

import unittest

from pelton_sdk import Jsonb, unchanged
from pelton_sdk.testing import Harness

from pii_guard import Finding, PublicTicket, Ticket, mask, mask_json, tickets


def ticket(id: int, subject: str, body: str = "", details: Jsonb | None = None) -> Ticket:
    return Ticket(id=id, subject=subject, body=body, details=details)


def found(host: Harness) -> list[str]:
    return [row.removeprefix('table_name="public.tickets" ') for row in host.table(Finding)]


class PiiGuardTest(unittest.TestCase):
    def test_what_is_personal_is_masked_and_nothing_else(self) -> None:
        cases = {
            "write to ann.b+c@mail.example.com!": "write to [e-mail]!",
            "4111 1111 1111 1111": "[card]",
            "4111-1111-1111-1112": "4111-1111-1111-1112",
            "378282246310005,": "[card],",
            "order 12345678901234567890123": "order 12345678901234567890123",
            "078-05-1120 and 000-05-1120": "[national id] and 000-05-1120",
            "12345678Z, 12345678A": "[national id], 12345678A",
            "a @ b": "a @ b",
        }
        for text, expected in cases.items():
            self.assertEqual(mask(text, set()), expected)

    def test_json_is_masked_wherever_it_is_and_stays_what_it_was(self) -> None:
        kinds: set[str] = set()
        text = r'{"n": 1.10000000000000000001, "to": [{"a@b.c": "\u00e9 a@b.c"}], "card": 4111111111111111, "e": 1E400}'
        expected = r'{"n": 1.10000000000000000001, "to": [{"[e-mail]": "é [e-mail]"}], "card": "[card]", "e": 1E400}'
        self.assertEqual(str(mask_json(Jsonb(text), kinds)), expected)
        self.assertEqual(kinds, {"e-mail", "card"})

    def test_findings_follow_their_rows(self) -> None:
        host = Harness(tickets)
        host.insert(ticket(1, "a@b.c", "4111111111111111")).insert(ticket(2, "a@b.c", "", Jsonb('{"x": "a@b.c"}')))
        host.run()
        self.assertEqual(
            sorted(found(host)),
            [
                'column_name="body" kind="card" rows=1',
                'column_name="details" kind="e-mail" rows=1',
                'column_name="subject" kind="e-mail" rows=2',
            ],
        )
        # The body is left alone, the key changes, and there is a new instance in between.
        host.restart().update(ticket(1, "a@b.c", "4111111111111111"), Ticket(id=7, subject="-", body=unchanged, details=None))
        host.run()
        self.assertIn('column_name="body" kind="card" rows=1', found(host))
        self.assertIn('column_name="subject" kind="e-mail" rows=1', found(host))
        host.delete(ticket(7, "-")).delete(ticket(2, "-"))
        host.run()
        self.assertEqual(found(host), [])
        self.assertEqual(host.table(PublicTicket), [])


if __name__ == "__main__":
    unittest.main()
