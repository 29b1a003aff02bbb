r"""Common part of all pulsed devices: device-to-device variation, decay, drift and reset, and the response to an
update.

Population (`xi` independent for each crosspoint and line):

    b_max = w_max (1 + w_max_dtod xi),   b_min = w_min (1 + w_min_dtod xi)
    G     = 1 + dw_min_dtod xi   or   exp(dw_min_dtod xi),       r = up_down_dtod xi
    s_up  = dw_min (G + min(up_down, 0) + r),   s_dn = dw_min (G - max(up_down, 0) - r)

so a positive `up_down` lowers the down step and a negative one lowers the up step. `enforce_consistency` makes steps
positive and orders and signs the bounds. A corrupt device is stuck at a random value. `perfect_bias` idealises the last
column. Write noise: the persistent weight moves, and what a read sees is `w = p + write_noise_std dw_min xi`, redrawn
for each device that is pulsed, and for all devices whenever they decay, diffuse, drift or are reset.

Counted evaluation applies the pulses of a whole batch at once, in no particular order; each device documents the error,
which is largest for weights at a bound. Small arrays (at most 32 samples and 4096 samples times crosspoints) take their
samples one after the other. Devices with few states or much noise are not counted, but receive their pulses one by one,
as all devices do with `Pulses(sequential=True)`; see `devices/coarse.py`.

Letters: `O` rows, `I` columns. Units: [w] weight, [1] relative, [batch] mini-batches.
Reference: Gokmen & Vlasov 2016, doi:10.3389/fnins.2016.00333; Rasch et al. 2021, doi:10.1109/AICAS51828.2021.9458494.
"""

from abc import abstractmethod
from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._pytree import is_off, pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.physics.checks import check_flags, check_number
from analogjax.physics.counting import coincidences, coincidences_of, each_pulse
from analogjax.physics.device import Cells, State
from analogjax.physics.devices.coarse import SPAN, answer, is_coarse, numbers_for
from analogjax.physics.drift import Drift
from analogjax.physics.pulses import Pulses, PulseType, outer_product
from analogjax.physics.trains import Trains, trains
from analogjax.random import bernoulli, normal, uniform


@pytree
class Pulsed:
    """Common fields and methods of all pulsed devices. Abstract: a device adds `pulse` and `pulses`."""

    dw_min: Scalar = 0.001
    """Mean step of one pulse at w = 0 [w]."""
    dw_min_dtod: Scalar = 0.3
    """Device-to-device variation of the step, relative to `dw_min` [1]."""
    dw_min_dtod_log_normal: bool = False
    """Draw that variation from a log-normal distribution; the mean step is then dw_min exp(dtod^2 / 2)."""
    dw_min_std: Scalar = 0.3
    """Cycle-to-cycle variation of the step of each pulse, relative to it [1]."""
    up_down: Scalar = 0.0
    """Imbalance of up and down steps: above 0 the down step is smaller, below 0 the up step [1]."""
    up_down_dtod: Scalar = 0.01
    """Device-to-device variation of the imbalance, absolute [1]."""
    w_max: Scalar = 0.6
    """Mean upper bound [w]."""
    w_max_dtod: Scalar = 0.3
    """Device-to-device variation of the upper bound, relative [1]."""
    w_min: Scalar = -0.6
    """Mean lower bound [w]."""
    w_min_dtod: Scalar = 0.3
    """Device-to-device variation of the lower bound, relative [1]."""
    enforce_consistency: bool = True
    """Make all steps positive, and upper bounds positive and lower ones negative."""
    perfect_bias: bool = False
    """Make the devices of the last column ideal."""
    corrupt_devices_prob: Scalar = 0.0
    """Probability that a device is stuck [1]."""
    corrupt_devices_range: Scalar = 0.1
    """Largest magnitude at which a device is stuck [w]."""
    diffusion: Scalar = 0.0
    """Standard deviation of the random walk in one mini-batch [w]."""
    diffusion_dtod: Scalar = 0.0
    """Device-to-device variation of the diffusion, relative [1]."""
    lifetime: Scalar = 0.0
    """Time constant of the decay [mini-batches]; 0: no decay."""
    lifetime_dtod: Scalar = 0.0
    """Device-to-device variation of the lifetime, relative [1]."""
    reset: Scalar = 0.0
    """Mean weight that devices are reset to, and decay to [w]."""
    reset_dtod: Scalar = 0.0
    """Device-to-device variation of that weight, absolute [w]."""
    reset_std: Scalar = 0.01
    """Cycle-to-cycle variation of a reset, absolute [w]."""
    drift: Drift | None = None
    """Power-law drift, applied when `age` is called; None: no drift."""

    def __post_init__(self) -> None:
        check_flags(self)
        check_number(self, "dw_min", low=1e-30)
        check_number(self, "dw_min_std", "diffusion", "lifetime", "reset_std", "corrupt_devices_range", low=0)
        check_number(self, "dw_min_dtod", "up_down", "up_down_dtod", "w_max_dtod", "w_min_dtod", "diffusion_dtod")
        check_number(self, "lifetime_dtod", "reset", "reset_dtod")
        check_number(self, "corrupt_devices_prob", low=0, high=1)
        check_number(self, "w_max", low=0)
        check_number(self, "w_min", high=0)

    @property
    def granularity(self) -> Scalar:
        return self.dw_min

    @property
    def needs_rest(self) -> bool:
        return not (is_off(self.diffusion) and is_off(self.lifetime))

    @property
    def write_noise(self) -> Scalar:
        """Standard deviation of the apparent weight around the persistent one [w]; 0: no write noise."""
        strength = getattr(self, "write_noise_std", 0.0)
        return 0.0 if is_off(strength) else strength * self.dw_min

    def coarse(self, one_way: bool = False) -> bool | Array:
        """Whether pulses move the device so far that they must be applied one by one; see `devices/coarse.py`.

        `one_way`: for pulses that all have one direction.
        """
        return is_coarse(self, SPAN, numbers_for(self).maximum(self.largest_step / 2, 1.0), self.dw_min_std)

    @property
    def largest_step(self) -> Scalar:
        """Largest mean step between the bounds, relative to `dw_min` [1]; devices override it."""
        return 1.0

    @abstractmethod
    def pulse(self, cells: Cells, state: State, sign: Array, key: Key) -> State:
        """One pulse per crosspoint: `sign` `[O, I]` is +1 (UP), -1 (DOWN) or 0. Consumes `key`."""

    @abstractmethod
    def pulses(self, cells: Cells, state: State, up: Array, down: Array, key: Key) -> State:
        """`up` and `down` pulses (`[O, I]` int32) at once. Consumes `key`."""

    def fabricate(self, shape: tuple[int, int], dtype: DType, key: Key) -> Cells:
        k_spread, k_corrupt, k_rest, k_drift, k_own = jax.random.split(key, 5)
        # one draw for all four constants compiles to one kernel
        xi = normal(k_spread, (4, *shape), dtype)
        cells = self._bounds(xi[0], xi[1]) | self._steps(xi[2], xi[3])
        if self.enforce_consistency:
            cells = _consistent(cells)
        else:
            cells = _uncrossed(cells)
        if not is_off(self.corrupt_devices_prob):
            cells = self._corrupt(cells, k_corrupt)
        if self.perfect_bias:
            cells = self._perfect_last_column(cells)
        cells |= self._resting(shape, dtype, k_rest)
        if self.drift is not None:
            cells["drift_nu"] = self.drift.exponents(shape, dtype, k_drift)
        return self.specialise(cells, k_own)

    def specialise(self, cells: Cells, key: Key) -> Cells:
        """Add the constants specific to this device. Consumes `key`."""
        return cells

    def write(self, cells: Cells, w: Array, key: Key) -> State:
        w = jnp.clip(w, cells["min_bound"], cells["max_bound"])
        memory = None if self.drift is None else self.drift.begin(w)
        if is_off(self.write_noise):
            return State(w=w, drift=memory)
        state = State(w=w, persistent=w, drift=memory)
        return self.seen(state, w, key) if getattr(self, "apply_write_noise_on_set", True) else state

    def update(self, p: Pulses, cells: Cells, state: State, x: Array, d: Array, lr: Scalar, key: Key) -> State:
        k_trains, k_pulses = jax.random.split(key)
        if p.pulse_type.pulsed:
            k_draw, k_noise = jax.random.split(k_pulses)
            return self.respond(p, cells, state, trains(p, x, d, lr, self.granularity, k_trains), k_draw, k_noise)
        if p.pulse_type is PulseType.NONE_WITH_DEVICE:
            return self.seen(state, _within_bounds(cells, hidden(state), x, d, lr), k_pulses)
        return self.seen(state, hidden(state) - outer_product(x, d, lr), k_pulses)

    def respond(self, p: Pulses, cells: Cells, state: State, trains: Trains, k_draw: Key, k_noise: Key) -> State:
        return answer(p.sequential or self.coarse(), self, p, cells, state, trains, k_draw, k_noise)

    def exactly(
        self, cells: Cells, state: State, trains: Trains, k_draw: Key, k_noise: Key, most: int | None = None
    ) -> State:
        """Respond to each pulse in order; `most` as in `each_pulse`. Consumes both keys."""
        return each_pulse(trains, k_draw, lambda s, sign, k: self.pulse(cells, s, sign, k), state, k_noise, most)

    def counted(self, cells: Cells, state: State, trains: Trains, k_draw: Key, k_noise: Key) -> State:
        """Respond to all pulses of a batch at once, or sample by sample where that costs little. Consumes both keys."""
        batch = trains.length.size
        if batch == 1 or batch > _FEW or batch * state.w.size > _SMALL:
            return self.pulses(cells, state, *coincidences(trains, k_draw), k_noise)

        def one(state: State, sample: Array) -> tuple[State, None]:
            up, down = coincidences_of(trains, sample, k_draw)
            return self.pulses(cells, state, up, down, jax.random.fold_in(k_noise, sample)), None

        return lax.scan(one, state, jnp.arange(batch))[0]

    def seen(self, state: State, new: Array, key: Key, touched: Array | bool = True) -> State:
        """The state with the persistent weight `new` `[O, I]`; write noise is redrawn where `touched`."""
        if state.persistent is None:
            return replace(state, w=new)
        apparent = new + self.write_noise * normal(key, new.shape, new.dtype)
        return replace(state, persistent=new, w=jnp.where(touched, apparent, state.w))

    def rest(self, cells: Cells, state: State, key: Key, alpha: Scalar = 1.0) -> State:
        k_walk, k_seen = jax.random.split(key)
        if not self.needs_rest:
            return state
        w = hidden(state)
        if not is_off(self.diffusion):
            w = clipped(cells, w + cells["diffusion_rates"] * normal(k_walk, w.shape, w.dtype))
        if not is_off(self.lifetime):
            target = cells.get("reset_bias", 0.0)
            w = clipped(cells, (w - target) * (1 + alpha * (cells["decay_scales"] - 1)) + target)
        return self.seen(state, w, k_seen)

    def reset_cells(self, cells: Cells, state: State, chosen: Array, key: Key) -> State:
        k_reset, k_seen = jax.random.split(key)
        w = hidden(state)
        fresh = cells.get("reset_bias", 0.0) + self.reset_std * normal(k_reset, w.shape, w.dtype)
        return self.seen(state, clipped(cells, jnp.where(chosen, fresh, w)), k_seen)

    def age(self, cells: Cells, state: State, dt: Scalar, key: Key) -> State:
        if self.drift is None:
            return state
        k_drift, k_seen = jax.random.split(key)
        w, memory = self.drift.apply(cells["drift_nu"], hidden(state), state.drift, dt, k_drift)
        memory = replace(memory, last=clipped(cells, memory.last))
        return replace(self.seen(state, clipped(cells, w), k_seen), drift=memory)

    def _bounds(self, xi_max: Array, xi_min: Array) -> Cells:
        return {
            "max_bound": self.w_max * (1 + self.w_max_dtod * xi_max),
            "min_bound": self.w_min * (1 + self.w_min_dtod * xi_min),
        }

    def _steps(self, xi_gain: Array, xi_split: Array) -> Cells:
        spread, r = self.dw_min_dtod * xi_gain, self.up_down_dtod * xi_split
        gain = jnp.exp(spread) if self.dw_min_dtod_log_normal else 1 + spread
        return {
            "dwmin_up": self.dw_min * (gain + jnp.minimum(self.up_down, 0.0) + r),
            "dwmin_down": self.dw_min * (gain - jnp.maximum(self.up_down, 0.0) - r),
        }

    def _corrupt(self, cells: Cells, key: Key) -> Cells:
        k_which, k_value = jax.random.split(key)
        shape = cells["max_bound"].shape
        stuck = bernoulli(k_which, jnp.asarray(self.corrupt_devices_prob), shape)
        low = jnp.maximum(cells["min_bound"], -self.corrupt_devices_range)
        high = jnp.minimum(cells["max_bound"], self.corrupt_devices_range)
        value = low + (high - low) * uniform(k_value, shape).astype(low.dtype)
        at = {"max_bound": value, "min_bound": value, "dwmin_up": 0.0, "dwmin_down": 0.0}
        return {name: jnp.where(stuck, at[name], cell) for name, cell in cells.items()}

    def _perfect_last_column(self, cells: Cells) -> Cells:
        ideal = {"dwmin_up": self.dw_min, "dwmin_down": self.dw_min}
        ideal |= {"max_bound": 100 * self.w_max, "min_bound": 100 * self.w_min}
        return {name: cell.at[:, -1].set(ideal[name]) for name, cell in cells.items()}

    def _resting(self, shape: tuple[int, int], dtype: DType, key: Key) -> Cells:
        k_walk, k_target, k_life = jax.random.split(key, 3)
        cells: Cells = {}
        if not is_off(self.diffusion):
            cells["diffusion_rates"] = jnp.abs(
                self.diffusion * (1 + self.diffusion_dtod * normal(k_walk, shape, dtype))
            )
        if not (is_off(self.reset) and is_off(self.reset_dtod)):
            cells["reset_bias"] = self.reset + self.reset_dtod * normal(k_target, shape, dtype)
        if not is_off(self.lifetime):
            tau = self.lifetime * (1 + self.lifetime_dtod * normal(k_life, shape, dtype))
            decay = jnp.where(tau > 1, 1 - 1 / jnp.where(tau > 1, tau, 1.0), 0.0)
            cells["decay_scales"] = jnp.where(jnp.asarray(self.lifetime) == 0, 1.0, decay).astype(dtype)
        return cells


_FEW, _SMALL = 32, 4096  # samples, and samples times crosspoints, that are taken one after the other


def hidden(state: State) -> Array:
    """The weight underneath write noise `[O, I]`."""
    return state.w if state.persistent is None else state.persistent


def clipped(cells: Cells, w: Array) -> Array:
    """`w` `[O, I]` within the bounds of its devices."""
    return jnp.clip(w, cells["min_bound"], cells["max_bound"])


def _within_bounds(cells: Cells, w: Array, x: Array, d: Array, lr: Scalar) -> Array:
    """`w` `[O, I]` after the outer product of each sample, clipped to the bounds each time."""

    def one(wide: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
        x, d = pair
        return clipped(cells, wide - lr * d[:, None] * x[None, :]).astype(wide.dtype), None

    wide = w.astype(jnp.promote_types(w.dtype, jnp.float32))
    return lax.scan(one, wide, (x, d))[0].astype(w.dtype)


def _consistent(cells: Cells) -> Cells:
    high = jnp.maximum(cells["max_bound"], cells["min_bound"])
    low = jnp.minimum(cells["max_bound"], cells["min_bound"])
    return {
        "max_bound": jnp.abs(high),
        "min_bound": -jnp.abs(low),
        "dwmin_up": jnp.abs(cells["dwmin_up"]),
        "dwmin_down": jnp.abs(cells["dwmin_down"]),
    }


def _uncrossed(cells: Cells) -> Cells:
    """Replace crossed bounds by their midpoint."""
    crossed = cells["max_bound"] < cells["min_bound"]
    middle = (cells["max_bound"] + cells["min_bound"]) / 2
    return cells | {name: jnp.where(crossed, middle, cells[name]) for name in ("max_bound", "min_bound")}
