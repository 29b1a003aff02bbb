r"""A logical matrix split over a grid of chips: `TileArray` has the methods of `Tile` and the shape of the whole
matrix.

The parts are padded to one size and stacked on two leading axes `[G_out, G_in]`, so that one compiled, vectorised
function serves them all. Padding is exact: a padded column holds nothing and is fed with 0; a padded row is removed
from the output and receives no error. Neither is ever pulsed; only their random numbers are wasted.

If the matrix does not divide evenly, compounds that transfer line by line spend turns on padded lines too, so that a
chip with one line less transfers each of its lines a little less often.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.errors import ConfigError, ShapeError
from analogjax.tile.tile import Tile, TileConfig, create, initial_weights


@pytree
class TileArray:
    """Chips `[G_out, G_in]` that together hold a logical matrix `[O, I]`."""

    tiles: Tile
    """Tiles of equal shape, stacked: every array has two leading axes `[G_out, G_in]`."""
    outputs: int
    """Rows of the whole matrix."""
    inputs: int
    """Columns of the whole matrix."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the logical matrix."""
        return self.outputs, self.inputs

    @property
    def config(self) -> TileConfig:
        """Configuration of each chip."""
        return self.tiles.config

    @property
    def grid(self) -> tuple[int, int]:
        """Chips along rows and columns."""
        rows, columns = self.tiles.state.w.shape[-4:-2]
        return rows, columns

    @property
    def stack(self) -> tuple[int, ...]:
        """Leading axes of a stack of arrays (made under `vmap`); `()` for one array."""
        return self.tiles.state.w.shape[:-4]

    @property
    def dtype(self) -> DType:
        """Dtype of the weights."""
        return self.tiles.dtype

    def read(self) -> Array:
        """The logical weights `[O, I]`, without read noise; `[*stack, O, I]` of a stack of arrays."""
        if self.stack:
            return jax.vmap(TileArray.read)(self)
        return join_matrix(_spread(jax.vmap(Tile.read)(_flat(self.tiles)), self.grid), self.outputs, self.inputs)

    def write(self, w: Array, key: Key) -> "TileArray":
        """Write logical weights `w` `[O, I]`, as far as the devices can hold them. Consumes `key`.

        Raises `ShapeError` if `w` has another shape, or if this is a stack of arrays.
        """
        if jnp.shape(w) != self.shape or self.stack:
            raise ShapeError(
                f"write: weights of shape {jnp.shape(w)} for a matrix of shape {self.shape}; they must be equal"
                f"{', and a stack is written under jax.vmap' if self.stack else ''}."
            )
        w = jnp.asarray(w, self.dtype)
        return replace(self, tiles=self._each(Tile.write, key, cut_matrix(w, self.grid)))

    def forward(self, x: Array, key: Key) -> tuple[Array, Array | None]:
        """Forward read `[B, I] -> [B, O]`, and the gradient mask of each chip. Consumes `key`."""
        y, passes = self._each(Tile.forward, key, self._along_columns(x))
        return _join(jnp.sum(y, axis=1), self.outputs), passes

    def backward(self, d: Array, passes: Array | None, key: Key) -> Array:
        """Backward read `[B, O] -> [B, I]`. Consumes `key`."""
        dx = self._each(Tile.backward, key, self._along_rows(d), passes)
        return _join(jnp.sum(dx, axis=0), self.inputs)

    def update(self, x: Array, d: Array, lr: Scalar, key: Key) -> "TileArray":
        """Pulse the devices by `x` `[B, I]` and `d` `[B, O]`. Consumes `key`."""

        def act(tile: Tile, x: Array, d: Array, key: Key) -> Tile:
            return tile.update(x, d, lr, key)

        return replace(self, tiles=self._each(act, key, self._along_columns(x), self._along_rows(d)))

    def rest(self, key: Key, alpha: Scalar = 1.0) -> "TileArray":
        """Let the devices diffuse and decay for one mini-batch. Consumes `key`."""
        return replace(self, tiles=self._each(lambda tile, key: tile.rest(key, alpha), key))

    def reset(self, key: Key, probability: Scalar = 1.0, columns: Array | slice = slice(None)) -> "TileArray":
        """Reset each device of the given columns of the whole matrix with `probability`. Consumes `key`."""
        chosen = self._along_columns(jnp.zeros((1, self.inputs), bool).at[:, columns].set(True))

        def act(tile: Tile, chosen: Array, key: Key) -> Tile:
            return tile.reset_where(chosen[0], key, probability)

        return replace(self, tiles=self._each(act, key, chosen))

    def age(self, dt: Scalar, key: Key) -> "TileArray":
        """Let the devices drift for `dt` seconds. Consumes `key`."""
        return replace(self, tiles=self._each(lambda tile, key: tile.age(dt, key), key))

    def _along_columns(self, x: Array) -> Array:
        """`[B, I] -> [G_out, G_in, B, i]`: what the columns of each chip see."""
        parts = cut_vectors(x, self.grid[1])
        return jnp.broadcast_to(parts[None], (*self.grid, *parts.shape[1:]))

    def _along_rows(self, d: Array) -> Array:
        """`[B, O] -> [G_out, G_in, B, o]`: what the rows of each chip see."""
        parts = cut_vectors(d, self.grid[0])
        return jnp.broadcast_to(parts[:, None], (*self.grid, *parts.shape[1:]))

    def _each(self, act: Callable, key: Key, *data: Any) -> Any:
        """`act(tile, *data, key)` for each chip, with data `[G_out, G_in, ...]`. Consumes `key`."""
        chips = (self.tiles, data, jax.random.split(key, self.grid))
        # one flat axis: each level of vmap traces everything below it once more
        done = jax.vmap(lambda tile, data, key: act(tile, *data, key))(*_flat(chips))
        return _spread(done, self.grid)


def create_array(
    config: TileConfig, shape: tuple[int, int], key: Key, weights: Array | None = None, dtype: DType = jnp.float32
) -> Tile | TileArray:
    """Make the chips of a logical matrix: one `Tile` if it fits on a chip, else a `TileArray`.

    Args:
        config: What each chip is made of, and how large it may be.
        shape: Rows and columns `(O, I)` of the logical matrix.
        key: Consumed. Random are the device-to-device variation, the default weights and their writing.
        weights: Logical weights `[O, I]`; by default uniform in +-1/sqrt(I).
        dtype: Dtype of the chips.

    Returns:
        The tile or array of tiles.

    Raises:
        ShapeError: If the weights are not `[O, I]`.
        ConfigError: If the shape is not two whole numbers above 0, or if devices idealise the last column
            (`perfect_bias`) of chips of unequal sizes.
    """
    grid = config.mapping.grid(*shape)
    if grid == (1, 1):
        return create(config, shape, key, weights, dtype)
    if shape[1] % grid[1] and _has_perfect_bias(config.device):
        raise ConfigError(
            f"perfect_bias=True with {shape[1]} columns on {grid[1]} chips of unequal sizes: set it to False (a matrix "
            "on several chips has a digital bias), or Mapping(max_input_size=...) to what cuts the columns evenly."
        )
    k_weights, k_tiles = jax.random.split(key)
    weights = initial_weights(shape, k_weights, dtype) if weights is None else jnp.asarray(weights, dtype)
    if weights.shape != shape:
        raise ShapeError(f"create_array: weights of shape {weights.shape} for a matrix of shape {shape}.")
    parts = cut_matrix(weights, grid)
    size = (int(parts.shape[2]), int(parts.shape[3]))
    made = jax.vmap(lambda w, key: create(config, size, key, w, dtype))(
        *_flat((parts, jax.random.split(k_tiles, grid)))
    )
    return TileArray(tiles=_spread(made, grid), outputs=shape[0], inputs=shape[1])


def _has_perfect_bias(device: Any) -> bool:
    inner = (*getattr(device, "devices", ()), getattr(device, "device", None))
    return getattr(device, "perfect_bias", False) or any(_has_perfect_bias(part) for part in inner if part is not None)


def _flat(tree: Any) -> Any:
    """`[G_out, G_in, ...] -> [G_out * G_in, ...]`, each leaf."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)


def _spread(tree: Any, grid: tuple[int, int]) -> Any:
    """`[G_out * G_in, ...] -> [G_out, G_in, ...]`, each leaf."""
    return jax.tree.map(lambda leaf: leaf.reshape(*grid, *leaf.shape[1:]), tree)


def cut_vectors(v: Array, parts: int) -> Array:
    """`[B, N] -> [P, B, n]`: nearly equal parts (larger ones first), padded with 0 to the largest."""
    size = v.shape[-1]
    base, extra = divmod(size, parts)
    if extra == 0:
        return jnp.moveaxis(v.reshape(*v.shape[:-1], parts, base), -2, 0)
    cut = jnp.split(v, _edges(size, parts), axis=-1)
    return jnp.stack([jnp.pad(part, ((0, 0),) * (v.ndim - 1) + ((0, base + 1 - part.shape[-1]),)) for part in cut])


def cut_sizes(size: int, parts: int) -> list[int]:
    """The sizes of nearly equal parts, larger ones first."""
    base, extra = divmod(size, parts)
    return [base + (k < extra) for k in range(parts)]


def _edges(size: int, parts: int) -> list[int]:
    return list(accumulate(cut_sizes(size, parts)))[:-1]


def _join(v: Array, size: int) -> Array:
    """`[P, B, n] -> [B, N]`: the reverse of `cut_vectors`."""
    return jnp.concatenate([v[k, ..., :n] for k, n in enumerate(cut_sizes(size, v.shape[0]))], axis=-1)


def cut_matrix(w: Array, grid: tuple[int, int]) -> Array:
    """`[O, I] -> [G_out, G_in, o, i]`, padded with 0."""
    rows = cut_vectors(w.T, grid[0])  # [G_out, I, o]
    return jnp.stack([cut_vectors(row.T, grid[1]) for row in rows])


def join_matrix(parts: Array, outputs: int, inputs: int) -> Array:
    """`[G_out, G_in, o, i] -> [O, I]`: the reverse of `cut_matrix`."""
    rows = [_join(row, inputs) for row in parts]  # [o, I] each
    return _join(jnp.stack([row.T for row in rows]), outputs).T


def each_chip(tile: Tile | TileArray, act: Any, key: Key, *data: Any) -> tuple:
    """`act(chip, used, *data, key) -> (chip, ...)` for each chip; `used` `[O, I]` is 0 in the padding of an array."""
    outputs, inputs = tile.shape
    if isinstance(tile, Tile):
        return act(tile, jnp.ones((outputs, inputs)), *data, key)
    rows, columns = tile._along_rows(jnp.ones((1, outputs))), tile._along_columns(jnp.ones((1, inputs)))
    used = jnp.swapaxes(rows, -1, -2) * columns
    tiles, *rest = tile._each(act, key, used, *data)
    return replace(tile, tiles=tiles), *rest


def filled_padding(w: Array, used: Array) -> Array:
    """Weights `[O, I]` whose padding repeats weights of the chip, so that it is neither the largest nor the smallest.

    What the devices there hold counts nowhere: converters may add noise to its inputs, so chips hold 0 there.
    """
    w = jnp.where(used > 0, w, w[:, :1])
    return jnp.where(used[:, :1] > 0, w, w[:1])
