"""`@pytree`: a frozen dataclass that JAX can flatten.

One rule decides what a field is: **a plain Python value (number, string, bool, None, enum, or a tuple of them) is
configuration and is compiled in; anything else (array, tracer, nested pytree) is data and is traced.** So
`ConstantStep(dw_min=0.001)` costs nothing at run time and lets XLA drop every feature that is switched off, while
`ConstantStep(dw_min=jnp.linspace(1e-4, 1e-2, 100))` under `jax.vmap` sweeps a hundred devices in one compilation, and
`jax.grad` differentiates with respect to it.

The rule is applied **once, by the constructor** (and so by `dataclasses.replace`, which calls it). Flattening never
looks at a value again: a node that `jax.tree.map` made keeps the structure of the one it was made from, whatever its
leaves have become (bools of a mask, axes of a `vmap`, shardings, `None`).

Unflattening never calls `__init__`, so `__post_init__` may validate: it sees what a person wrote, never a tracer that
JAX is carrying through a transformation.

Nodes can be inputs and outputs of a function that `jax.export` serialises: their configuration is written as JSON.
"""

import dataclasses
import functools
import importlib
import json
import sys
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar, dataclass_transform, overload

import jax
from jax import export

from analogjax._field_docs import document_fields

_Class = TypeVar("_Class", bound=type)
_PLAIN = (bool, int, float, str, bytes, type(None), Enum)
_DATA = "_data_fields"  # names of the fields that are traced, fixed by the constructor

_classes: list[type] = []
_watchers: list[Callable[[type], None]] = []


def is_static(value: Any) -> bool:
    """Whether a field value is configuration (compiled in) rather than data (traced)."""
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return all(is_static(item) for item in value)
    # numpy scalars are subclasses of float for float64 only; treat every numpy scalar as data
    return isinstance(value, _PLAIN) and not hasattr(value, "dtype")


def is_off(value: Any) -> bool:
    """Whether a field is known, while tracing, to be switched off: the Python number 0 (or None)."""
    return value is None or (is_static(value) and value == 0)


@overload
def pytree(cls: _Class) -> _Class: ...
@overload
def pytree(*, kw_only: bool = True, data_only: bool = False) -> Callable[[_Class], _Class]: ...


@dataclass_transform(frozen_default=True, kw_only_default=True)
def pytree(cls: Any = None, *, kw_only: bool = True, data_only: bool = False) -> Any:
    """Class decorator: make a class a frozen dataclass that JAX can flatten.

    Plain Python values in its fields are compiled in; arrays and nested pytrees are traced. Its docstring lists the
    fields, each explained by the string literal that follows it.

    Args:
        cls: The class, when the decorator is used without arguments.
        kw_only: Whether the constructor takes keyword arguments only.
        data_only: Whether every field is traced, whatever it holds. For containers of arrays of which users write
            prefixes by hand (axes, labels, shardings of a part).

    Returns:
        The same class, registered with `jax.tree_util` and `jax.export`.

    Example:
        >>> @pytree
        ... class Line:
        ...     slope: float = 1.0
        ...     \"\"\"Rise per unit length [1].\"\"\"
        >>> Line(slope=2.0)
        Line(slope=2.0)
    """
    if cls is None:
        return functools.partial(pytree, kw_only=kw_only, data_only=data_only)
    dataclasses.dataclass(frozen=True, kw_only=kw_only, repr=False)(cls)  # works in place
    setattr(cls, "__repr__", _short_repr)  # noqa: B010 - a class this generic can't be assigned to by name
    setattr(cls, "__init__", _deciding(cls.__init__, cls, data_only))  # noqa: B010
    _register(cls)
    document_fields(cls)
    _classes.append(cls)
    for watcher in _watchers:
        watcher(cls)
    return cls


def is_part(value: Any, kind: type) -> bool:
    """Whether `value` is an object of a class or protocol that JAX can flatten, as parts of a configuration must be."""
    return isinstance(value, kind) and not isinstance(value, type) and not jax.tree_util.all_leaves([value])


def part_in_words(kind: type) -> str:
    """What `is_part` asks for."""
    return f"an object (no class) that is a {kind.__name__} and made by @analogjax.pytree"


def data_fields(node: Any) -> tuple[str, ...]:
    """Names of the fields of a node that are traced, in the order of their definition."""
    return getattr(node, _DATA)


def for_each_class(act: Callable[[type], None]) -> None:
    """Call `act` for every class made by `pytree`, including those made later."""
    _watchers.append(act)
    for cls in _classes:
        act(cls)


def _deciding(init: Callable[..., None], cls: type, data_only: bool) -> Callable[..., None]:
    """A constructor that decides at its end, after validation, which fields are data."""
    names = tuple(field.name for field in dataclasses.fields(cls))

    @functools.wraps(init)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        data = names if data_only else tuple(name for name in names if not is_static(getattr(self, name)))
        object.__setattr__(self, _DATA, data)

    return __init__


def _register(cls: type) -> None:
    names = tuple(field.name for field in dataclasses.fields(cls))

    def structure(node: Any) -> tuple[tuple[str, ...], tuple]:
        data = data_fields(node)
        return data, tuple((name, getattr(node, name)) for name in names if name not in data)

    def flatten_with_keys(node: Any) -> tuple[list, tuple]:
        aux = structure(node)
        return [(jax.tree_util.GetAttrKey(name), getattr(node, name)) for name in aux[0]], aux

    def flatten(node: Any) -> tuple[list, tuple]:
        aux = structure(node)
        return [getattr(node, name) for name in aux[0]], aux

    def unflatten(aux: tuple, children: Any) -> Any:
        node: Any = object.__new__(cls)
        for name, value in (*aux[1], *zip(aux[0], children, strict=True)):
            object.__setattr__(node, name, value)
        object.__setattr__(node, _DATA, aux[0])
        return node

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    _register_for_export(cls)


def _register_for_export(cls: type) -> None:
    name = f"{cls.__module__}.{cls.__qualname__}"
    # a cell of a notebook that is run again defines its class again, and a name can be registered only once
    before = sum(f"{other.__module__}.{other.__qualname__}" == name for other in _classes)
    export.register_pytree_node_serialization(
        cls,
        serialized_name=f"{name}#{before + 1}" if before else name,
        serialize_auxdata=_to_bytes,
        deserialize_auxdata=_from_bytes,
    )


def _to_bytes(aux: tuple) -> bytes:
    return json.dumps([list(aux[0]), [[name, _written(value)] for name, value in aux[1]]]).encode()


def _from_bytes(data: bytes) -> tuple:
    names, static = json.loads(data)
    return tuple(names), tuple((name, _read(value)) for name, value in static)


def _written(value: Any) -> Any:
    """A plain value as JSON; values that JSON does not know become an object with one entry that names their kind."""
    if isinstance(value, Enum):
        return {"enum": [type(value).__module__, type(value).__qualname__, value.name]}
    if isinstance(value, tuple):
        return {"tuple": [_written(item) for item in value]}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    return value


def _read(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tuple":
        return tuple(_read(item) for item in content)
    if kind == "bytes":
        return bytes.fromhex(content)
    return _member(*content)


def _member(module: str, qualname: str, name: str) -> Enum:
    """A member of an enum of ours, or one already imported: a file must not make Python import arbitrary modules."""
    ours = module.partition(".")[0] == __package__
    found: Any = importlib.import_module(module) if ours else sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, Enum)):
        raise ValueError(
            f"the enum {module}.{qualname} of a serialised pytree is not known here; import {module} first."
        )
    return found[name]


def _short_repr(node: Any) -> str:
    """`Name(field=value)`, with the fields that differ from their defaults; arrays by type and shape."""
    shown = []
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if _is_default(value, field.default):
            continue
        shown.append(f"{field.name}={_leaf_repr(value)}")
    return f"{type(node).__name__}({', '.join(shown)})"


def _is_default(value: Any, default: Any) -> bool:
    if jax.tree.leaves(value) and not is_static(value):
        return False  # holds arrays, which a default never does
    return type(value) is type(default) and value == default


def _leaf_repr(value: Any) -> str:
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_leaf_repr(item)}" for name, item in value.items()) + "}"
    if isinstance(value, Enum):
        return repr(value.value)
    return repr(value)
