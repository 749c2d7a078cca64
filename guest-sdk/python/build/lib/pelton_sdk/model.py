"""What the host says of tables and transactions."""

from dataclasses import dataclass, field
from enum import Enum, IntEnum

#: Names and values: the contract's only extension point.
Attrs = list[tuple[str, str]]


class Op(IntEnum):
    """What a change does, or what happens to a public row."""

    INSERT = 0
    UPDATE = 1
    DELETE = 2
    TRUNCATE = 3

    def __str__(self) -> str:
        return self.name.lower()


class Identity(Enum):
    """What Postgres writes of the old row on UPDATE and DELETE."""

    #: The primary key.
    DEFAULT = 0
    #: A chosen unique index.
    INDEX = 1
    #: The whole row.
    FULL = 2
    NOTHING = 3


class Phase(Enum):
    """Where the changes of a transaction come from."""

    #: Rows that existed before the flow.
    BACKFILL = 0
    LIVE = 1
    REPLAY = 2
    TEST = 3


@dataclass(slots=True)
class Column:
    """One column of a :class:`Relation`."""

    name: str
    #: By Postgres's name: ``bigint``, ``numeric``, ``integer[]``, …; ``enum`` for every enum.
    kind: str
    nullable: bool = True
    #: Part of the replica identity.
    key: bool = False
    attrs: Attrs = field(default_factory=list)


@dataclass(slots=True)
class Relation:
    """A source table at one version of its columns."""

    id: int
    version: int
    schema: str
    name: str
    identity: Identity
    columns: list[Column]
    attrs: Attrs = field(default_factory=list)


@dataclass(slots=True)
class Span:
    """A run of a batch's changes that belong to one source transaction."""

    #: 0 for backfill.
    xid: int
    epoch: int
    commit_lsn: int
    #: Microseconds since 1970-01-01 UTC: the only clock that a transform gets.
    commit_time: int
    phase: Phase
    first: int
    count: int
    #: False while a large transaction goes on in the next batch.
    complete: bool
    attrs: Attrs = field(default_factory=list)


@dataclass(slots=True)
class Context:
    """What the host says when an instance starts."""

    #: The manifest's settings, by name.
    settings: Attrs = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    instance: int = 0
    instances: int = 1
    attrs: Attrs = field(default_factory=list)


@dataclass(slots=True)
class Rejection:
    """One change that can never be transformed."""

    index: int
    code: str
    message: str


@dataclass(slots=True)
class Output:
    """What comes of a batch."""

    count: int
    payload: bytes
    rejected: list[Rejection]
