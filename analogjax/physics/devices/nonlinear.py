r"""Devices whose step is an arbitrary function of the weight: their common part, and their evaluation pulse by pulse.

A device defines its step `f(v, direction) >= 0` [w] and the standard deviation `sigma(v, f)` of its noise; then

    UP: v += f(v, UP) + sigma xi,   DOWN: v -= f(v, DOWN) + sigma xi,   then clip to [b_min, b_max];   w = v - ref

with `ref` = 0 except for devices that have a reference.

Counted evaluation. Pulses that change the step little and stay away from the bounds are applied by tau-leaping, whose
error is stated in `devices/leap.py`. All others are applied one after the other, each with its own noise: exact except
for the order of up and down pulses, which is random with all orders equally likely. (In a batch, the pulses of one
sample are consecutive and have one direction; devices for which this matters are not counted, see `devices/coarse.py`.)
The last crosspoints with pulses left are gathered from a large array.
"""

from abc import abstractmethod

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._pytree import is_off, pytree
from analogjax._typing import Array, Key
from analogjax.physics.counting import pack
from analogjax.physics.device import Cells, State
from analogjax.physics.devices.coarse import SPAN_OF_LEAPS, is_coarse
from analogjax.physics.devices.leap import Sizes, leapt
from analogjax.physics.devices.pulsed import Pulsed, clipped, hidden
from analogjax.random import normal, uniform


@pytree
class Nonlinear(Pulsed):
    """Arbitrary pulse response. Abstract: a device defines its `step`, and its `spread` if that is not proportional."""

    @abstractmethod
    def step(self, cells: Cells, v: Array, up: Array) -> Array:
        """Mean size of one pulse at `v` in its own direction [w]; `up` bool broadcasts to the shape of `v`.

        Crosspoint by crosspoint: `v` and `cells` are `[O, I]`, or a selection of crosspoints `[n]`.
        """

    def spread(self, v: Array, step: Array) -> Array:
        """Standard deviation of a pulse of mean size `step` `[O, I]` [w]."""
        return self.dw_min_std * jnp.abs(step)

    def coarse(self, one_way: bool = False) -> bool | Array:
        return not one_way and is_coarse(self, SPAN_OF_LEAPS, largest=self.largest_step)

    def pulse(self, cells: Cells, state: State, sign: Array, key: Key) -> State:
        k_step, k_seen = jax.random.split(key)
        v = hidden(state) + cells.get("reference", 0.0)
        moved = self._moved(cells, v, sign > 0, k_step)
        return self._settled(cells, state, moved, sign != 0, k_seen)

    def pulses(self, cells: Cells, state: State, up: Array, down: Array, key: Key) -> State:
        k_leap, k_walk, k_seen = jax.random.split(key, 3)
        v, low, high = hidden(state) + cells.get("reference", 0.0), cells["min_bound"], cells["max_bound"]
        v, up_left, down_left = leapt(lambda v: self._sizes(cells, v), low, high, v, up, down, few_of(v.size), k_leap)
        v = self._walk(cells, v, up_left, down_left, k_walk)
        return self._settled(cells, state, v, up + down > 0, k_seen)

    def _sizes(self, cells: Cells, v: Array) -> Sizes:
        up, down = self.step(cells, v, jnp.asarray(True)), self.step(cells, v, jnp.asarray(False))
        return Sizes(up, down, self.spread(v, up), self.spread(v, down))

    def _settled(self, cells: Cells, state: State, v: Array, touched: Array, key: Key) -> State:
        # an untouched cell keeps its bits: adding and taking away the reference would round
        w = jnp.where(touched, v - cells.get("reference", 0.0), hidden(state))
        return self.seen(state, w, key, touched)

    def _moved(self, cells: Cells, v: Array, up: Array, key: Key) -> Array:
        """`v` after one pulse at each crosspoint, clipped."""
        size = self.step(cells, v, up)
        if not is_off(self.dw_min_std):
            size = size + self.spread(v, size) * normal(key, v.shape, v.dtype)
        return clipped(cells, v + jnp.where(up, size, -size))

    def _walk(self, cells: Cells, v: Array, up: Array, down: Array, key: Key) -> Array:
        """`v` after `up` and `down` pulses, one at a time in random order; the last few crosspoints are gathered."""
        k_all, k_few = jax.random.split(key)
        few = few_of(v.size)
        v, up, left = self._step_by_step(cells, v, up, up + down, few, k_all)
        if few == 0:
            return v
        places = _places(left.reshape(-1) > 0, few)
        own, v_few, up_few, left_few = jax.tree.map(
            lambda array: array.reshape(-1).at[places].get(mode="fill", fill_value=0), (cells, v, up, left)
        )
        moved = self._walk(own, v_few, up_few, left_few - up_few, k_few)
        return v.reshape(-1).at[places].set(moved, mode="drop").reshape(v.shape)

    def _step_by_step(
        self, cells: Cells, v: Array, up: Array, left: Array, few: int, key: Key
    ) -> tuple[Array, Array, Array]:
        """Single pulses until at most `few` crosspoints have any left, with all orders equally likely."""

        def one(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            i, v, up, left = carry
            k_order, k_step = jax.random.split(jax.random.fold_in(key, i))
            # an up pulse with probability up / left makes all orders equally likely
            upward = uniform(k_order, v.shape) * left.astype(jnp.float32) < up.astype(jnp.float32)
            live = left > 0
            v = jnp.where(live, self._moved(cells, v, upward, k_step), v)
            return i + 1, v, up - (upward & live), left - live

        start = (jnp.asarray(0, jnp.int32), v, up, left)
        return lax.while_loop(lambda carry: jnp.sum(carry[3] > 0) > few, one, start)[1:]


def few_of(number: int) -> int:
    """Number of crosspoints, out of the given total, below which gathering them pays."""
    return number // 16 if number >= _LARGE else 0


def _places(chosen: Array, number: int) -> Array:
    """Indices of the first `number` of the `chosen` `[N]`, filled up with `N` if there are fewer.

    Counted in words of 32, then within the word, because a running sum over everything is slow on a CPU.
    """
    words = pack(jnp.pad(chosen, (0, -chosen.size % 32))[:, None])[:, 0]
    count = lax.population_count(words).astype(jnp.int32)
    ends, wanted = jnp.cumsum(count), jnp.arange(number)
    word = jnp.searchsorted(ends, wanted, side="right")
    own = words.at[word].get(mode="clip")
    before = wanted - (ends - count).at[word].get(mode="clip")  # how many of that word come first
    place = jnp.zeros_like(wanted)
    for half in (16, 8, 4, 2, 1):
        below = lax.population_count(own & ((jnp.uint32(1) << (place + half).astype(jnp.uint32)) - 1))
        place = jnp.where(below.astype(jnp.int32) <= before, place + half, place)
    return jnp.where(word < words.size, 32 * word + place, chosen.size)


def width(cells: Cells) -> Array:
    """`b_max - b_min` `[O, I]` [w]; 1 where it vanishes: such a device is stuck."""
    r = cells["max_bound"] - cells["min_bound"]
    return jnp.where(r > 0, r, jnp.ones_like(r))


_LARGE = 1 << 15  # crosspoints from which on the last few are picked out
LARGEST = 60.0  # e^60 is beyond every bound: clipping ends what grows so far, and inf would become NaN
