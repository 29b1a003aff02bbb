r"""The noisy matrix-vector product of a crossbar with its periphery, as pure functions.

One vector `x` `[I]` through the weights `W` `[O, I]`; a batch `[B, I]` is treated vector by vector:

    alpha = noise management of x                  (dynamic input scale; `noise_management`)
    u     = DAC(x / (alpha rho))                   (`dac`)
    v     = columns of W for u                     (wires, offsets, weight noise; `crossbar`, `timed_crossbar`)
    y     = ADC(v) scale alpha rho                 (`adc`)

`rho` is 1, or larger where bound management repeats a read because outputs clipped (`bound_management`).

Products can be differentiated (straight-through in the converters) if each vector is read once. Letters: `B` batch, `O`
rows (outputs), `I` columns (inputs).

Reference: Rasch et al. 2021, doi:10.1109/AICAS51828.2021.9458494; Rasch et al. 2023, doi:10.1038/s41467-023-40770-4.
"""

from dataclasses import replace
from functools import reduce

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from analogjax._pytree import is_off, is_static, pytree
from analogjax._typing import Array, DType, Key
from analogjax.physics.adc import ADC
from analogjax.physics.bound_management import BoundManagement, Product, ReadPolicy
from analogjax.physics.checks import check, check_flags
from analogjax.physics.crossbar import Circuit, Crossbar, Frozen, product
from analogjax.physics.dac import DAC
from analogjax.physics.noise_management import InputScale, Limits, NoiseManagement, worst_case


@pytree
class Periphery:
    """Everything around a crossbar in one direction (forward or backward): DAC, crossbar circuit, ADC and managements.

    Raises:
        ConfigError: If the parts do not fit together.

    Example:
        >>> Periphery(dac=DAC(res=1 / 126), adc=ADC(res=1 / 510, noise=0.1))
        Periphery(adc=ADC(noise=0.1))
    """

    dac: DAC = DAC()
    """The converters at the inputs."""
    crossbar: Circuit = Crossbar()
    """What lies between the converters: a `Crossbar`, or a `TimedCrossbar`, which is read in time."""
    adc: ADC = ADC()
    """The converters at the outputs."""
    noise_management: NoiseManagement | None = NoiseManagement()
    """How inputs are scaled into the range of the DAC; None: not at all."""
    bound_management: ReadPolicy | None = BoundManagement()
    """Which reads are made again where outputs clip; None: each vector is read once."""
    is_perfect: bool = False
    """The exact product times `adc.scale`; everything else is off."""

    def __post_init__(self) -> None:
        self._check_parts()
        check_flags(self)
        managed = self.noise_management is not None
        check(
            self.dac,
            not (managed and is_static(self.dac.bound) and self.dac.bound != 1),
            "bound",
            "noise management scales every input into [-1, 1], so the bound of the DAC must be 1; set it to 1, or set "
            "noise_management=None.",
        )
        self.crossbar.check(self.dac)

    def _check_parts(self) -> None:
        for name, kind in (("dac", DAC), ("adc", ADC), ("crossbar", Circuit)):
            check(self, isinstance(getattr(self, name), kind), name, f"needs a {kind.__name__}.")
        managing: tuple[tuple[str, type, str], ...] = (
            ("noise_management", NoiseManagement, "NoiseManagement(kind='AbsMax')"),
            ("bound_management", ReadPolicy, "BoundManagement()"),
        )
        for name, one, example in managing:
            value = getattr(self, name)
            check(self, value is None or isinstance(value, one), name, f"needs a part such as {example}, or None.")

    @property
    def ignores_silent_inputs(self) -> bool:
        """Whether an input of 0 contributes nothing to any output, so that unread columns need not be computed."""
        return self.is_perfect or (is_off(self.dac.noise) and is_off(self.crossbar.ir_drop))

    @property
    def averages_inputs(self) -> bool:
        """Whether the input scale is a running mean, which the tile has to store."""
        return self.noise_management is not None and self.noise_management.kind is InputScale.AVERAGE_ABS_MAX

    def unmanaged(self) -> "Periphery":
        """The same converters and crossbar without noise and bound management: inputs are read once, unscaled."""
        return replace(self, noise_management=None, bound_management=None)

    def fabricate(self, outputs: int, dtype: DType, key: Key, *, inputs: int | None = None) -> Frozen:
        """Draw the constants of a chip `[outputs, inputs]`, by name. Consumes `key`.

        The ADCs draw from `key` and its child 0, the crossbar from children 1 and 2, so that enabling an effect keeps
        the chip otherwise the same. Raises `ConfigError` if `inputs` is needed and not given.
        """
        if self.is_perfect:
            return {}
        return self.adc.fabricate(outputs, dtype, key) | self.crossbar.fabricate(outputs, inputs, dtype, key)

    def read(self, w: Array, u: Array, frozen: Frozen, key: Key) -> tuple[Array, Array]:
        """One read of scaled inputs `u` `[B, I]`: outputs of the ADC `[B, O]` and which vectors were in range `[B, 1]`.

        Consumes `key`.
        """
        k_inp, k_dac, k_w, k_out, k_adc = jax.random.split(key, 5)
        u = self.dac.convert(u, k_dac, k_inp)
        columns = self.crossbar.columns(self.dac, w, u, frozen, k_w)
        n, loss = len(columns), self.crossbar.series_loss
        noises, roundings = (jax.random.split(k, n) if n > 1 else [k] for k in (k_out, k_adc))
        parts = []
        for (factor, y), k_noise, k_round in zip(columns, noises, roundings, strict=True):
            y, fits = self.adc.convert(y, frozen, k_noise, k_round, loss)
            parts.append((factor * y, fits))
        return reduce(lambda one, other: (one[0] + other[0], one[1] & other[1]), parts)


def mvm(p: Periphery, w: Array, x: Array, frozen: Frozen, key: Key, average: Array | None = None) -> Array:
    """Noisy product `[B, I] -> [B, O]` with `w` `[O, I]`. Consumes `key`.

    `average` is the running input scale before this batch, for 'AverageAbsMax' (0: no vector seen so far).
    """
    if p.is_perfect:
        return product(w, x) * p.adc.scale
    if p.noise_management is None:
        scale = jnp.ones((x.shape[0], 1), x.dtype)
    else:
        scale = p.noise_management.scale(x, _limits(p), average)
    asked = Product(
        once=Partial(_read, p, w, x, frozen), scale=scale, worst_case=Partial(_worst_case, p, x),
        reduction=p.dac.reduction, is_quiet=jnp.asarray(p.dac.noise) <= 0,
        start=jnp.zeros((x.shape[0], w.shape[0]), x.dtype),
    )  # fmt: skip
    y = asked.read_once(key) if p.bound_management is None else p.bound_management.read(asked, key)
    return y * p.adc.scale


def _read(p: Periphery, w: Array, x: Array, frozen: Frozen, scale: Array, key: Key) -> tuple[Array, Array]:
    y, fits = p.read(w, x / scale, frozen, key)
    return y * scale, fits


def _worst_case(p: Periphery, x: Array) -> Array | None:
    if p.noise_management is None:
        return worst_case(x, _limits(p))
    return p.noise_management.worst_case(x, _limits(p))


def _limits(p: Periphery) -> Limits:
    return Limits(p.adc.bound, p.dac.reduction)
