"""Gradients and signals of NNX models: each call of an analog layer in a pass has its own slot.

During a pass, each layer holds an object next to its variables: first one that records the shapes of the calls, then
one that hands out the slots. It belongs to the trace in which the pass began. A layer inside `nnx.scan`, `nnx.vmap` or
`nnx.remat` would share one slot among its calls, so it is refused there (`analogjax.nn` lifts slots through linen's
transformations).
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.extend.core import get_opaque_trace_state

from analogjax._typing import Array, Key, PyTree
from analogjax.errors import SlotError
from analogjax.nn.groups import product_of
from analogjax.tile import Signal, slot_for

_PASS = "_pass"  # the attribute of a layer in which a pass stands
Path = tuple[Any, ...]


class _Noting:
    """A pass that only records shapes."""

    def __init__(self) -> None:
        self.calls: list[Signal] = []

    def read(self, tile: Any, x: Array, key: Key) -> Array:
        slot = slot_for(tile, x)
        self.calls.append(slot)
        return slot.d


class _Handing:
    """A pass that hands out the slots, one per call."""

    def __init__(self, name: str, slots: tuple[Signal, ...]) -> None:
        self.name, self.slots, self.used = name, slots, 0
        self.trace = get_opaque_trace_state(convention="nnx")

    def read(self, tile: Any, x: Array, key: Key) -> Array:
        if get_opaque_trace_state(convention="nnx") != self.trace:
            raise SlotError(
                f"{self.name}: is called inside a transformation of the model (nnx.scan, nnx.vmap, nnx.remat, a jit or "
                "custom loop), where its calls can't be distinguished. Call it outside, or use analogjax.nn with "
                "linen's transformations, which lift slots."
            )
        return product_of(tile, x, self.next_slot(), key)

    def next_slot(self) -> Signal:
        if self.used == len(self.slots):
            raise SlotError(f"{self.name}: was called more often than the {len(self.slots)} times recorded before.")
        self.used += 1
        return self.slots[self.used - 1]


def product(layer: Any, x: Array, key: Key) -> Array:
    """The noisy product of a layer's tile with `x`, using the slot of this call if signals are wanted."""
    current = getattr(layer, _PASS, None)
    tile = layer.tile.get_value()
    return product_of(tile, x, None, key) if current is None else current.read(tile, x, key)


def value_and_grad(loss: Callable[..., Any], *, has_aux: bool = False) -> Callable[..., tuple[Any, nnx.State, PyTree]]:
    """Make a function that returns the value, gradients and signals of a loss.

    Args:
        loss: `loss(model, *args) -> scalar`, or `(scalar, aux)` with `has_aux`.
        has_aux: Whether it returns a pair.

    Returns:
        A function of the same arguments that returns `value, gradients, signals`. The gradients are an `nnx.State` of
        the `nnx.Param` of the model, for `nnx.Optimizer.update(model, gradients)`. The signals are a dict by layer, for
        `optim.PulsedSGD.update(signals, state, tiles(model), key=key)`. Other variables (rngs, batch statistics) stay
        in the model as the pass changed them.

    Raises:
        SlotError: If a layer is called inside a transformation.
    """

    def run(model: nnx.Module, *args: Any) -> tuple[Any, nnx.State, PyTree]:
        graph, params, others = _parted(model)
        slots = _noted(graph, params, others, loss, args)

        def of(params: nnx.State, slots: PyTree) -> tuple[Array, tuple[Any, nnx.State]]:
            copy = nnx.merge(graph, params, others, copy=True)  # its variables belong to this trace
            found = {name: _Handing(name, slots[name]) for name in slots}
            with_pass(copy, found)
            out = loss(copy, *args)
            without_pass(copy)
            value, aux = out if has_aux else (out, None)
            return value, (aux, _parted(copy)[2])

        ((value, (aux, changed)), (gradients, signals)) = jax.value_and_grad(of, argnums=(0, 1), has_aux=True)(
            params, slots
        )
        nnx.update(model, changed)
        return (value, aux) if has_aux else value, gradients, signals

    return run


def _parted(model: nnx.Module) -> tuple[Any, nnx.State, nnx.State]:
    """Split a model into its structure, its parameters, and all other variables."""
    graph, params, *others = nnx.split(model, nnx.Param, ...)
    return graph, params, others[0]


def _noted(graph: Any, params: nnx.State, others: nnx.State, loss: Callable, args: tuple) -> PyTree:
    """The zero slots of each layer, from a pass that computes shapes only."""

    def note(params: nnx.State, others: nnx.State) -> PyTree:
        copy = nnx.merge(graph, params, others)
        found = {name: _Noting() for name, _ in analog_layers(copy)}
        with_pass(copy, found)
        loss(copy, *args)
        return {name: tuple(one.calls) for name, one in found.items()}

    shapes = jax.eval_shape(note, params, others)
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def slots_of_steps(model: nnx.Module, steps: int, run: Callable[[nnx.Module], Any]) -> dict[str, tuple[Signal, ...]]:
    """The slots that the layers of a model need for a scan over `steps`, by layer; none if no signals are wanted.

    `run` calls a copy of the model as one step does; of that only shapes are computed.
    """
    found = {name: getattr(layer, _PASS, None) for name, layer in analog_layers(model)}
    passes = {name: current for name, current in found.items() if current is not None}
    if not passes:
        return {}
    notes = {name: _Noting() for name in passes}

    def note() -> None:
        copy = nnx.clone(model)
        with_pass(copy, notes)
        run(copy)

    jax.eval_shape(note)
    stacked = {}
    for name, current in passes.items():
        like = [
            jax.tree.map(lambda leaf: jnp.zeros((steps, *leaf.shape), leaf.dtype), one) for one in notes[name].calls
        ]
        if isinstance(current, _Noting):
            current.calls += like
        stacked[name] = tuple(like if isinstance(current, _Noting) else (current.next_slot() for _ in like))
    return stacked


def with_slots(model: nnx.Module, slots: dict[str, tuple[Signal, ...]]) -> None:
    """Attach a pass that hands out these slots in the trace of now; without any, none."""
    if slots:
        with_pass(model, {name: _Handing(name, own) for name, own in slots.items()})


def analog_layers(model: nnx.Module, attribute: str = "tile") -> Iterator[tuple[str, Any]]:
    """All layers with tiles (or with another attribute of analog layers), by path, in order; a shared layer appears
    once.
    """
    for path, node in list(nnx.iter_graph(model)):
        if isinstance(node, nnx.Module) and hasattr(node, attribute) and hasattr(node, "analog_bias"):
            yield "/".join(str(part) for part in path) or "model", node


def with_pass(model: nnx.Module, found: dict[str, Any]) -> None:
    """Attach a pass to the layers of a model."""
    for name, layer in list(analog_layers(model)):
        object.__setattr__(layer, _PASS, found[name])


def without_pass(model: nnx.Module) -> None:
    """Detach the pass from the layers of a model, if there is one."""
    for _, layer in list(analog_layers(model)):
        if hasattr(layer, _PASS):
            object.__delattr__(layer, _PASS)


def tiles(model: nnx.Module) -> dict[str, Any]:
    """Return the tiles of a model by layer, as `PulsedSGD.update` and `tile.program_all` take them."""
    return {name: layer.tile.get_value() for name, layer in analog_layers(model)}


def set_tiles(model: nnx.Module, new: dict[str, Any]) -> None:
    """Put updated or programmed tiles into the layers of a model. Raises `SlotError` for unknown names."""
    layers = dict(analog_layers(model))
    if set(new) != set(layers):
        raise SlotError(f"set_tiles: given chips of {sorted(new)}, and the model's layers are {sorted(layers)}.")
    for name, layer in layers.items():
        layer.tile.set_value(new[name])
