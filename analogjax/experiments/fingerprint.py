"""What things do, as values that can be written down and compared: the identity of a run is made of these.

Two runs are the same where their data have the same bytes, their schedules the same values, their optimisers and losses
the same effect on a probe, their models the same shapes, configuration and functions. Addresses and names of objects
say nothing: two lambdas have one name, and one optimiser has another address in each process.
"""

import functools
import hashlib
import math
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax

from analogjax._typing import Array, PyTree
from analogjax.errors import ConfigError

_STEPS = tuple(sorted({0, 1, 2, *(m * 10**k for k in range(6) for m in (1, 2, 5)), 10**6}))
_SAME = 1e-4  # relative: processors and releases round differently
_OURS = ("jax", "flax", "optax", "numpy", "analogjax")  # their functions are what their names say


def of_arrays(*arrays: Any) -> str:
    """A hash of the contents, shapes and dtypes of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        value = np.ascontiguousarray(array)
        digest.update(f"{value.dtype.str}{value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()[:32]


def of_tree(tree: PyTree) -> str:
    """A hash of the arrays of a pytree and of where they stand."""
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
    return [float(rate(jnp.asarray(step))) for step in _STEPS]


def of_optimizer(optimizer: optax.GradientTransformation, params: PyTree) -> list[float]:
    """What an optimiser makes of parameters and gradients at steps up to a million: two sums for each of them.

    The probe has the names of `params`, so that masks and labels work, and small arrays of their ranks.
    """
    small = jax.tree.map(lambda leaf: _wave((2,) * leaf.ndim, 1.0).astype(leaf.dtype), params)
    slopes = jax.tree.map(lambda leaf: _wave(leaf.shape, 2.0).astype(leaf.dtype), small)

    def moves(step: Array) -> Array:
        counted = jax.tree.map(functools.partial(_at_step, step), optimizer.init(small))
        first, state = optimizer.update(slopes, counted, small)
        second, _ = optimizer.update(jax.tree.map(lambda leaf: -0.5 * leaf, slopes), state, small)
        leaves = jax.tree.leaves((first, second))
        return jnp.stack([part for leaf in leaves for part in (jnp.sum(leaf), jnp.sum(jnp.abs(leaf)))])

    if not jax.tree.leaves(params):
        return []
    steps = jnp.asarray((0, 1, 10, 100, 1000, 10_000, 100_000), jnp.int32)
    return np.asarray(jax.jit(jax.vmap(moves))(steps), np.float64).ravel().tolist()


def of_loss(loss: Callable[[Array, Array], Array], outputs: Any, targets: Array) -> list[float]:
    """A loss function's values and slopes for outputs of a shape: any numbers, probabilities, their logarithms.

    Of `targets` the shape and dtype count alone.
    """
    classes = jnp.arange(targets.size).reshape(targets.shape) % (outputs.shape[-1] if outputs.ndim > 1 else 2)
    targets = classes.astype(targets.dtype) if jnp.issubdtype(targets.dtype, jnp.integer) else _wave(targets.shape, 3.0)
    found: list[float] = []
    wave = _wave(outputs.shape, 1.0).astype(outputs.dtype)
    for probe in (wave, jax.nn.softmax(wave), jax.nn.log_softmax(wave)):
        values, pull = jax.vjp(lambda y: loss(y, targets), probe)
        found += np.ravel(values).tolist() + np.ravel(jnp.sum(pull(jnp.ones_like(values))[0], 0)).tolist()
    return found


def of_model(model: linen.Module) -> Any:
    """The configuration of a model, module by module, with its functions by what they do."""
    return _described(model)


def of_function(function: Any, seen: frozenset = frozenset()) -> Any:
    """What a function does: its name, for those of libraries; else its code, and the values that it refers to."""
    if isinstance(function, functools.partial):
        inner = (function.func, *function.args, *(item for pair in sorted(function.keywords.items()) for item in pair))
        return ["partial", *(_value(item, seen) for item in inner)]
    function = getattr(function, "__wrapped__", function)
    module, code = getattr(function, "__module__", None) or "", getattr(function, "__code__", None)
    name = f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    if (module.partition(".")[0] in _OURS and "<lambda>" not in name) or id(function) in seen:
        return name
    seen = seen | {id(function)}
    if code is None:
        return [name, *(_value(item, seen) for item in sorted(getattr(function, "__dict__", {}).items()))]
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    used = [function.__globals__[name] for name in code.co_names if name in function.__globals__]
    held = (*cells, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *used)
    return [name, _of_code(code), *(_value(item, seen) for item in held)]


def differences(saved: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """The names under which two identities differ; numbers may by rounding."""
    return [name for name in here if name not in saved or not _same(saved[name], here[name])]


def shown(value: Any) -> str:
    """A value of an identity for an error: short."""
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:157]}..."


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, (int, float)) and isinstance(b, (int, float)) and not isinstance(a, bool):
        if math.isnan(a) or math.isnan(b):
            return math.isnan(a) and math.isnan(b)
        return a == b or abs(a - b) <= _SAME * max(abs(a), abs(b)) or max(abs(a), abs(b)) < 1e-12
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return set(a) == set(b) and all(_same(a[name], b[name]) for name in a)
    return a == b


def _wave(shape: tuple[int, ...], start: float) -> Array:
    return jnp.sin(start + jnp.arange(math.prod(shape), dtype=jnp.float32)).reshape(shape)


def _at_step(step: Array, leaf: Any) -> Any:
    """A counter of an optimiser's state at `step`; anything else as it is."""
    counts = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.integer) and leaf.ndim == 0
    return step.astype(leaf.dtype) if counts else leaf


def _plain(leaf: Any) -> Any:
    typed = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if typed else leaf


def _of_code(code: types.CodeType) -> str:
    parts = [_of_code(item) if isinstance(item, types.CodeType) else repr(item) for item in code.co_consts]
    return hashlib.sha256(repr((code.co_code, code.co_names, parts)).encode()).hexdigest()[:32]


def _described(value: Any) -> Any:
    if isinstance(value, linen.Module) or (is_dataclass(value) and not isinstance(value, type)):
        own = type(value)
        names = [f.name for f in fields(value) if f.name not in ("parent", "name")]
        told = {name: _described(getattr(value, name)) for name in names}
        foreign = own.__module__.partition(".")[0] not in _OURS
        methods = [
            method
            for name, method in vars(own).items()
            if foreign and isinstance(method, types.FunctionType) and (name == "__call__" or not name.startswith("__"))
        ]
        return [own.__qualname__, told, *(of_function(method) for method in methods)]
    if isinstance(value, (list, tuple)):
        return [_described(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): _described(item) for name, item in value.items()}
    return _value(value, frozenset())


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
    if callable(value) and not isinstance(value, type):
        return of_function(value, seen)
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def rate_or_error(rate: float | optax.Schedule) -> Any:
    """`of_rate`. Raises `ConfigError` for a schedule that can't be asked for its values."""
    try:
        return of_rate(rate)
    except Exception as error:
        raise ConfigError(f"learning_rate={rate!r}: can't be asked for its value at a step ({error}).") from error
