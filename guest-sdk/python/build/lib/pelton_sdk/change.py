"""A change of a source table, as its function gets it.

A function takes ``change: Change[Order]`` and tells the cases apart::

    match change:
        case Insert(new): ...
        case Update(new, old): ...
        case Delete(old): ...
        case Truncate(): ...
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar, Union

Row = TypeVar("Row")


@dataclass(slots=True)
class Old(Generic[Row]):
    """What Postgres sent of the row that was updated or deleted."""

    #: The field marked ``Key[…]``, a tuple of them if there are several.
    key: Any
    #: The whole row, if the table has ``REPLICA IDENTITY FULL``.
    row: Row | None = None


@dataclass(slots=True)
class Insert(Generic[Row]):
    """A row that is new."""

    new: Row

    @property
    def new_row(self) -> Row:
        """The new row of an insert or an update, else ``None``."""
        return self.new

    @property
    def old_key(self) -> Any:
        """The key that the row had before the change: of an update that did not send its old row, the new one's."""
        return None


@dataclass(slots=True)
class Update(Generic[Row]):
    """A row that was changed."""

    new: Row
    #: What was sent of the old row: always under ``REPLICA IDENTITY FULL``, otherwise only when the key changed.
    old: Old[Row] | None = None

    @property
    def new_row(self) -> Row:
        """The new row."""
        return self.new

    @property
    def old_key(self) -> Any:
        """The key that the row had before the change."""
        return self.new.__class__.__pelton_source__.key(self.new) if self.old is None else self.old.key  # type: ignore[attr-defined]


@dataclass(slots=True)
class Delete(Generic[Row]):
    """A row that is gone."""

    old: Old[Row]

    @property
    def new_row(self) -> None:
        """Nothing."""
        return None

    @property
    def old_key(self) -> Any:
        """The key that the row had."""
        return self.old.key


@dataclass(slots=True)
class Truncate(Generic[Row]):
    """The table was emptied."""

    @property
    def new_row(self) -> None:
        """Nothing."""
        return None

    @property
    def old_key(self) -> None:
        """Nothing."""
        return None


#: One change of a source table.
Change: TypeAlias = Union[Insert[Row], Update[Row], Delete[Row], Truncate[Row]]
