r"""Phase change memory of the HERMES chip, with one or two devices for each conductance.

With `h = g / g_max`, for each conductance (see `power_law` for how they enter), `P` the polynomials of the table below:

    s  = prog_noise_scale (g_max / g_ref) P_s(h)                                               [uS]
    nu : mean  clip(-0.0387 ln h - 0.0182, 0.072, 0.13) below h = 0.0945, else P_nu(h)
         std   clip(-a ln h - b, low, high) below h_0, else P_sigma(h)
    q  = read_noise_scale |g_d|  (clip(-a' ln h_p - b', low', high') below h_1, else P_q(h_p)) [uS]

Two devices are programmed more exactly and drift less unevenly; they are treated as if they held the same conductance.
References: Le Gallo et al. 2023, doi:10.1038/s41928-023-01010-1; Khaddam-Aljameh et al. 2022,
doi:10.1109/JSSC.2022.3140414 (the chip); Nandakumar et al. 2019, doi:10.1109/ICECS46596.2019.8964852 (the method).
"""

from typing import NamedTuple

import jax.numpy as jnp

from analogjax._pytree import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax.physics.checks import check
from analogjax.physics.inference.converters import Converter
from analogjax.physics.inference.converters.single_pair import converter_for
from analogjax.physics.inference.material import Material
from analogjax.physics.inference.power_law import (
    check_law,
    check_reference,
    draw_exponents,
    drifted,
    flicker,
    polynomial,
    seen,
    written,
)  # fmt: skip

_LEAST = 1e-7  # of h, before its logarithm


class _Branches(NamedTuple):
    """`clip(slope ln h + offset, low, high)` below `h = edge`, else a polynomial in `h`."""

    edge: float
    slope: float
    offset: float
    low: float
    high: float
    coefficients: tuple[float, ...]

    def at(self, h: Array) -> Array:
        low = jnp.clip(self.slope * jnp.log(jnp.maximum(h, _LEAST)) + self.offset, self.low, self.high)
        return jnp.where(h < self.edge, low, polynomial(self.coefficients, h))


class _Cell(NamedTuple):
    """What was measured for one kind of cell."""

    g_max: float
    t_0: float
    prog: tuple[float, ...]
    nu_std: _Branches
    read: _Branches


_NU_MEAN = _Branches(0.0945, -0.0387, -0.0182, 0.072, 0.13, (0.0736, -0.0126, -0.0436))
_CELLS = {
    1: _Cell(
        10.35, 200.0, (0.15781817, 2.32443916, -2.16310839, 0.68841818),
        _Branches(0.3039, -0.0120, -0.0023, 0.0124, 0.04, (0.0104, 0.0116, -0.0165)),
        _Branches(0.1591, -0.0078, 0.0038, 0.0179, 0.04, (0.0088, 0.0768, -0.1352, 0.0664)),
    ),
    2: _Cell(
        20.7, 300.0, (0.16603222, 4.71806468, -8.48101252, 4.68961419),
        _Branches(0.3055, -0.0117, -0.0057, 0.0091, 0.04, (0.0073, 0.0093, -0.0118)),
        _Branches(0.16, -0.0117, -0.0069, 0.015, 0.04, (0.0123, 0.0211, -0.0280, 0.0069)),
    ),
}  # fmt: skip


def g_max_of(num_devices: int) -> float:
    """Largest conductance that cells of one or two devices were measured with [uS]."""
    return _CELLS[num_devices].g_max


def coefficients_of(num_devices: int) -> tuple[float, ...]:
    """Default of `prog_coeff` for cells of one or two devices [uS]."""
    return _CELLS[num_devices].prog


@pytree
class Hermes(Material):
    """Devices of the HERMES chip (aihwkit's `HermesNoiseModel`). Raises `ConfigError` for invalid values."""

    prog_coeff: tuple[float, ...] | Array | None = None
    """Coefficients of the programming noise, a polynomial in h = g / g_max, lowest order first [uS]; None: those of the
    chip."""
    g_converter: Converter | None = None
    """How weights are split over conductances; None: a `SinglePair` of `g_max`."""
    num_devices: int = 2
    """Devices of each conductance, 1 or 2."""
    g_max: Scalar | None = None
    """Conductance at h = 1 [uS], at most what was measured; None: that of the converter, else 10.35 for one device and
    20.7 for two."""
    t_read: Scalar = 512e-9
    """Duration of one read [s]."""
    t_0: Scalar | None = None
    """Time between programming and t = 0 [s]; None: 200 for one device, 300 for two."""
    prog_noise_scale: Scalar = 1.0
    """Factor of the programming noise [1]."""
    read_noise_scale: Scalar = 1.0
    """Factor of the read noise [1]."""
    drift_scale: Scalar = 1.0
    """Factor of the drift exponents [1]."""
    prog_coeff_g_max_reference: Scalar | None = None
    """Largest conductance of the devices `prog_coeff` was measured on [uS]; None: that of the chip for its own, else
    g_max."""
    keeps_conductances: bool = False
    """Whether drift starts from the programmed conductances; False: from those of the programmed weights."""

    def __post_init__(self) -> None:
        known = isinstance(self.num_devices, int) and self.num_devices in _CELLS
        check(self, known, "num_devices", "the chip has 1 or 2 devices for each conductance.")
        most = self._cell.g_max
        good = not isinstance(self.g_max, (int, float)) or self.g_max <= most
        check(self, good, "g_max", f"cells of {self.num_devices} were measured up to {most} uS; give at most this.")
        if self.t_0 is None:
            object.__setattr__(self, "t_0", self._cell.t_0)
        check_law(self)
        check_reference(self, "prog_coeff_g_max_reference")
        _ = self.converter  # raises the error if g_max disagrees

    @property
    def converter(self) -> Converter:  # type: ignore[override]
        """The converter between weights and conductances."""
        return converter_for(self.g_converter, self.g_max, self._cell.g_max)

    @property
    def _cell(self) -> _Cell:
        return _CELLS[self.num_devices]

    def write(self, g: Array, key: Key) -> Array:
        g_max, reference = self.converter.g_max, self.prog_coeff_g_max_reference
        if reference is None:
            reference = self._cell.g_max if self.prog_coeff is None else g_max
        coefficients = self._cell.prog if self.prog_coeff is None else self.prog_coeff
        spread = self.prog_noise_scale * (g_max / reference) * polynomial(coefficients, g / g_max)
        return written(g, spread, key)

    def remember(self, g: Array, key: Key) -> Array:
        h = g / self.converter.g_max
        mean, std = _NU_MEAN.at(h), self._cell.nu_std.at(h)
        return draw_exponents(self.drift_scale * mean, self.drift_scale * std, key)

    def read(self, g: Array, memory: Array, t: Scalar, key: Key) -> Array:
        assert self.t_0 is not None
        now = drifted(g, memory, t, self.t_0)
        q = self._cell.read.at(g / self.converter.g_max)
        return seen(now, self.read_noise_scale * jnp.abs(now) * q * flicker(t + self.t_0, self.t_read), key)
