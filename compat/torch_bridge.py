"""Between torch and JAX: tensors without a copy where that is safe, and a tile's product as a torch autograd function.

Memory that crosses by DLPack is shared and mutable, so three rules hold here. A JAX function that reads a torch tensor
has finished before torch goes on (its user may write to the tensor in place). What torch receives is the fresh output
of a function whose JAX array nobody keeps (torch may write to it in place). What is kept for longer is copied.

For each structure of a tile (configuration and shapes) there is one compiled forward, backward and update, shared by
all layers alike: the arrays of a tile go in as a flat list, and its structure is baked in.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analogjax import random
from analogjax._typing import Array, Key, Scalar
from analogjax.physics import Periphery
from analogjax.tile import Signal, Tile, TileConfig, create
from analogjax.tile import update as tile_update
from compat import tile_weights
from compat.aihwkit.exceptions import InputTypeError, TileError, TileModuleError
from compat.kept_programs import kept
from compat.torch_package import torch

once_differentiable = torch.autograd.function.once_differentiable

Leaves = list[Array]

# torch waits for each product of a tile at once, so that handing it to another thread first only takes longer; this
# holds from JAX's first use of the CPU on
if "JAX_CPU_ENABLE_ASYNC_DISPATCH" not in os.environ:
    jax.config.update("jax_cpu_enable_async_dispatch", False)


def to_jax(tensor: Any, what: str = "x") -> Array:
    """A float32 CPU tensor as a JAX array on the same memory: use it up before torch goes on.

    Raises `InputTypeError` for another number type (JAX would narrow 64 bits silently), `TileError` for another device.
    """
    return jnp.from_dlpack(_computable(tensor, what).contiguous())


def lent(tensor: Any, what: str = "x") -> np.ndarray:
    """The same as a NumPy array, which costs a tenth: for compiled functions that get arrays of a chip as well.

    What they get besides goes where the chip's arrays are; alone it would go to an accelerator, if there is one.
    """
    return _computable(tensor, what).numpy()


def widened(tensor: Any) -> Any:
    """A tensor of half precision in float32; any other as it is."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _computable(tensor: Any, what: str) -> Any:
    if tensor.dtype is not torch.float32:
        raise InputTypeError(f"{what} is {tensor.dtype}, and tiles compute in torch.float32; convert it with .float().")
    if not tensor.is_cpu:
        raise TileError(f"{what} is on {tensor.device}; this version keeps torch layers on the CPU: use .cpu().")
    return tensor.detach()


def to_torch(array: Array) -> Any:
    """A JAX array that nobody else keeps, as a tensor on the same memory."""
    # the capsule itself: handed the array, torch asks for its device first, which takes as long again
    tensor = torch.utils.dlpack.from_dlpack(array.block_until_ready().__dlpack__())
    # torch.jit.trace only knows tensors that an operation of torch has made
    return tensor.detach() if torch.jit.is_tracing() else tensor


def copied(array: Any) -> Any:
    """A tensor with a copy of an array."""
    return torch.from_numpy(np.array(array))


def named(tree: Any) -> dict[str, Any]:
    """Copies of the arrays of a tile, or of anything made of such, by where they are in it."""
    return {path_name(path): copied(leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def filled(tree: Any, arrays: dict[str, Any], what: str) -> Any:
    """`tree` (arrays, or their shapes) with copies of `arrays` that `named` gave. Raises `TileModuleError`."""
    paths, structure = jax.tree_util.tree_flatten_with_path(tree)
    names = [path_name(path) for path, _ in paths]
    if set(names) != set(arrays):
        raise TileModuleError(
            f"{what}: only in the checkpoint {sorted(set(arrays) - set(names))}, only in the model "
            f"{sorted(set(names) - set(arrays))}. Make the model with the configuration it was saved with."
        )
    for name, (_, leaf) in zip(names, paths, strict=True):
        if tuple(arrays[name].shape) != leaf.shape:
            given = tuple(arrays[name].shape)
            raise TileModuleError(f"{name} is {given} in the checkpoint and {leaf.shape} in the model.")
    return jax.tree.unflatten(structure, [jnp.array(arrays[name].numpy()) for name in names])


def path_name(path: Any) -> str:
    """A place in a tree as a name of a state dict."""
    return jax.tree_util.keystr(path).lstrip(".")


def beside_torch(arrays: Any) -> Any:
    """Arrays (a pytree) in the memory that torch tensors are in, also where JAX itself prefers an accelerator."""
    return jax.device_put(arrays, jax.local_devices(backend="cpu")[0])


def draw_key() -> Key:
    """A key from torch's global generator, so that `torch.manual_seed` decides all randomness of a tile."""
    return beside_torch(random.key(int(torch.randint(0, 2**31 - 1, ()))))


@kept
def _maker(config: TileConfig, shape: tuple[int, int]) -> Any:
    return jax.jit(lambda weights, key: create(config, shape, key, weights))


def make(config: TileConfig, weights: np.ndarray, key: Key) -> Tile:
    """The chip of a matrix `[O, I]`, made by one compiled function for each configuration and shape."""
    return _maker(config, (int(weights.shape[0]), int(weights.shape[1])))(weights, beside_torch(key))


@dataclass(frozen=True, eq=False)
class Program:
    """What a tile does, compiled; use `n` of a tile with root key `root` draws from `fold_in(root, n)`."""

    structure: Any
    moving: tuple[int, ...] = ()  # which arrays an update changes; the others are not copied for each step

    def __post_init__(self) -> None:
        chip = self.tile(list(range(self.structure.num_leaves)))
        object.__setattr__(self, "moving", tuple(jax.tree.leaves((chip.state, chip.average))))
        for name in ("forward", "backward", "pulse", "step", "rest", "write", "read", "age", "reset", "decay", "raw",
                     "put_in", "dense"):  # fmt: skip
            object.__setattr__(self, name, jax.jit(getattr(self, "_" + name)))

    forward: Any = None
    backward: Any = None
    pulse: Any = None
    step: Any = None
    rest: Any = None
    write: Any = None
    read: Any = None
    age: Any = None
    reset: Any = None
    decay: Any = None
    raw: Any = None
    put_in: Any = None
    dense: Any = None

    def tile(self, leaves: Any) -> Any:
        """The tile with these arrays."""
        return jax.tree.unflatten(self.structure, leaves)

    def after(self, leaves: Leaves, moved: Leaves) -> Leaves:
        """`leaves` with those that an update has changed to `moved`."""
        leaves = list(leaves)
        for place, leaf in zip(self.moving, moved, strict=True):
            leaves[place] = leaf
        return leaves

    def moving_of(self, tile: Any) -> Leaves:
        """The arrays of a tile that an update changes."""
        leaves = jax.tree.leaves(tile)
        return [leaves[place] for place in self.moving]

    def _forward(self, leaves: Leaves, root: Key, n: Scalar, x: Array) -> tuple[Array, Array | None]:
        k_forward, _ = _keys(root, n)
        return self.tile(leaves).forward(x, k_forward)

    def _backward(self, leaves: Leaves, root: Key, n: Scalar, passes: Array | None, d: Array) -> Array:
        _, k_backward = _keys(root, n)
        return self.tile(leaves).backward(d, passes, k_backward)

    def _pulse(self, leaves: Leaves, root: Key, n: Scalar, lr: Scalar, x: Array, d: Array) -> Leaves:
        return self.moving_of(tile_update(self.tile(leaves), Signal(x=x, d=d), lr, key=_keys(root, n)[0]))

    def _step(self, leaves: Leaves, root: Key, n: Scalar, lr: Scalar, x: Array, d: Array) -> Leaves:
        # the keys are those of analogjax.optim.PulsedSGD
        k_pulse, k_rest = _keys(root, n)
        tile = tile_update(self.tile(leaves), Signal(x=x, d=d), lr, key=k_pulse)
        return self.moving_of(tile.rest(k_rest) if tile.config.device.needs_rest else tile)

    def _rest(self, leaves: Leaves, root: Key, n: Scalar) -> Leaves:
        return self.moving_of(self.tile(leaves).rest(_keys(root, n)[1]))

    def _decay(self, leaves: Leaves, root: Key, n: Scalar, alpha: Scalar) -> Leaves:
        return jax.tree.leaves(self.tile(leaves).rest(_keys(root, n)[1], alpha))

    def _write(self, leaves: Leaves, root: Key, n: Scalar, w: Array) -> Any:
        return self.tile(leaves).write(w, _keys(root, n)[0])

    def _read(self, leaves: Leaves) -> Array:
        return self.tile(leaves).read()

    def _age(self, leaves: Leaves, root: Key, n: Scalar, dt: Scalar) -> Any:
        return self.tile(leaves).age(dt, _keys(root, n)[0])

    def _reset(self, leaves: Leaves, root: Key, n: Scalar, probability: Scalar) -> Any:
        return self.tile(leaves).reset(_keys(root, n)[0], probability)

    def _raw(self, leaves: Leaves) -> Array:
        return tile_weights.raw(self.tile(leaves))

    def _put_in(self, leaves: Leaves, w: Array) -> Leaves:
        return jax.tree.leaves(tile_weights.put_in(self.tile(leaves), w))

    def _dense(self, leaves: Leaves, x: Array, d: Array) -> Array:
        # a weight of the device is the logical one by its scale: as in aihwkit a step moves the latter by the rate
        tile = self.tile(leaves)
        return (d.T @ x) / (tile_weights.scales(tile) * tile_weights.rate_scales(tile))


def _joined(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _keys(root: Key, n: Scalar) -> tuple[Key, Key]:
    first, second = jax.random.split(jax.random.fold_in(root, n))
    return first, second


@kept
def program(structure: Any) -> Program:
    """The compiled functions of all tiles of one structure."""
    return Program(structure)


class AnalogFunction(torch.autograd.Function):
    """The product of a tile `[B, I] -> [B, O]`; going back, it leaves x and d with the tile's context.

    `recorded` is left there in place of x, where an update is to work out for itself what the chips see.
    """

    @staticmethod
    def forward(ctx: Any, context: Any, chips: Any, x: Any, recorded: Any = None) -> Any:
        n = chips.next_use()
        y, ctx.passes = chips.program.forward(chips.leaves, chips.root, n, lent(x))
        chips.passes = ctx.passes
        ctx.save_for_backward(x if recorded is None else recorded)
        ctx.context, ctx.chips, ctx.use = context, chips, n
        return to_torch(y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d: Any) -> Any:
        (x,) = ctx.saved_tensors
        chips = ctx.chips
        if ctx.needs_input_grad[0]:
            ctx.context.record(x, d)
        if not ctx.needs_input_grad[2]:
            return None, None, None, None
        dx = chips.program.backward(chips.leaves, chips.root, ctx.use, ctx.passes, lent(d, "the gradient"))
        return None, None, to_torch(dx), None


class Chips:
    """The tile of a torch module: its arrays, its root key, and how often randomness has been drawn from it.

    Where torch trains the weights (`weight`, `[O, I]` in units of the device), that tensor is what the devices hold:
    it is put in whenever the arrays are taken, and follows whenever other arrays or another tile are set.
    """

    weight: Any = None
    passes: Array | None = None  # the gradient mask of the last call
    widen: Any = None  # a function of a tile that gives it the structure that its module needs
    behind: Any = None  # brings the arrays up to date, where a program has moved them as part of others

    def __init__(self, tile: Tile, root: Key, uses: int = 0) -> None:
        self.root, self.uses, self.writes = beside_torch(root), uses, 0
        self.tile = tile

    @property
    def _leaves(self) -> Leaves:
        if self.behind is not None:
            self.behind()
        return self._held

    @_leaves.setter
    def _leaves(self, leaves: Leaves) -> None:
        self._held, self.behind = leaves, None

    @property
    def arrays(self) -> Leaves:
        """The arrays of the tile, whose weights may be out of date where torch trains them."""
        return self._leaves

    @property
    def leaves(self) -> Leaves:
        """The arrays of the tile."""
        if self.weight is None:
            return self._leaves
        # its user may change the tensor in place, by ways that torch does not count: it is read each time
        return self.holding(self.weight)

    @leaves.setter
    def leaves(self, leaves: Leaves) -> None:
        self._leaves, self.writes = leaves, self.writes + 1
        if self.weight is not None:
            self.weight.detach().copy_(copied(self.program.raw(leaves)))

    @property
    def tile(self) -> Any:
        """The native tile."""
        return jax.tree.unflatten(self.structure, self.leaves)

    @tile.setter
    def tile(self, tile: Tile) -> None:
        leaves, self.structure = jax.tree.flatten(tile if self.widen is None else self.widen(tile))
        self.program = program(self.structure)
        self.leaves = beside_torch(leaves)
        self.needs_rest = tile.config.device.needs_rest

    def holding(self, weight: Any) -> Leaves:
        """The arrays of the tile whose devices hold `weight`, `[O, I]` in units of the device."""
        return jax.block_until_ready(self.program.put_in(self._leaves, lent(widened(weight), "the weight")))

    def read_by(self, p: Periphery) -> None:
        """Read the chips by another periphery from now on; what is on them stays."""
        tile = jax.tree.unflatten(self.structure, self._leaves)
        self._leaves, self.structure = jax.tree.flatten(tile_weights.read_by(tile, p))
        self.program = program(self.structure)

    def next_use(self) -> int:
        """The number of the next draw."""
        self.uses += 1
        return self.uses

    def dense(self, x: Array, d: Array) -> Array:
        """The gradient of the weights `[O, I]`, in units of the device, for inputs `[B, I]` and errors `[B, O]`."""
        return self.program.dense(self._leaves, x, d)  # the scales do not depend on the weights

    def step(self, lr: float, x: Sequence[Any], d: Sequence[Any], rest: bool = True) -> None:
        """Pulse with everything given, in order, then rest (unless disabled)."""
        act, leaves = self.program.step if rest else self.program.pulse, self.leaves
        given = lent(_joined(x)), lent(_joined(d))
        moved = act(leaves, self.root, self.next_use(), lr, *given)
        for leaf in moved[:1]:  # all are done when one is; then what was lent is free again
            leaf.block_until_ready()
        self.moved(leaves, moved)

    def moved(self, leaves: Leaves, moved: Leaves) -> None:
        """Hold these arrays, but for those that an update has changed to `moved`."""
        self.leaves = self.program.after(leaves, moved)

    def rest(self) -> None:
        """Diffusion and decay of one mini-batch."""
        if self.needs_rest:
            leaves = self.leaves
            self.moved(leaves, self.program.rest(leaves, self.root, self.next_use()))

    def __getstate__(self) -> dict[str, Any]:
        leaves = [np.asarray(leaf) for leaf in self.leaves]
        tile = jax.tree.unflatten(self.structure, leaves)
        key = np.asarray(jax.random.key_data(self.root))
        # the tensor itself belongs to the module, which hands it over again
        return {"tile": tile, "key": key, "uses": self.uses, "writes": self.writes, "widen": self.widen}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.root = beside_torch(jax.random.wrap_key_data(jnp.asarray(state["key"]), impl=random.FAST))
        self.uses, self.writes, self.widen = state["uses"], 0, state.get("widen")
        # a copy: the numpy arrays of a pickle may be shared with others
        self.tile = jax.tree.map(jnp.array, state["tile"])
        self.writes = state["writes"]
