"""`@pytree`: a frozen, keyword-only dataclass that JAX can flatten.

One rule decides what a field is: **a plain Python value (number, string, bool, None, enum, or a tuple of them) is
configuration and is compiled in; anything else (array, tracer, nested pytree) is data and is traced.** So
`ConstantStep(dw_min=0.001)` costs nothing at run time and lets XLA drop every feature that is switched off, while
`ConstantStep(dw_min=jnp.linspace(1e-4, 1e-2, 100))` under `jax.vmap` sweeps a hundred devices in one compilation, and
`jax.grad` differentiates with respect to it.

Unflattening never calls `__init__`, so `__post_init__` may validate: it sees what a person wrote, never a tracer that
JAX is carrying through a transformation.
"""

import dataclasses
from enum import Enum
from typing import Any, TypeVar, dataclass_transform

import jax

_Class = TypeVar("_Class", bound=type)
_PLAIN = (bool, int, float, str, bytes, type(None), Enum)


def is_static(value: Any) -> bool:
    """Whether a field value is configuration (compiled in) rather than data (traced)."""
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return all(is_static(item) for item in value)
    # numpy scalars are subclasses of float for float64 only; treat every numpy scalar as data
    return isinstance(value, _PLAIN) and not hasattr(value, "dtype")


def is_off(value: Any) -> bool:
    """Whether a field is known, while tracing, to be switched off: the Python number 0 (or None)."""
    return value is None or (is_static(value) and value == 0)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def pytree(cls: _Class) -> _Class:
    """Make `cls` a frozen, keyword-only dataclass registered with JAX by the rule of this module."""
    dataclasses.dataclass(frozen=True, kw_only=True, repr=False)(cls)  # works in place
    setattr(cls, "__repr__", _short_repr)  # noqa: B010 - a class this generic can't be assigned to by name
    names = tuple(field.name for field in dataclasses.fields(cls))

    def split(node: Any) -> tuple[list[tuple[str, Any]], tuple]:
        values = [(name, getattr(node, name)) for name in names]
        children = [(name, value) for name, value in values if not is_static(value)]
        static = tuple((name, value) for name, value in values if is_static(value))
        return children, (tuple(name for name, _ in children), static)

    def flatten_with_keys(node: Any) -> tuple[list, tuple]:
        children, aux = split(node)
        return [(jax.tree_util.GetAttrKey(name), child) for name, child in children], aux

    def flatten(node: Any) -> tuple[list, tuple]:
        children, aux = split(node)
        return [child for _, child in children], aux

    def unflatten(aux: tuple, children: Any) -> Any:
        node: Any = object.__new__(cls)
        for name, value in (*aux[1], *zip(aux[0], children, strict=True)):
            object.__setattr__(node, name, value)
        return node

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


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
