r"""A crossbar simulated in time: inputs are pulse lengths, and the voltage drop along the wires changes as pulses end.

Every weight is a pair of devices `g+, g-` of `g_converter` [uS]. While the pulse of an input lasts, the larger one of
its two voltages is on one device, the smaller one on the other; afterwards both are at rest:

    x > t:  0.6 V on g+, 0.2 V on g-        x < -t:  the reverse        else:  0.4 V on both        (t in [0, t_max])

A column is divided into `segments` parts, each a source `V_s = sum g v / G_s` behind `1 / G_s`, `G_s = sum g`, with
wires of `r_w = ir_drop wire_resistance rows_per_segment` between them. From the far end to the ADC:

    v, r = V_0, 1 / G_0;    r_1 = r + r_w,  r_2 = 1 / G_s,  r = r_1 r_2 / (r_1 + r_2),  v = (v / r_1 + V_s / r_2) r
    I(t) = (v - v_read) / (r + r_w / 2)        Q = trapezoids of I over T points, the first one taken twice
    y    = trunc(Q adc_frequency / 100) 100 / adc_frequency / (0.2 ratio bound / (2 res))      (bound, res of the DAC)

Even columns end at the ADC beyond the last row, odd ones at that beyond the first. Padding to `phys_input_size` rows
is symmetric and holds nothing.

Each device conducts at all times, so `r` is constant and `I` is linear in the set of active pulses. The integral over
time is therefore one product with an effective matrix, at the cost of an ordinary one, for any number of points and
segments.

Circuit and numbers are those of aihwkit 1.2.0; reference: Le Gallo et al. 2023, doi:10.1063/5.0168089.
Letters: `B` batch, `O` rows (outputs, the columns of the circuit), `I` inputs, `P` physical inputs, `S` segments.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._field_docs import document_fields
from analogjax._pytree import is_off, is_static, pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.errors import ShapeError
from analogjax.physics.checks import as_choice, check, check_flags, check_number, is_whole
from analogjax.physics.crossbar import Conversions, Frozen, MVType, product
from analogjax.physics.dac import DAC
from analogjax.physics.inference.converters import Converter, SinglePair
from analogjax.random import normal

_REST, _SWING = 0.4, 0.2  # voltage of an idle device, and what a pulse adds to one and takes from the other [V]
_LEAK = 1e-12  # of a segment that holds nothing [uS]
_GAIN = 100.0  # charge of one ADC period per unit of adc_frequency
# std of PCM read noise over log10 of the mean pulse length in steps, highest power first: share of g [1], constant [uS]
_PER_G = (2.1926e-4, -1.87352e-3, 6.55714e-3, -1.46159e-2, 2.578764e-2)
_CONSTANT = (1.11906167e-3, -9.08576764e-3, 3.07015063e-2, -6.77079241e-2, 1.17763144e-1)
_KNOWN = (MVType.ONE_PASS, MVType.SPLIT_MODE, MVType.BIT_WISE)
_ON_GRID = 1e-3  # a pulse that ends this close to a point of time, in steps, ends there: rounding decides nothing


@document_fields
class Pass(NamedTuple):
    """One of the products that make up a read."""

    x: Array
    """Pulses of the inputs `[B, I]`."""
    points: int
    """Times at which the pulses change."""
    t_max: float
    """Last of those times."""
    factor: int
    """Factor of the result of this pass in the sum."""


@pytree
class TimedCrossbar:
    """Crossbar that is simulated in time. With `ir_drop=0`, as in training, its product is exact.

    Parameters that determine shapes (passes, segments, sizes, points of time, the resolution of the DAC) must be plain
    numbers.

    Raises:
        ConfigError: If a value is unknown, out of range, or not a plain number where it must be.
    """

    mv_type: MVType = MVType.ONE_PASS
    """'OnePass', 'SplitMode' (low and high bits one after the other) or 'BitWise' (bit by bit). Each pass has its own
    conversion; the resolution of the DAC must then be 1 / (2^n - 2), or 2^n - 2.
    """
    ir_drop: Scalar = 1.0
    """Scale of the wire resistance; the plain number 0 switches the circuit off [1]."""
    wire_resistance: Scalar = 0.15
    """Of one row [Ohm]."""
    segments: int = 8
    """Parts of a column; must divide phys_input_size."""
    time_resolution: float = 1.0
    """Multiplies the number of points of time [1]."""
    v_read: Scalar = 0.4005
    """Voltage of the ADC [V]."""
    split_mode_bit_shift: int = 3
    """Number of low bits of 'SplitMode'."""
    pcm_read_noise: bool = False
    """Whether there is read noise of PCM that depends on the length of the pulses."""
    pcm_read_noise_scale: Scalar = 1.0
    """Scale of that noise [1]."""
    adc_quantization: bool = True
    """Whether the ADC counts whole ticks only."""
    adc_frequency: Scalar = 6.24
    """Of these ticks [GHz]."""
    integration_sum: bool = False
    """A plain sum over time instead of trapezoids."""
    phys_input_size: int = 512
    """Rows of the chip; no layer on it may have more inputs."""
    g_converter: Converter = SinglePair()
    """From weights to the conductances of the pairs."""

    def __post_init__(self) -> None:
        as_choice(self, "mv_type", MVType)
        check_flags(self)
        remedy = "this circuit knows " + ", ".join(repr(kind.value) for kind in _KNOWN) + "."
        check(self, self.mv_type in _KNOWN, "mv_type", remedy)
        check_number(self, "ir_drop", "wire_resistance", "pcm_read_noise_scale", low=0)
        check_number(self, "v_read", "adc_frequency", "time_resolution")
        for name in ("segments", "phys_input_size"):
            check(self, is_whole(getattr(self, name), 1), name, "needs a whole number above 0.")
        fits = self.phys_input_size % self.segments == 0
        check(self, fits, "segments", f"must divide phys_input_size={self.phys_input_size!r}.")
        good = _of_pairs(self.g_converter)
        check(
            self, good, "g_converter", "the circuit is made of pairs that hold any weight; give a converter of pairs."
        )
        good = not is_static(self.adc_frequency) or bool(self.adc_frequency > 0)
        check(self, good, "adc_frequency", "needs a frequency above 0 [GHz]; adc_quantization=False switches it off.")

    @property
    def series_loss(self) -> Scalar:
        """Always 0 in this circuit."""
        return 0.0

    def check(self, dac: DAC) -> None:
        """Raise `ConfigError` if pulse lengths can't be counted in steps of this converter."""
        good = is_static(dac.res) and bool(dac.res > 0)
        check(dac, good, "res", "pulses are counted in steps of the DAC: needs a plain number above 0.")
        good = is_static(self.time_resolution) and self._points(dac) >= 1
        check(self, good, "time_resolution", "needs a plain number that leaves a point of time.")
        if self.mv_type is MVType.ONE_PASS:
            return
        levels = round(1 / _res(dac)) + 2
        good = levels & (levels - 1) == 0 and abs(1 / _res(dac) + 2 - levels) < _ON_GRID
        check(dac, good, "res", "pulses in bits need 1 / (2^n - 2), such as 1 / 254.")
        shift = self.split_mode_bit_shift
        good = is_whole(shift, 1, levels.bit_length() - 2)
        check(self, good, "split_mode_bit_shift", f"needs a whole number from 1 to {levels.bit_length() - 2}.")

    def fabricate(self, outputs: int, inputs: int | None, dtype: DType, key: Key) -> Frozen:
        """Return no constants: only the weights differ from chip to chip."""
        return {}

    def columns(self, dac: DAC, w: Array, u: Array, frozen: Frozen, key: Key) -> Conversions:
        """Counts of the ADCs in each pass for DAC outputs `u` `[B, I]`, as parts of the product. Consumes `key`."""
        passes = self._passes(dac, u)
        return [(one.factor, self._product(dac, w, one, jax.random.fold_in(key, n))) for n, one in enumerate(passes)]

    def _points(self, dac: DAC) -> int:
        return int((_levels(dac) + 2) / 2 * self.time_resolution + _ON_GRID)

    def _passes(self, dac: DAC, u: Array) -> list[Pass]:
        """The passes applied one after the other for DAC outputs `u` `[B, I]`."""
        step, scale = 2 * _res(dac), self.time_resolution
        if self.mv_type is MVType.ONE_PASS:
            return [Pass(u, self._points(dac), 1.0, 1)]
        k = u / step
        # rounding has no slope: the gradient of a product that is differentiated passes through it
        k = k + lax.stop_gradient(jnp.where(jnp.abs(k - jnp.round(k)) < _ON_GRID, jnp.round(k), k) - k)
        if self.mv_type is MVType.SPLIT_MODE:
            shift = self.split_mode_bit_shift
            low, high = 2**shift, (round(_levels(dac)) + 2) >> (shift + 1)
            parts = ((jnp.fmod(k, low), low, 1), (jnp.sign(k) * jnp.floor(jnp.abs(k) / low), high, low))
            return [Pass(x * step, int(n * scale + _ON_GRID), step * (n - 1), factor) for x, n, factor in parts]
        bits = []
        for bit in range((round(1 / _res(dac)) + 2).bit_length() - 2):
            bits.append(Pass(jnp.fmod(k, 2) * step, 2, step, 2**bit))
            k = jnp.sign(k) * jnp.floor(jnp.abs(k) / 2)
        return bits

    def _product(self, dac: DAC, w: Array, one: Pass, key: Key) -> Array:
        """Counts of the ADCs `[B, O]` in one pass, in units of the exact product. Consumes `key`."""
        if is_off(self.ir_drop):
            return product(w, one.x)
        before = (self.phys_input_size - w.shape[1]) // 2
        after = self.phys_input_size - w.shape[1] - before
        if before < 0:
            raise ShapeError(
                f"TimedCrossbar: {w.shape[1]} inputs on phys_input_size={self.phys_input_size} rows; add rows."
            )
        g, ratio = self.g_converter.conductances(jnp.pad(w, ((0, 0), (before, after))))
        g = self._noisy(dac, g, one.x, key) if self.pcm_read_noise else g
        time, whole = self._time_on(one)
        time = jnp.pad(time, ((0, 0), (before, after)))
        total = jnp.zeros((), w.dtype)
        for n in range(len(_significance(self.g_converter))):
            seen, offset = self._effective(g[2 * n], g[2 * n + 1])
            total = total + _significance(self.g_converter)[n] * self._counted(product(seen, time) + whole * offset)
        y = total / ratio / _SWING / (dac.bound / _res(dac) / 2)
        return y if is_static(self.ir_drop) else jnp.where(self.ir_drop > 0, y, product(w, one.x))

    def _time_on(self, one: Pass) -> tuple[Array, float]:
        """Signed duration of each pulse `[B, I]`, in weights of the time integration; and the total time."""
        points = one.points
        gap = one.t_max / max(points - 1, 1)
        on = jnp.clip(jnp.ceil(jnp.abs(one.x) / gap - _ON_GRID), 0, points) if points > 1 else jnp.abs(one.x) > 0
        on = on.astype(one.x.dtype)
        if not self.integration_sum:  # the first point counts 3/2, the last one 1/2
            on = on + 0.5 * (on > 0) - 0.5 * (on == points)
        return jnp.sign(one.x) * on, float(points)

    def _effective(self, plus: Array, minus: Array) -> tuple[Array, Array]:
        """Currents at the ADCs: per pulse that is on `[O, P]`, and at rest `[O]` [uA], for conductances `[O, P]`."""
        odd = (jnp.arange(plus.shape[0]) % 2 == 1)[:, None]
        difference, total = (jnp.where(odd, g[:, ::-1], g) for g in (plus - minus, plus + minus))
        shape = (plus.shape[0], self.segments, -1)
        conductance = total.reshape(shape).sum(-1) + _LEAK
        share = self._shares(conductance, self.phys_input_size // self.segments)
        at_rest = (_REST - self.v_read) - _REST * _LEAK / conductance
        per_pulse = _SWING * difference.reshape(shape) * (share / conductance)[..., None]
        per_pulse = per_pulse.reshape(plus.shape)
        return jnp.where(odd, per_pulse[:, ::-1], per_pulse), jnp.sum(share * at_rest, -1)

    def _shares(self, conductance: Array, rows: int) -> Array:
        """Current at the ADC per volt in each segment `[O, S]` [uS], collapsing the column from its far end."""
        wire = 1e-6 * self.ir_drop * self.wire_resistance * rows  # [MOhm]
        own = 1 / conductance.T  # [S, O]

        def join(r: Array, r_2: Array) -> tuple[Array, tuple[Array, Array]]:
            r_1 = r + wire
            r = r_1 * r_2 / (r_1 + r_2)
            return r, (r / r_1, r / r_2)

        r, (kept, taken) = lax.scan(join, own[0], own[1:])
        ones = jnp.ones_like(own[:1])
        kept = jnp.cumprod(jnp.concatenate([ones, kept[::-1]]), 0)[::-1]  # what the later segments leave of each
        return (jnp.concatenate([ones, taken]) * kept / (r + wire / 2)).T

    def _counted(self, charge: Array) -> Array:
        if not self.adc_quantization:
            return charge
        tick = _GAIN / self.adc_frequency
        return jnp.trunc(charge / tick) * tick

    def _noisy(self, dac: DAC, g: Array, x: Array, key: Key) -> Array:
        """Conductances `[slices, O, P]` of one read; noise falls with the mean length of the pulses `x` `[B, I]`."""
        z = jnp.log10(jnp.maximum(jnp.mean(jnp.abs(x)) / (2 * _res(dac)), _ON_GRID))
        signed, common = g[::2] - g[1::2], jnp.minimum(g[::2], g[1::2])
        size = jnp.abs(signed)
        spread = jnp.polyval(jnp.asarray(_PER_G, g.dtype), z) * size + jnp.polyval(jnp.asarray(_CONSTANT, g.dtype), z)
        noise = self.pcm_read_noise_scale * spread * normal(key, size.shape, g.dtype)
        signed = jnp.sign(signed) * (size + noise)
        pairs = jnp.stack([common + jnp.maximum(signed, 0.0), common + jnp.maximum(-signed, 0.0)], 1)
        return pairs.reshape(g.shape)


def _significance(converter: Converter) -> tuple[float, ...] | Array:
    """Weight of each pair of a converter in the sum."""
    return getattr(converter, "f_lst", (1.0,))  # converters of several pairs have one for each


def _of_pairs(converter: Converter) -> bool:
    """Whether a converter gives pairs of conductances, and a plain ratio that leads back, and does not round."""
    if not hasattr(converter, "conductances") or getattr(converter, "rounds", False):
        return False
    g, back = jax.eval_shape(converter.conductances, jax.ShapeDtypeStruct((2, 3), "float32"))
    return g.shape == (2 * len(_significance(converter)), 2, 3) and getattr(back, "shape", None) == ()


def _res(dac: DAC) -> float:
    """Step of the DAC relative to its full range."""
    return 1 / float(dac.res) if dac.res > 1 else float(dac.res)


def _levels(dac: DAC) -> float:
    return float(dac.bound) / _res(dac) if is_static(dac.bound) else 1 / _res(dac)
