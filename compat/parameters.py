"""Mutable views of the native parameter classes: aihwkit's names and order, one place for every default.

A view class lists its fields; a field set to `NATIVE` takes its default from the native class, so that no default is
written twice. `to_native` builds the frozen native object and is where everything is checked: unknown attributes,
types (an int may stand for a float, a bool may not), and fields that analogjax cannot honour yet. Nothing is ignored
silently.
"""

import dataclasses
import difflib
import inspect
import types
import typing
import warnings
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from textwrap import indent
from typing import Any, TypeVar, dataclass_transform

from analogjax.errors import ConfigError as NativeConfigError
from analogjax.physics import ConstantStep
from analogjax.physics.compounds.parts.fields import flat
from compat import bindings
from compat.aihwkit.exceptions import ConfigError

_Class = TypeVar("_Class", bound=type)
NATIVE: Any = object()
# what aihwkit's parameters have for its compiled core, and for checkpoints that hold configurations
_BINDINGS = ("as_bindings", "bindings_class", "bindings_module", "bindings_ignore", "bindings_typed")


class View:
    """What views share: how they print, and how they become native."""

    _native: typing.ClassVar[Callable[..., Any] | None] = None
    _harmless: typing.ClassVar[frozenset[str]] = frozenset()
    _more: typing.ClassVar[tuple[str, ...]] = ()  # attributes that are no fields
    _idle: typing.ClassVar[tuple[str, ...]] = ()  # what aihwkit lets be set, without effect; it is warned of
    _off_below: typing.ClassVar[frozenset[str]] = frozenset()  # numbers that switch something off below 0, as at 0
    # aihwkit checks nothing of these: attributes that are no fields are warned of, and bools may stand for numbers
    _tolerant: typing.ClassVar[bool] = False

    if not typing.TYPE_CHECKING:  # or every misspelt name would pass

        def __getattr__(self, name: str) -> Any:
            kind = type(self).__name__
            if name in ("bindings_class", "bindings_module", "bindings_ignore") and bindings.name_of(type(self)):
                return _told(type(self))[name]
            raise AttributeError(f"{kind!r} object has no attribute {name!r}", name=name, obj=self)

    def __str__(self) -> str:
        if not dataclasses.is_dataclass(self):  # a subclass by a user, of a class without fields
            return _folded(f"{type(self).__name__}(", [f"{k}={_text(v)}" for k, v in vars(self).items()], ")")
        shown = [f"{field.name}={_text(getattr(self, field.name))}" for field in _shown(self)]
        return _folded(f"{type(self).__name__}(", shown, ")")

    def as_bindings(self, data_type: Any = None) -> Any:
        """What it holds as `compat.bindings`; numbers are float32. Raises `ConfigError` for a wrong name or type."""
        check_all_fields(self)
        return bindings.of(self)

    def to_native(self) -> Any:
        """The native parameters. Raises `ConfigError` for a wrong name or type, or something not supported."""
        check_fields(self)
        native = type(self)._native
        if native is None:
            raise ConfigError(f"{type(self).__name__} is not supported by this version of analogjax.")
        return build(self, native, {})


@dataclass_transform()
def parameters(
    native: Callable[..., Any] | None = None, harmless: Iterable[str] = (), defaults: Mapping[str, Any] | None = None
) -> Callable[[_Class], _Class]:
    """Make a class a mutable dataclass that views what `native` makes, a class or a function that composes a device.

    `harmless` fields have no native one of their name: they change no result, or the view converts them itself.
    `defaults` are the native ones by the names of the view, where these differ.
    """

    def decorate(cls: _Class) -> _Class:
        known: Mapping[str, Any] = defaults or {}
        if defaults is None and native is not None:
            known = _defaults(native)
        for name, kind in vars(cls).get("__annotations__", {}).items():
            if vars(cls).get(name) is NATIVE:
                setattr(cls, name, as_written(known[name], kind))
        cls._native, cls._harmless = native, frozenset(harmless)  # type: ignore[attr-defined]
        dataclasses.dataclass(cls)  # in place
        return cls

    return decorate


def _defaults(native: Any) -> dict[str, Any]:
    """The fields of a native class, or of what a function composes of devices and parts, and their defaults."""
    if isinstance(native, type):
        return {field.name: field.default for field in dataclasses.fields(native)}
    return flat(native((ConstantStep(), ConstantStep())))


def as_written(default: Any, kind: Any) -> Any:
    """A native default in the type that aihwkit's users see."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(getattr(default, "value", default))
    return default


def check_fields(view: Any) -> None:
    """Raise `ConfigError` for an attribute that is no field, or a value of the wrong type.

    Views that are `_tolerant` warn of such attributes instead, and have numbers that are bools.
    """
    fields = {field.name: field for field in dataclasses.fields(view)}
    for name in _BINDINGS:
        found = inspect.getattr_static(view, name, None)
        if found is not None and not getattr(found, "__module__", "").startswith("compat."):
            raise ConfigError(
                f"{type(view).__name__} has its own {name}, which is never asked for: there is no compiled core to "
                "bind to. Set the fields instead."
            )
    if idle := [name for name in view._idle if name in vars(view)]:
        said = f"{type(view).__name__} has no {' and no '.join(idle)} of its own, so that setting it changes nothing"
        warnings.warn(f"{said}: set it on the devices inside.", stacklevel=3)
    others = (*fields, *view._more, *view._idle)
    for name in [name for name in vars(view) if name not in others]:
        close = difflib.get_close_matches(name, fields, n=1)
        # a subclass by a user may remember more than fields, but nothing that looks like one
        if close or type(view).__module__.startswith("compat."):
            hint = f" Did you mean {close[0]!r}?" if close else ""
            if view._tolerant:
                said = f"{type(view).__name__} has no field {name!r}, so that setting it changes nothing.{hint}"
                warnings.warn(said, stacklevel=3)
                continue
            raise ConfigError(f"{type(view).__name__} has no field {name!r}. Wrong attribute name?{hint}")
    for name, field in fields.items():
        value = getattr(view, name)
        expected = _expected(field.type)
        if view._tolerant and expected is bool and type(value) in (int, float) and value in (0, 1):
            value = bool(value)
            setattr(view, name, value)
        if not _is(value, expected) and not (view._tolerant and _is_switch(value, expected)):
            raise ConfigError(f"Expected type {expected} for field {name} of {type(view).__name__}, got {value!r}.")
        for n, item in enumerate(value if expected is list else ()):
            if not _is(item, kind := _of_items(field.type)):
                raise ConfigError(f"Expected type {kind} for {name}[{n}] of {type(view).__name__}, got {item!r}.")


def check_all_fields(view: Any) -> None:
    """`check_fields` of a view, and of all views in it."""
    check_fields(view)
    for field in dataclasses.fields(view):
        value = getattr(view, field.name)
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, View):
                check_all_fields(part)


def _told(kind: type) -> dict[str, Any]:
    """What aihwkit's parameter classes tell of their bindings."""
    name = bindings.name_of(kind)
    idle: Any = kind
    return {
        "bindings_class": name,
        "bindings_module": "tiles" if name in bindings.IN_TILES else "devices",
        "bindings_ignore": list(idle._idle),
    }


def _is(value: Any, expected: Any) -> bool:
    """Whether a value is of an expected type; an int may stand for a float, a bool for neither."""
    if expected is None:
        return True
    if expected in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, (int, float) if expected is float else expected)


def _is_switch(value: Any, expected: Any) -> bool:
    """Whether a bool stands for the number 0 or 1."""
    return isinstance(value, bool) and expected in (int, float)


def refuse_own(view: Any, *names: str) -> None:
    """Raise `ConfigError` where a user has replaced one of these methods, which are not asked here."""
    for name in names:
        if not getattr(inspect.getattr_static(view, name), "__module__", "").startswith("compat."):
            raise ConfigError(
                f"{type(view).__name__} has its own {name}(), which is never called: set the fields it tells about."
            )


def _expected(kind: Any) -> Any:
    """What a value of the annotated type must be an instance of; `None`: anything."""
    origin = typing.get_origin(kind)
    if kind is Any or origin in (typing.Union, types.UnionType):
        return None if kind is Any else kind
    return origin or kind


def _of_items(kind: Any) -> Any:
    """What the items of a list of the annotated type must be instances of; `None`: anything."""
    items = typing.get_args(kind)
    return _expected(items[0]) if items else None


def build(view: Any, native: Callable[..., Any], given: dict[str, Any]) -> Any:
    """The native object with the fields of `view`; `given` are native fields that the caller has converted."""
    shared = _defaults(native)
    values = dict(given)
    for field in dataclasses.fields(view):
        value = getattr(view, field.name)
        if field.name in given or field.name in type(view)._harmless:
            continue
        if field.name in shared:
            values[field.name] = _converted(view, field.name, value, shared)
        elif value != default_of(field):
            raise unsupported(view, field.name)
    try:
        return native(**values)
    except NativeConfigError as error:
        raise ConfigError(f"{type(view).__name__}: {error}") from error


def unsupported(view: Any, name: str, remedy: str = "leave it at its default") -> ConfigError:
    """The error for a field whose value analogjax cannot honour."""
    value = getattr(view, name)
    return ConfigError(
        f"{type(view).__name__}({name}={value}) is not supported by this version of analogjax; {remedy}."
    )


def _converted(view: Any, name: str, value: Any, defaults: dict[str, Any]) -> Any:
    if isinstance(value, Enum):
        known: Any = type(defaults[name])
        try:
            return known(value.value)
        except ValueError:
            raise unsupported(view, name, "this version knows " + ", ".join(item.name for item in known)) from None
    if isinstance(value, View):
        return value.to_native()
    if _is_switch(value, type(defaults[name])):
        return type(defaults[name])(value)
    if name in type(view)._off_below:
        return max(value, 0)
    return tuple(value) if isinstance(value, list) else value


def default_of(field: Any) -> Any:
    """The default of a dataclass field, made where it is a factory."""
    factory: Any = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()


def _shown(view: Any) -> Iterable[dataclasses.Field]:
    """The fields that have an effect; in a perfect periphery only `is_perfect` has."""
    fields = dataclasses.fields(view)
    if getattr(view, "is_perfect", False):
        return [field for field in fields if field.name == "is_perfect"]
    return [field for field in fields if field.metadata.get("always_show") or not _hidden(view, field)]


def _hidden(view: Any, field: dataclasses.Field) -> bool:
    value = getattr(view, field.name)
    return value == field.default or ("hide_if" in field.metadata and field.metadata["hide_if"] == value)


def _text(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(indent(str(item), " " * 4) for item in value) + "\n]"
    return str(value)


def _folded(head: str, parts: list[str], tail: str) -> str:
    """On one line where it is short, else one part a line."""
    if len(parts) <= 3 and not any("\n" in part for part in parts):
        return head + ", ".join(parts) + tail
    return head + "\n" + indent(",\n".join(parts), " " * 4) + "\n" + tail
