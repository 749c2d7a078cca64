"""Support tickets without what is personal in them, and where it was found.

E-mail addresses, card numbers and national ids are masked in texts and anywhere inside of JSON, keys included. What was
found is counted by column and kind in the public schema ``findings``, never with a value.
"""

import json
import re

from pelton_sdk import Change, Jsonb, Key, Map, Out, Toasted, Truncate, public, source, transform, unchanged


@source("public.tickets")
class Ticket:
    id: Key[int]
    subject: str
    body: Toasted[str]
    details: Toasted[Jsonb | None]


@public("tickets", "1.0")
class PublicTicket:
    id: Key[int]
    subject: str
    body: Toasted[str]
    details: Toasted[Jsonb | None]


@public("findings", "1.0")
class Finding:
    """In how many rows of a table a column holds something of a kind."""

    table_name: Key[str]
    column_name: Key[str]
    kind: Key[str]
    rows: int


EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
DIGITS = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?![\d.])")
SSN = re.compile(r"(?<!\d)(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?!\d)")
DNI = re.compile(r"(?<!\w)(\d{8})([A-Z])(?!\w)")
#: The strings of a JSON text, and its whole numbers.
TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|(?<![\d.eE+-])\d+(?![\d.eE])')

#: The kinds that were found in a column of a row, and how many rows there are of each.
SEEN = Map[tuple[int, str], str]("seen")
ROWS = Map[tuple[str, str], int]("rows")
COLUMNS = ("subject", "body", "details")


def is_card(digits: str) -> bool:
    """Luhn's checksum."""
    numbers = [int(digit) for digit in reversed(digits)]
    return sum(n if i % 2 == 0 else sum(divmod(2 * n, 10)) for i, n in enumerate(numbers)) % 10 == 0


def mask(text: str, found: set[str]) -> str:
    def put(kind: str) -> str:
        found.add(kind)
        return f"[{kind}]"

    def card(match: re.Match[str]) -> str:
        return put("card") if is_card(re.sub(r"\D", "", match[0])) else match[0]

    def dni(match: re.Match[str]) -> str:
        return put("national id") if "TRWAGMYFPDXBNJZSQVHLCKE"[int(match[1]) % 23] == match[2] else match[0]

    text = EMAIL.sub(lambda _: put("e-mail"), text)
    return DNI.sub(dni, SSN.sub(lambda _: put("national id"), DIGITS.sub(card, text)))


def mask_json(document: Jsonb, found: set[str]) -> Jsonb:
    """Masks what is in strings and long numbers, and leaves every other byte as it is."""

    def token(match: re.Match[str]) -> str:
        text = match[0]
        plain = json.loads(text) if text.startswith('"') else text
        masked = mask(plain, found)
        return text if masked == plain else json.dumps(masked, ensure_ascii=False)

    return Jsonb(TOKENS.sub(token, str(document)))


def guarded(row: Ticket) -> tuple[PublicTicket, dict[str, set[str] | None]]:
    """Returns the masked row, and the kinds that its columns hold; None for one whose value was not sent."""
    subject: set[str] = set()
    body: set[str] = set()
    details: set[str] = set()
    public_row = PublicTicket(
        id=row.id,
        subject=mask(row.subject, subject),
        body=unchanged if row.body is unchanged else mask(row.body, body),
        details=mask_json(row.details, details) if isinstance(row.details, Jsonb) else row.details,
    )
    return public_row, {
        "subject": subject,
        "body": None if row.body is unchanged else body,
        "details": None if row.details is unchanged else details,
    }


@transform(name="pii-guard", publishes=[PublicTicket, Finding], state_version=1)
def tickets(change: Change[Ticket], out: Out) -> None:
    out.map(change, PublicTicket, lambda row: guarded(row)[0])
    if isinstance(change, Truncate):
        SEEN.clear()
        ROWS.clear()
        out.truncate(Finding)
        return
    row = change.new_row
    now = row.id if row is not None else None
    before = change.old_key if change.old_key is not None else now
    found = guarded(row)[1] if row is not None else dict.fromkeys(COLUMNS, set())
    for column, kinds in found.items():
        had = set((SEEN.get((before, column)) or "").split(",")) - {""}
        # What an update left alone holds what it held.
        has = had if kinds is None else kinds
        SEEN.remove((before, column))
        if now is not None and has:
            SEEN.put((now, column), ",".join(sorted(has)))
        for kind in sorted(had ^ has):
            count(column, kind, 1 if kind in has else -1, out)


def count(column: str, kind: str, more: int, out: Out) -> None:
    had = ROWS.get((column, kind)) or 0
    finding = Finding(table_name="public.tickets", column_name=column, kind=kind, rows=had + more)
    if finding.rows == 0:
        ROWS.remove((column, kind))
        out.delete(Finding, ("public.tickets", column, kind))
        return
    ROWS.put((column, kind), finding.rows)
    out.insert(finding) if had == 0 else out.update(finding)
