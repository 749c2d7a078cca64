"""What a transform's author may rely on, shown through the native host."""

import json
import unittest
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pelton_sdk import Change, Fatal, Identity, Insert, Key, Map, Out, Retry, Update, public, transform, unchanged
from pelton_sdk.model import Column, Context, Phase, Relation, Span
from pelton_sdk.runner import Runner
from pelton_sdk.source import table_of
from pelton_sdk.testing import Harness
from pelton_sdk.transform import transform_of
from shop import Colour, House, Item, Line, Note, PublicItem, PublicThing, Thing, items

Changes = Callable[[Harness], Harness]


class MapTest(unittest.TestCase):
    def check(self, identity: Identity, changes: Changes, *expected: str) -> None:
        host = Harness(items).identity(Item, identity)
        changes(host)
        self.assertEqual(str(host.run()).splitlines(), list(expected))

    def test_map_publishes_one_row_for_one_row_under_the_primary_key(self) -> None:
        item, hidden = Item(1, "a"), Item(1, "a", hidden=True)
        untouched = Item(1, "c", body=unchanged)

        def check(changes: Changes, *expected: str) -> None:
            self.check(Identity.DEFAULT, changes, *expected)

        check(lambda h: h.insert(item).insert(hidden), 'insert items id=1 name="a" size=NULL body="b"')
        check(lambda h: h.update(item, untouched), 'update items id=1 name="c" size=NULL body=unchanged')
        check(lambda h: h.update(item, Item(2, "a")), 'update items from (1) id=2 name="a" size=NULL body="b"')
        check(lambda h: h.update(item, hidden), "delete items id=1")
        check(lambda h: h.update(item, replace(hidden, id=2)), "delete items id=1")
        # The old row is not known, so it can't be told whether it was published: a delete too many does no harm.
        check(lambda h: h.delete(hidden), "delete items id=1")
        check(lambda h: h.truncate(Item), "truncate items")

    def test_map_knows_the_old_row_under_full(self) -> None:
        item, hidden = Item(1, "a"), Item(1, "a", hidden=True)

        def check(changes: Changes, *expected: str) -> None:
            self.check(Identity.FULL, changes, *expected)

        check(lambda h: h.update(hidden, item), 'insert items id=1 name="a" size=NULL body="b"')
        check(lambda h: h.update(hidden, replace(hidden, name="c")))
        check(lambda h: h.delete(hidden))
        check(lambda h: h.delete(item), "delete items id=1")
        # An unchanged value is filled from the old row.
        untouched = Item(1, "c", body=unchanged)
        check(lambda h: h.update(item, untouched), 'update items id=1 name="c" size=NULL body="b"')


def batch(*changes: Any) -> tuple[list[Span], int, bytes]:
    """A batch with one span, as the host writes it, for what the harness would not send."""
    span = Span(7, 1, 9, 0, Phase.LIVE, 0, len(changes), True)
    return [span], len(changes), json.dumps(list(changes)).encode()


def relation(identity: Identity = Identity.DEFAULT) -> Relation:
    """The table's columns in another order, and one more than is subscribed: part of the replica identity."""
    columns = [
        Column("hidden", "boolean"),
        Column("region", "text", key=True),
        Column("body", "text"),
        Column("id", "integer", key=True),
        Column("title", "citext"),
        Column("size", "smallint"),
    ]
    return Relation(3, 1, "shop", "items", identity, columns)


def runner(relation: Relation) -> Runner:
    return Runner(transform_of(items), Context(relations=[relation]))


class RelationTest(unittest.TestCase):
    def fatal(self, act: Callable[[], object]) -> str:
        with self.assertRaises(Fatal) as raised:
            act()
        return raised.exception.message

    def test_columns_are_found_by_name_whatever_their_order(self) -> None:
        output = runner(relation()).process(*batch([0, 3, [False, "eu", "B", 5, "T", 7], None]))
        self.assertEqual(json.loads(output.payload), [[0, 0, 0, [5, "T", 7, "B"], None]])

    def test_an_altered_table_is_held_against_the_class(self) -> None:
        def altered(alter: Callable[[list[Column]], object]) -> str:
            changed = relation()
            alter(changed.columns)
            return self.fatal(lambda: runner(changed))

        self.assertIn("shop.items has no column `title`", altered(lambda c: c.pop(4)))
        self.assertEqual(
            altered(lambda c: setattr(c[3], "kind", "numeric")),
            "column `id` of table shop.items is numeric; the transform expects bigint, integer or smallint",
        )
        self.assertEqual(
            altered(lambda c: setattr(c[5], "kind", "bigint")),
            "column `size` of table shop.items is bigint; the transform expects integer or smallint",
        )
        unkeyed = altered(lambda c: setattr(c[3], "key", False))
        self.assertIn("`id`", unkeyed)
        self.assertIn("REPLICA IDENTITY FULL", unkeyed)

        running, later = runner(relation()), relation()
        later.columns.pop(0)
        self.assertIn("no column `hidden`", self.fatal(lambda: running.relation_changed(later)))

    def test_a_value_that_does_not_fit_is_rejected_with_its_columns_name(self) -> None:
        def rejection(change: Any) -> tuple[str, str]:
            output = runner(relation()).process(*batch(change))
            self.assertEqual((output.count, output.payload), (0, b"[]"), "a rejected change leaves no rows")
            return output.rejected[0].code, output.rejected[0].message

        self.assertEqual(
            rejection([0, 3, [False, "eu", "B", 5, None, 7], None]),
            ("null", "column `title` of table shop.items is NULL; make the field `… | None` if that may be"),
        )
        code, message = rejection([1, 3, [False, "eu", "B", 5, [0], 7], None])
        self.assertEqual(code, "unchanged")
        self.assertTrue("`title`" in message and "Toasted[…]" in message and "FULL" in message, message)
        # A kind that was not announced is the host's mistake, and nobody's row.
        for id, found in [("x", "text"), (True, "a boolean"), (1.5, "a float")]:
            process = lambda: runner(relation()).process(*batch([0, 3, [False, "eu", "B", id, "T", 7], None]))
            self.assertEqual(
                self.fatal(process),
                f"column `id` of table shop.items arrived as {found}; the transform expects bigint, integer or smallint",
            )

    def test_an_unchanged_value_of_a_plain_field_is_filled_from_a_full_old_row(self) -> None:
        update = [1, 3, [False, "eu", [0], 5, [0], 8], [False, "eu", "B", 5, "T", 7]]
        output = runner(relation(Identity.FULL)).process(*batch(update))
        self.assertEqual(json.loads(output.payload), [[0, 1, 0, [5, "T", 8, "B"], None]])

    def test_what_is_no_batch_is_fatal_and_never_a_crash(self) -> None:
        spans, count, payload = batch([0, 3, [False, "eu", "B", 5, "T", 7], None])
        running = runner(relation())
        for cut in range(len(payload)):
            self.fatal(lambda: running.process(spans, count, payload[:cut]))
        for text in (b"\xff", b"5", b"[5]", b"[[]]", b"[[9,3,[],null]]", b"[[0,-1,[],null]]", b'[[0,"3",[],null]]',
                     b"[[0,3,5,null]]", b"[[0,3,[1],null]]", b"[[0,3,null,null]]", b"[" * 100_000):
            self.fatal(lambda: running.process(spans, count, text))
        self.assertIn("relation 4", self.fatal(lambda: running.process(*batch([0, 4, [], None]))))
        spans[0].count = 1 << 31
        self.assertIn("spans", self.fatal(lambda: running.process(spans, count, payload)))

    def test_a_delete_without_its_old_row_is_rejected(self) -> None:
        (rejected,) = runner(relation()).process(*batch([2, 3, None, None])).rejected
        self.assertEqual(rejected.message, "a delete of table shop.items came without its old row")


class HouseTest(unittest.TestCase):
    def test_several_tables_and_messages_become_several_public_schemas(self) -> None:
        host = Harness(House, {"prefix": "no. ", "most": "2"})
        host.commit_time(44).insert(Thing(1, 2, Colour.DARK))
        host.insert(Note(True, b"hello")).delete(Thing(1, 2, Colour.RED)).commit()
        host.insert(Thing(-1, 3, Colour.RED))
        output = host.run()
        self.assertEqual(
            str(output),
            'insert things label="no. 2" place=1 number=2 colour="very dark"\n'
            'insert journal text="hello True" at=44\n'
            "delete things place=1 number=2\n"
            'insert journal text="end of 1" at=0\n'
            'insert things label="no. 3" place=-1 number=3 colour="red"\n'
            'insert journal text="end of 2" at=0\n',
        )
        self.assertEqual([str(line) for line in output.logs], ["debug: starting instances=1", "warn: a large transaction changes=3"])
        self.assertEqual(host.table(PublicThing), ['label="no. 3" place=-1 number=3 colour="red"'])

    def test_a_rejected_change_leaves_nothing_behind_and_stops_nobody(self) -> None:
        host = Harness(House, {"prefix": "", "suffix": "!"})
        host.insert(Thing(1, 1, Colour.RED)).insert(Thing(2, -1, Colour.RED)).insert(Thing(3, 3, Colour.RED))
        output = host.run()
        self.assertEqual(
            [(r.index, r.code, r.message) for r in output.rejected], [(1, "negative", "thing 2 has a negative number")]
        )
        self.assertEqual(len(host.table(PublicThing)), 2)
        self.assertNotIn("never seen", str(output))
        self.assertEqual([row.source for row in output.rows], [0, 2, 2])

    def test_what_a_rejected_change_had_published_is_not_sent(self) -> None:
        columns = [Column("place", "integer", key=True), Column("number", "integer", key=True), Column("colour", "enum")]
        things = Relation(0, 1, "public", "things", Identity.DEFAULT, columns)
        running = Runner(transform_of(House), Context([("prefix", "")], [things]))
        output = running.process(*batch([0, 0, [2, -1, "red"], None], [0, 0, [3, 3, "red"], None], [0, 0, [4, 4, "blue"], None]))
        self.assertEqual([(r.index, r.code) for r in output.rejected], [(0, "negative"), (2, "label")])
        rows = [[0, 0, 1, ["3", 3, 3, "red"], None], [1, 0, 2, ["end of 7", 0], None]]
        self.assertEqual(json.loads(output.payload), rows, "the row of the second change, and the end of the transaction")

    def test_a_batch_to_be_retried_comes_again(self) -> None:
        host = Harness(House, {"prefix": ""}).insert(Thing(1, 13, Colour.RED))
        for _ in range(2):
            with self.assertRaises(Retry) as raised:
                host.run()
            self.assertEqual((raised.exception.message, raised.exception.after_ms), ("not today", 50))

    def test_settings_that_do_not_fit_are_named(self) -> None:
        def error(**settings: str) -> str:
            with self.assertRaises(Fatal) as raised:
                Harness(House, settings).insert(Thing(1, 1, Colour.RED)).run()
            return raised.exception.message

        self.assertEqual(error(), "setting `prefix` is missing: Put before every label.")
        for text in ["secret", "", "1.5", " 1", "1_0", "9223372036854775808", "１"]:
            self.assertEqual(error(prefix="", most=text), "setting `most` must be an integer")
        declared = [(s.name, s.required, s.default, s.doc) for s in transform_of(House).settings]
        self.assertEqual(
            declared,
            [
                ("prefix", True, None, "Put before every label."),
                ("most", False, "100", "How many changes a transaction may have."),
                ("suffix", False, None, ""),
            ],
        )

    def test_the_classes_are_the_descriptor(self) -> None:
        self.assertEqual(str(table_of(Thing)), "public.things")
        self.assertEqual([str(op) for op in table_of(Thing).ops], ["insert", "delete"])
        self.assertEqual(str(table_of(Note)), "pg_logical_message.notes")
        self.assertEqual([f.column for f in table_of(Item).fields], ["id", "title", "size", "body", "hidden"])
        schema = transform_of(items).publishes[0]
        self.assertEqual((schema.name, schema.major, schema.minor), ("items", 2, 1))
        self.assertEqual(
            [(f.column, f.kind, f.nullable, f.key) for f in schema.fields],
            [("id", "bigint", False, True), ("name", "text", False, False), ("size", "integer", True, False), ("body", "text", False, False)],
        )
        self.assertEqual(transform_of(House).schemas[Line][1].fields[0].kind, "varchar")


# --- Mistakes that only show when it runs ----------------------------------------------------------------------------


@public("log", "1.0")
class Keyless:
    text: str


@public("undeclared", "1.0")
class Undeclared:
    id: Key[int]


SIZES = Map[int, int]("sizes")


@transform(publishes=[Keyless])
def clumsy(change: Change[Item], out: Out) -> None:
    if isinstance(change, Insert) and change.new.hidden:
        try:
            out.insert(Undeclared(change.new.id))
        except Exception:
            pass  # It is fatal all the same.
    elif isinstance(change, Insert):
        SIZES.put(change.new.id, 1)
    elif isinstance(change, Update):
        out.update(Keyless(change.new.name))


@transform(publishes=[Undeclared])
def other_keys(change: Change[Item], out: Out) -> None:
    out.map(change, Undeclared, lambda item: Undeclared(item.id + 1))


@transform(publishes=[PublicItem])
def wrong_types(change: Change[Item], out: Out) -> None:
    if isinstance(change, Insert):
        row: Any = PublicItem(change.new.id, change.new.name, None, "")
        row.name, row.id = (b"secret", 1) if change.new.name == "bytes" else ("", 1 << 63)
        out.insert(row)


class MistakesTest(unittest.TestCase):
    def error(self, host: Harness, kind: type[Exception] = Fatal) -> str:
        with self.assertRaises(kind) as raised:
            host.run()
        return str(raised.exception)

    def test_an_authors_mistakes_are_fatal_and_say_what_to_do(self) -> None:
        self.assertEqual(
            self.error(Harness(clumsy).insert(Item(1, "a", hidden=True))),
            "the transform does not declare public schema `undeclared`: add its row type to `publishes=[…]`",
        )
        self.assertEqual(
            self.error(Harness(clumsy).update(Item(1, "a"), Item(1, "b"))),
            "public schema `log` has no Key, so it is append-only: updates can't be published",
        )
        self.assertIn("add `stateful=True` to @transform(…)", self.error(Harness(clumsy).insert(Item(1, "a"))))
        expected = "public schema `undeclared` has other keys than table shop.items; use map_with_key"
        self.assertEqual(self.error(Harness(other_keys).insert(Item(1, "a"))), expected)

    def test_a_value_of_another_type_is_named_by_its_column_and_not_shown(self) -> None:
        self.assertEqual(
            self.error(Harness(wrong_types).insert(Item(1, "bytes")), TypeError),
            "column `name` of public schema `items` takes str, and was given bytes",
        )
        self.assertEqual(
            self.error(Harness(wrong_types).insert(Item(1, "big")), ValueError),
            "column `id` of public schema `items` is a number that no bigint holds",
        )


if __name__ == "__main__":
    unittest.main()
