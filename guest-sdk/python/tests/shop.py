"""Rows and transforms that several tests use."""

import enum
from typing import Annotated

from pelton_sdk import (
    Change,
    Column,
    Context,
    Doc,
    Insert,
    Integer,
    Key,
    Op,
    Out,
    Reject,
    Retry,
    Toasted,
    log,
    public,
    settings,
    source,
    transform,
)


@source("shop.items")
class Item:
    id: Key[int]
    name: Annotated[str, Column(name="title")]
    size: Integer | None = None
    body: Toasted[str] = "b"
    hidden: bool = False


@public("items", "2.1")
class PublicItem:
    id: Key[int]
    name: str
    size: Integer | None
    body: Toasted[str]


@transform(name="items", publishes=[PublicItem])
def items(change: Change[Item], out: Out) -> None:
    out.map(change, PublicItem, shown)


def shown(item: Item) -> PublicItem | None:
    return None if item.hidden else PublicItem(item.id, item.name, item.size, item.body)


class Colour(enum.Enum):
    RED = "red"
    DARK = "very dark"


@source("things", ops=[Op.INSERT, Op.DELETE])
class Thing:
    place: Key[Integer]
    number: Key[Integer]
    colour: Colour


@source(message="notes")
class Note:
    transactional: bool
    content: bytes


@public("things")
class PublicThing:
    label: str
    place: Key[Integer]
    number: Key[Integer]
    colour: Colour


@public("journal", "1.0")
class Line:
    text: Annotated[str, Column(kind="varchar")]
    at: int


@settings
class Options:
    prefix: Annotated[str, Doc("Put before every label.")]
    most: Annotated[
        int,
        Doc(
            """How many changes a transaction
            may have."""
        ),
    ] = 100
    suffix: str | None = None


@transform(name="house", version="3", publishes=[PublicThing, Line], whole_transactions=True)
class House:
    def __init__(self, options: Options, context: Context) -> None:
        log.debug("starting", instances=context.instances)
        self.options = options

    def things(self, change: Change[Thing], out: Out) -> None:
        if isinstance(change, Insert) and change.new.number < 0:
            out.insert(Line("never seen", out.span.commit_time))
            raise Reject("negative", f"thing {change.new.place} has a negative number")
        if isinstance(change, Insert) and change.new.number == 13:
            raise Retry("not today", 50)
        out.map(change, PublicThing, self.labelled)

    def labelled(self, thing: Thing) -> PublicThing:
        label = f"{self.options.prefix}{thing.number}{self.options.suffix or ''}"
        return PublicThing(label, thing.place, thing.number, thing.colour)

    def notes(self, change: Change[Note], out: Out) -> None:
        if isinstance(change, Insert):
            text = change.new.content.decode()
            out.insert(Line(f"{text} {change.new.transactional}", out.span.commit_time))

    def end_of_transaction(self, out: Out) -> None:
        if out.span.count > self.options.most:
            log.warn("a large transaction", changes=out.span.count)
        out.insert(Line(f"end of {out.span.xid}", 0))
