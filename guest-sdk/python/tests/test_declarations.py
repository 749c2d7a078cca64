"""What is wrong in how rows, settings and transforms are declared is said where they are, with what to do."""

import enum
import unittest
from collections.abc import Callable
from typing import Annotated, Any

from pelton_sdk import Ahead, Change, Column, Fatal, Key, Map, Out, Toasted, public, settings, source, transform
from pelton_sdk.transform import transform_of
from shop import Item, Note, PublicItem, Thing, items


class Numbered(enum.Enum):
    ONE = 1


class DeclarationsTest(unittest.TestCase):
    def refused(self, declare: Callable[[], object], *words: str) -> None:
        with self.assertRaises(TypeError) as raised:
            declare()
        for word in words:
            self.assertIn(word, str(raised.exception))

    def test_rows(self) -> None:
        def row(**annotations: Any) -> type:
            return type("Row", (), {"__annotations__": annotations, "__module__": __name__})

        table = source("public.t")
        self.refused(lambda: table(row()), "annotated fields", "Row has none")
        self.refused(lambda: table(row(a=list)), "`a`", "list", "no column")
        self.refused(lambda: table(row(a=int | str)), "`a`", "one type")
        self.refused(lambda: table(row(a=Key[int | None])), "`a`", "Key")
        self.refused(lambda: table(row(a=Key[Toasted[int]])), "`a`", "Key")
        self.refused(lambda: table(row(a=Numbered)), "Numbered", "texts")
        self.refused(lambda: table(row(a=int, b=Annotated[int, Column(name="a")])), "two fields", "`a`")
        self.refused(lambda: source(), "@source(")
        self.refused(lambda: source("t", message="m"), "@source(")
        self.refused(lambda: source("public."), "schema.table")
        self.refused(lambda: public(""), "name the public schema")
        self.refused(lambda: public("t", "one"), "major.minor")

    def test_settings(self) -> None:
        def declare(**annotations: Any) -> None:
            settings(type("Options", (), {"__annotations__": annotations, "__module__": __name__}))

        self.refused(lambda: declare(a=int | str), "`a`", "one type")

        def default_and_none() -> None:
            @settings
            class Options:
                a: int | None = 5

        self.refused(default_and_none, "`a`", "never absent")

    def test_transforms(self) -> None:
        declare = transform(publishes=[PublicItem])

        class WithoutTables:
            def things(self) -> None: ...

        class EndsAlone:
            def items(self, change: Change[Item], out: Out) -> None: ...
            def end_of_transaction(self, out: Out) -> None: ...

        class AheadAlone:
            def items(self, change: Change[Item], out: Out) -> None: ...
            def notes_ahead(self, change: Change[Note], ahead: Ahead) -> None: ...

        class TwiceAhead:
            def items(self, change: Change[Item], out: Out) -> None: ...
            def ahead(self, change: Change[Item], ahead: Ahead) -> None: ...
            def ahead_too(self, change: Change[Item], ahead: Ahead) -> None: ...

        class StrangeInit:
            def __init__(self, number: int) -> None: ...
            def items(self, change: Change[Item], out: Out) -> None: ...

        class Twice:
            def items(self, change: Change[Item], out: Out) -> None: ...
            def items_too(self, change: Change[Item], out: Out) -> None: ...

        self.refused(lambda: transform(publishes=[]), "publishes=[PublicOrder]")
        self.refused(lambda: transform(publishes=[PublicItem], parallel=True, whole_transactions=True), "exclude each other")
        self.refused(lambda: transform(publishes=[Item])(items), "Item", "@public")
        self.refused(lambda: declare(lambda change, out: None), "change: Change[Row], out: Out")
        self.refused(lambda: declare(WithoutTables), "no method of WithoutTables takes a change")
        self.refused(lambda: declare(EndsAlone), "whole_transactions=True")
        self.refused(lambda: declare(AheadAlone), "notes_ahead", "no method takes")
        self.refused(lambda: declare(TwiceAhead), "ahead_too", "second")
        self.refused(lambda: declare(StrangeInit), "`number`", "StrangeInit.__init__")
        self.refused(lambda: transform_of(Thing), "Thing", "@transform")
        with self.assertRaises(Fatal) as raised:
            transform_of(declare(Twice)).check()
        self.assertEqual(raised.exception.message, "two functions take the changes of table shop.items; make it one")
        with self.assertRaises(Fatal) as raised:
            transform_of(transform(publishes=[PublicItem, PublicItem])(Twice)).check()
        with self.assertRaises(ValueError):
            Map[int, int]("a\0b")


if __name__ == "__main__":
    unittest.main()
