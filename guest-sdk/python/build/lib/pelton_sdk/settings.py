"""Settings: what the manifest tells a transform.

::

    @settings
    class ShopSettings:
        limit: Annotated[int, Doc("How many orders of one customer are too many.")] = 1000
        label: str | None = None

A plain field is required, a default makes it optional, and so does ``| None``. A field is a ``str``, ``int``, ``float``,
``bool``, or a type whose ``T(text)`` raises ``ValueError`` for what it can't read.
"""

import dataclasses
import re
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, dataclass_transform

from .error import Fatal
from .model import Attrs

T = TypeVar("T")


@dataclass(frozen=True)
class Doc:
    """What a setting is for: ``Annotated[int, Doc("…")]``. `pelton check` shows it."""

    text: str


@dataclass(frozen=True)
class SettingName:
    """The name in the manifest, where it is not the field's: ``Annotated[str, SettingName("api-label")]``."""

    name: str


@dataclass(slots=True)
class Setting:
    """One declared setting."""

    name: str
    required: bool
    default: str | None
    doc: str
    field: str
    read: Callable[[str], Any]


@dataclass_transform()
def settings(cls: type[T]) -> type[T]:
    """Makes a class what the manifest's ``settings`` fill."""
    localns = sys._getframe(1).f_locals
    made = dataclass(cls)
    hints = typing.get_type_hints(made, vars(sys.modules[made.__module__]), localns, include_extras=True)
    made.__pelton_settings__ = [_setting(made, field, hints[field.name]) for field in dataclasses.fields(made)]  # type: ignore
    return made


def settings_of(cls: type) -> list[Setting]:
    """Returns what ``@settings`` knows of a class."""
    return list(getattr(cls, "__pelton_settings__", ()))


def read_settings(cls: type[T], given: Attrs) -> T:
    """Makes the class of what the manifest gives.

    Raises :class:`Fatal` naming the setting that is missing or that can't be read.
    """
    texts = dict(given)
    values = {}
    for setting in settings_of(cls):
        text = texts.get(setting.name, setting.default)
        if text is not None:
            try:
                values[setting.field] = setting.read(text)
            except ValueError as error:
                # Not the text itself: a setting may be a secret.
                if isinstance(error, _Unreadable):
                    raise Fatal(f"setting `{setting.name}` must be {error}") from None
                raise Fatal(f"setting `{setting.name}` can't be read: {setting.read.__name__} refuses it") from None
        elif setting.required:
            raise Fatal(f"setting `{setting.name}` is missing: {setting.doc}")
        else:
            values[setting.field] = None
    return cls(**values)


def _setting(cls: type, field: "dataclasses.Field[Any]", hint: Any) -> Setting:
    name, doc, optional = field.name, "", False
    found = []
    waiting = [hint]
    while waiting:
        part = waiting.pop()
        origin = typing.get_origin(part)
        if origin is Annotated:
            waiting.extend(typing.get_args(part))
        elif origin in (Union, types.UnionType):
            waiting.extend(typing.get_args(part))
        elif isinstance(part, Doc):
            doc = " ".join(part.text.split())
        elif isinstance(part, SettingName):
            name = part.name
        elif part is type(None):
            optional = True
        elif isinstance(part, type) and part not in found:
            found.append(part)
    if len(found) != 1:
        raise TypeError(f"setting `{field.name}` of {cls.__name__} must be of one type, besides None")
    has_default = field.default is not dataclasses.MISSING and field.default is not None
    if optional and has_default:
        raise TypeError(f"setting `{field.name}` of {cls.__name__} has a default, so it is never absent: leave `| None` away")
    default = _shown(field.default) if has_default else None
    return Setting(name, not optional and not has_default, default, doc, field.name, _READS.get(found[0], found[0]))


def _shown(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


class _Unreadable(ValueError):
    """Says what the setting must be, in the words that all SDKs have for it."""


def _int(text: str) -> int:
    # Longer ones have more than 64 bits; zeros in front don't count.
    if re.fullmatch(r"[+-]?0*[0-9]{1,19}", text, re.ASCII) is None or not -(1 << 63) <= int(text) < 1 << 63:
        raise _Unreadable("an integer")
    return int(text)


def _float(text: str) -> float:
    try:
        # Python takes 1_000 and spaces around; the manifest's are JSON's.
        if "_" not in text and text == text.strip():
            return float(text)
    except ValueError:
        pass
    raise _Unreadable("a number")


def _bool(text: str) -> bool:
    if text not in ("true", "false"):
        raise _Unreadable("true or false")
    return text == "true"


_READS: dict[type, Callable[[str], Any]] = {int: _int, float: _float, bool: _bool}
