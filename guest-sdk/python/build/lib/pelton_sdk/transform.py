"""A transform as its author declares it, and what it says of itself."""

import inspect
import sys
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, Union

from .change import Insert
from .error import Fatal
from .model import Context
from .out import Out
from .public import PublicSchema, schema_of
from .settings import Setting, read_settings, settings_of
from .source import Table, table_of
from .state import Ahead

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(slots=True)
class Handler:
    """A table's function."""

    table: Table
    #: The method's name; of a function its own.
    name: str
    #: The method that names the state which a change will need.
    ahead: str | None = None


class Transform:
    """What an author wrote. Made by :func:`transform`."""

    def __init__(
        self,
        *,
        name: str,
        version: str | None,
        publishes: Sequence[type],
        stateful: bool,
        state_version: int,
        parallel: bool,
        whole_transactions: bool,
        settings: type | None,
        handlers: list[Handler],
        make: Callable[[Any, Context], Any],
        ends: bool,
    ) -> None:
        self.name = name
        self.version = version
        self.publishes = [schema_of(row) for row in publishes]
        self.stateful = stateful
        self.state_version = state_version
        self.parallel = parallel
        self.whole_transactions = whole_transactions
        self.handlers = handlers
        self.ends = ends
        self._settings = settings
        self._make = make

    @property
    def settings(self) -> list[Setting]:
        """The declared settings."""
        return settings_of(self._settings) if self._settings else []

    @property
    def schemas(self) -> dict[type, tuple[int, PublicSchema]]:
        """The public schemas by their row types, with their indexes."""
        return {schema.row: (index, schema) for index, schema in enumerate(self.publishes)}

    def check(self) -> None:
        """Checks what only the whole transform can be wrong in; called before it is described.

        Raises :class:`Fatal` for a table that two functions take, or a public schema that is declared twice.
        """
        seen: set[Any] = set()
        for handler in self.handlers:
            if str(handler.table) in seen:
                raise Fatal(f"two functions take the changes of table {handler.table}; make it one")
            seen.add(str(handler.table))
        for schema in self.publishes:
            if (schema.name, schema.major) in seen:
                raise Fatal(f"public schema `{schema.name}` {schema.major} is declared twice")
            seen.add((schema.name, schema.major))

    def start(self, context: Context) -> Any:
        """Makes what runs: the author's object, whose methods take the changes."""
        return self._make(read_settings(self._settings, context.settings) if self._settings else None, context)


#: The transforms that were declared, in their order. A component has one.
declared: list[Transform] = []


def transform_of(what: object) -> Transform:
    """Returns the transform that a function or class is."""
    found = getattr(what, "__pelton_transform__", None)
    if not isinstance(found, Transform):
        raise TypeError(f"{getattr(what, '__name__', what)} is no transform: mark it with @transform(…)")
    return found


def transform(
    *,
    publishes: Sequence[type],
    name: str | None = None,
    version: str | None = None,
    stateful: bool = False,
    state_version: int | None = None,
    parallel: bool = False,
    whole_transactions: bool = False,
) -> Callable[[T], T]:
    """Makes a function, or a class with one method a table, a transform::

        @transform(name="orders", publishes=[PublicOrder])
        def orders(change: Change[Order], out: Out) -> None: ...

    A function may take ``settings: ShopSettings`` as a third argument; ``__init__`` of a class ``settings:
    ShopSettings`` and ``context: Context``. A class may have methods that take ``change: Change[Order], ahead: Ahead``
    (see :class:`Ahead`), and with ``whole_transactions`` an ``end_of_transaction(self, out: Out)``, called behind the
    last change of a source transaction that the transform takes.

    ``version`` is the project's unless it is given. ``stateful`` allows the use of state; to give a ``state_version``
    says so too. With ``parallel`` the host may run several instances, each with its share of the keys.
    """
    if not publishes:
        raise TypeError('say what it publishes: @transform(name="orders", publishes=[PublicOrder])')
    if parallel and whole_transactions:
        raise TypeError(
            "`parallel` and `whole_transactions` exclude each other: parallel instances see parts of a transaction"
        )
    localns = dict(sys._getframe(1).f_locals)

    def decorate(written: T) -> T:
        read: Callable[[Any, dict[str, Any]], _Read] = _class if inspect.isclass(written) else _function
        settings, handlers, make, ends = read(written, localns)
        if ends and not whole_transactions:
            raise TypeError(
                "`end_of_transaction` needs `whole_transactions=True`: a large transaction comes in pieces otherwise, and "
                "the last of them may have no change that the transform takes"
            )
        made = Transform(
            name=name or written.__name__,
            version=version,
            publishes=publishes,
            stateful=stateful or state_version is not None,
            state_version=1 if state_version is None else state_version,
            parallel=parallel,
            whole_transactions=whole_transactions,
            settings=settings,
            handlers=handlers,
            make=make,
            ends=ends,
        )
        written.__pelton_transform__ = made  # type: ignore[attr-defined]
        declared.append(made)
        return written

    return decorate


_Read = tuple[type | None, list[Handler], Callable[[Any, Context], Any], bool]


def _hints(written: Callable[..., Any], localns: dict[str, Any]) -> dict[str, Any]:
    """Returns the types of a function's arguments, in their order; of an argument without one ``None``."""
    hints = typing.get_type_hints(written, getattr(written, "__globals__", {}), localns)
    names = list(inspect.signature(written).parameters)
    return {name: hints.get(name) for name in names}


def _changed(hint: Any) -> Table | None:
    """Returns the table of the ``Row`` in ``Change[Row]``."""
    if typing.get_origin(hint) in (Union, types.UnionType):
        cases = [case for case in typing.get_args(hint) if typing.get_origin(case) is Insert]
        if len(cases) == 1:
            return table_of(typing.get_args(cases[0])[0])
    return None


def _function(written: Callable[..., Any], localns: dict[str, Any]) -> _Read:
    hints = list(_hints(written, localns).values())
    table = _changed(hints[0]) if hints else None
    if table is None or not 2 <= len(hints) <= 3 or hints[1] is not Out:
        raise TypeError(
            f"write def {written.__name__}(change: Change[Row], out: Out), and as a third argument settings: Settings if "
            "there are any"
        )
    settings = hints[2] if len(hints) == 3 else None
    if len(hints) == 3 and not hasattr(settings, "__pelton_settings__"):
        raise TypeError(f"the third argument of {written.__name__} is for settings: a class with @settings")

    class Running:
        """The function, with its settings."""

        def __init__(self, given: Any) -> None:
            self.run = written if settings is None else lambda change, out: written(change, out, given)

    return settings, [Handler(table, "run")], lambda given, _: Running(given), False


def _class(written: type, localns: dict[str, Any]) -> _Read:
    handlers: list[Handler] = []
    aheads: list[tuple[Table, str]] = []
    for name, method in vars(written).items():
        if not inspect.isfunction(method) or name.startswith("__") or name == "end_of_transaction":
            continue
        hints = list(_hints(method, localns).values())[1:]
        table = _changed(hints[0]) if hints else None
        if table is None:
            continue
        if hints[1:] == [Out]:
            handlers.append(Handler(table, name))
        elif hints[1:] == [Ahead]:
            aheads.append((table, name))
        else:
            raise TypeError(f"write def {name}(self, change: Change[Row], out: Out), or with ahead: Ahead")
    for table, name in aheads:
        handler = next((handler for handler in handlers if handler.table is table), None)
        if handler is None:
            raise TypeError(f"{name} reads ahead for changes that no method takes: write one with `out: Out`")
        if handler.ahead is not None:
            raise TypeError(f"{name} is a second method that reads ahead for these changes; write one")
        handler.ahead = name
    if not handlers:
        raise TypeError(
            f"no method of {written.__name__} takes a change: write def orders(self, change: Change[Order], out: Out) -> None"
        )
    settings, make = _init(written, localns)
    return settings, handlers, make, hasattr(written, "end_of_transaction")


def _init(written: type, localns: dict[str, Any]) -> tuple[type | None, Callable[[Any, Context], Any]]:
    own = vars(written).get("__init__")
    if own is None:
        return None, lambda _, __: written()
    settings, takes = None, []
    for name, hint in list(_hints(own, localns).items())[1:]:
        if hint is Context:
            takes.append(True)
        elif hasattr(hint, "__pelton_settings__"):
            settings = hint
            takes.append(False)
        else:
            raise TypeError(
                f"`{name}` of {written.__name__}.__init__ is neither settings (a class with @settings) nor a Context"
            )
    return settings, lambda given, context: written(*(context if is_context else given for is_context in takes))
