"""The identity of a run: what its parts do, as values that can be stored and compared.

Two runs are the same if their data have the same bytes, their schedules the same values, their optimisers and losses
the same effect on a probe, and their models the same shapes, configuration and functions. Addresses and names of
objects are no evidence: two lambdas share one name, and an optimiser has another address in each process.
"""

import dis
import functools
import hashlib
import math
import re
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax

from analogjax._typing import Array, PyTree
from analogjax.errors import ConfigError

_STEPS = tuple(sorted({*range(257), *(int(256 * 1.05**k) for k in range(171)), 10**6}))
_SOME = tuple(n for n in _STEPS if n < 20 or n % 7 == 0)  # for what costs more
_SAME = 1e-4  # relative: processors and releases round differently
EFFECT = "effect"  # names numbers that were calculated: they are compared up to rounding
_MADE_BY_FLAX = ("name", "parent", "scope")
_OURS = ("jax", "flax", "optax", "numpy", "analogjax")  # their functions can be identified by name


def of_arrays(*arrays: Any) -> str:
    """A hash of the contents, shapes and dtypes of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        value = np.ascontiguousarray(array)
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()[:32]


def of_tree(tree: PyTree) -> str:
    """A hash of the arrays of a pytree and of their paths."""
    flat = jax.tree_util.tree_leaves_with_path(tree)
    names = np.frombuffer("\n".join(jax.tree_util.keystr(path) for path, _ in flat).encode(), np.uint8)
    return of_arrays(names, *(_plain(leaf) for _, leaf in flat))


def shapes_of(tree: PyTree) -> dict[str, str]:
    """The shape and dtype of each array of a pytree, by path."""
    flat = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in flat}


def of_rate(rate: float | optax.Schedule) -> Any:
    """A learning rate, or the values of a schedule at steps up to a million."""
    if not callable(rate):
        return float(rate)
    steps = jnp.asarray(_STEPS, jnp.int32)
    try:
        values: Any = jax.vmap(lambda step: jnp.asarray(rate(step), jnp.float32))(steps)
    except jax.errors.JAXTypeError:  # a schedule of Python's own `if`
        values = [rate(step) for step in _STEPS]
    return {EFFECT: np.asarray(values, np.float64).tolist()}


def of_optimizer(optimizer: optax.GradientTransformation, params: PyTree) -> Any:
    """The effect of an optimiser on parameters and gradients, as sums over the updates.

    Small arrays with the names of `params` are probed at many steps up to a million, and arrays of the real shapes at
    two, each with ordinary and huge gradients, so that schedules, masks, labels and clipping have an effect.
    """
    if not jax.tree.leaves(params):
        return {EFFECT: []}
    small = jax.tree.map(lambda leaf: _wave((2,) * leaf.ndim, 1.0).astype(leaf.dtype), params)
    whole = jax.tree.map(lambda leaf: _wave(leaf.shape, 1.0).astype(leaf.dtype), params)
    many = jax.jit(jax.vmap(functools.partial(_moves, optimizer, small)))(jnp.asarray(_SOME, jnp.int32))
    few = [jax.jit(functools.partial(_moves, optimizer, whole))(jnp.asarray(step, jnp.int32)) for step in (0, 1000)]
    return {EFFECT: np.concatenate([np.ravel(v) for v in (many, *few)]).astype(np.float64).tolist()}


def _moves(optimizer: optax.GradientTransformation, params: PyTree, step: Array) -> Array:
    """Sums of two consecutive updates at `step`, for ordinary and for huge gradients `[2, 2]`."""
    found = []
    for size in (1.0, 1e4):
        slopes = jax.tree.map(lambda leaf, size=size: (size * _wave(leaf.shape, 2.0)).astype(leaf.dtype), params)
        counted = jax.tree.map(functools.partial(_at_step, step), optimizer.init(params))
        first, state = optimizer.update(slopes, counted, params)
        second, _ = optimizer.update(jax.tree.map(lambda leaf: -0.5 * leaf, slopes), state, params)
        leaves = jax.tree.leaves((first, second))
        # a different factor for each leaf, so that two of them can't be swapped
        found += [
            sum((1 + n / 7) * jnp.sum(leaf) for n, leaf in enumerate(leaves)),
            sum((1 + n / 7) * jnp.sum(jnp.abs(leaf)) for n, leaf in enumerate(leaves)),
        ]
    return jnp.stack([jnp.asarray(value, jnp.float32) for value in found]).reshape(2, 2)


def of_loss(loss: Callable[[Array, Array], Array], outputs: Any, targets: Array) -> Any:
    """Values and slopes of a loss function for outputs of a given shape: any numbers, probabilities, their logarithms.

    Of `targets`, only shape and dtype matter.
    """
    classes = jnp.arange(targets.size).reshape(targets.shape) % (outputs.shape[-1] if outputs.ndim > 1 else 2)
    targets = classes.astype(targets.dtype) if jnp.issubdtype(targets.dtype, jnp.integer) else _wave(targets.shape, 3.0)
    found: list[float] = []
    wave = _wave(outputs.shape, 1.0).astype(outputs.dtype)
    for probe in (wave, jax.nn.softmax(wave), jax.nn.log_softmax(wave)):
        values, pull = jax.vjp(lambda y: loss(y, targets), probe)
        found += np.ravel(values).tolist() + np.ravel(jnp.sum(pull(jnp.ones_like(values))[0], 0)).tolist()
    return {EFFECT: found}


def of_model(model: linen.Module) -> Any:
    """The configuration of a model, module by module, with its functions identified by what they do."""
    return _described(model)


def of_function(function: Any, seen: frozenset = frozenset()) -> Any:
    """What a function does: the name of a library function; otherwise its code, and the values it refers to."""
    if isinstance(function, functools.partial):
        inner = (function.func, *function.args, *(item for pair in sorted(function.keywords.items()) for item in pair))
        return ["partial", *(_value(item, seen) for item in inner)]
    while _is_ours(getattr(function, "__globals__", {}).get("__name__", "")) and hasattr(function, "__wrapped__"):
        function = function.__wrapped__  # what flax puts around the methods of a module
    module, code = getattr(function, "__module__", None) or "", getattr(function, "__code__", None)
    name = f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    if (_is_ours(module) and "<lambda>" not in name) or id(function) in seen:
        return name
    seen = seen | {id(function)}
    if code is None:
        return [name, *(_value(item, seen) for item in sorted(getattr(function, "__dict__", {}).items()))]
    cells = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
    held = (*cells, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    return [name, _of_code(code), *(_value(item, seen) for item in held), *_globals_of(function, code, seen)]


def _globals_of(function: Any, code: types.CodeType, seen: frozenset) -> list[Any]:
    """The values that the code of a function, and of those within it, takes from its module."""
    found, used = [], _names_loaded(code)
    for name in sorted(used.loaded & set(function.__globals__)):
        value = function.__globals__[name]
        if isinstance(value, types.ModuleType) and not _is_ours(value.__name__):
            # of a module of the user's, what is asked of it
            asked = [getattr(value, other) for other in sorted(used.all) if other in vars(value)]
            found.append([name, *(_value(item, seen) for item in asked)])
        else:
            found.append([name, _value(value, seen)])
    return found


class _Names(NamedTuple):
    loaded: set[str]  # of globals
    all: set[str]  # of attributes too


def _names_loaded(code: types.CodeType) -> _Names:
    loaded = {str(i.argval) for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    inner = [_names_loaded(item) for item in code.co_consts if isinstance(item, types.CodeType)]
    every = set(code.co_names)
    return _Names(loaded.union(*(one.loaded for one in inner)), every.union(*(one.all for one in inner)))


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # a variable that was never set
        return False


def _is_ours(module: str) -> bool:
    """Whether a module belongs to Python or to a library whose functions can be identified by name."""
    first = module.partition(".")[0]
    return first in _OURS or (first in sys.stdlib_module_names and first != "__main__")


def differences(saved: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The names under which two identities differ; numbers may differ by rounding."""
    return [name for name in here if name not in saved or not _same(saved[name], here[name])]


def place_of_difference(saved: Any, here: Any) -> tuple[str, Any, Any]:
    """The place of the first difference between two identities, and the values there."""
    if isinstance(saved, Mapping) and isinstance(here, Mapping) and set(saved) == set(here):
        steps: Any = ((f".{name}", saved[name], here[name]) for name in saved)
    elif isinstance(saved, list) and isinstance(here, (list, tuple)) and len(saved) == len(here):
        steps = ((f"[{n}]", a, b) for n, (a, b) in enumerate(zip(saved, here, strict=True)))
    else:
        return "", saved, here
    for step, a, b in steps:
        if not _same(a, b, step == f".{EFFECT}"):
            path, was, now = place_of_difference(a, b)
            return step + path, was, now
    return "", saved, here


def shown(value: Any) -> str:
    """A value of an identity, shortened for an error message."""
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:157]}..."


def _same(a: Any, b: Any, close: bool = False) -> bool:
    """Whether two values are equal; computed numbers (`close`) up to rounding."""
    if close and isinstance(a, (int, float)) and isinstance(b, (int, float)):
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        return a == b or abs(a - b) <= _SAME * max(abs(a), abs(b)) or max(abs(a), abs(b)) < 1e-12
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(_same(x, y, close) for x, y in zip(a, b, strict=True))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return set(a) == set(b) and all(_same(a[name], b[name], close or name == EFFECT) for name in a)
    return a == b


def _wave(shape: tuple[int, ...], start: float) -> Array:
    return jnp.sin(start + jnp.arange(math.prod(shape), dtype=jnp.float32)).reshape(shape)


def _at_step(step: Array, leaf: Any) -> Any:
    """A counter in the state of an optimiser, set to `step`; anything else is unchanged."""
    counts = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.integer) and leaf.ndim == 0
    return step.astype(leaf.dtype) if counts else leaf


def _plain(leaf: Any) -> Any:
    typed = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if typed else leaf


def _of_code(code: types.CodeType) -> str:
    parts = [_of_code(item) if isinstance(item, types.CodeType) else _ordered(item) for item in code.co_consts]
    return hashlib.sha256(repr((code.co_code, code.co_names, parts)).encode()).hexdigest()[:32]


def _ordered(value: Any) -> str:
    """A value as text; sets are sorted, since their order differs between processes."""
    if isinstance(value, (set, frozenset)):
        return f"set({sorted(map(_ordered, value))})"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _described(value: Any) -> Any:
    if isinstance(value, linen.Module) or (is_dataclass(value) and not isinstance(value, type)):
        names = [f.name for f in fields(value) if f.name not in ("parent", "name")]
        described = {name: _described(getattr(value, name)) for name in names}
        return [type(value).__qualname__, described, *_of_class(type(value), frozenset())]
    if isinstance(value, (list, tuple)):
        return [_described(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _described(item) for name, item in value.items()}
    return _value(value, frozenset())


def _of_class(own: type, seen: frozenset) -> list[Any]:
    """What a custom class, and those it derives from, do."""
    found: list[Any] = []
    for cls in own.__mro__:
        if _is_ours(cls.__module__) or id(cls) in seen:
            continue
        seen = seen | {id(cls)}
        for name, member in sorted(vars(cls).items()):
            if name != "__call__" and (name.startswith("_") or name in _MADE_BY_FLAX):
                continue
            found.append([f"{cls.__qualname__}.{name}", _member(member, seen)])
    return found


def _member(member: Any, seen: frozenset) -> Any:
    if isinstance(member, (staticmethod, classmethod)):
        member = member.__func__
    if isinstance(member, property):
        return [_value(part, seen) for part in (member.fget, member.fset)]
    return _value(member, seen)


def _value(value: Any, seen: frozenset) -> Any:
    """A value that something refers to, as plain JSON."""
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return of_arrays(_plain(value))
    if isinstance(value, (tuple, list)):
        return [_value(item, seen) for item in value]
    if isinstance(value, types.ModuleType):
        return value.__name__
    if isinstance(value, type):
        name = f"{value.__module__}.{value.__qualname__}"
        return name if _is_ours(value.__module__) or id(value) in seen else [name, *_of_class(value, seen)]
    if isinstance(value, linen.Module):
        return _described(value)
    if callable(value):
        return of_function(value, seen)
    return _ordered(value)


def rate_or_error(rate: float | optax.Schedule) -> Any:
    """Like `of_rate`, but raises `ConfigError` if a schedule can't be evaluated."""
    try:
        return of_rate(rate)
    except Exception as error:
        raise ConfigError(f"learning_rate={rate!r}: its value at a step can't be computed ({error}).") from error
