"""Drift of weights that are left alone, and what hardware-aware training does to them."""

import dataclasses

from analogjax.physics import Drift
from compat.aihwkit.simulator.parameters.enums import WeightClipType, WeightModifierType, WeightRemapType
from compat.parameters import NATIVE, View, parameters


@parameters(native=Drift)
class SimpleDriftParameter(View):
    """Power law with one exponent."""

    nu: float = NATIVE
    t_0: float = NATIVE
    reset_tol: float = NATIVE


@parameters(native=Drift)
class DriftParameter(SimpleDriftParameter):
    """Power law with spread, noise and conductance dependence; see `analogjax.physics.Drift`."""

    nu_dtod: float = NATIVE
    nu_std: float = NATIVE
    wg_ratio: float = NATIVE
    g_offset: float = NATIVE
    w_offset: float = NATIVE
    nu_k: float = NATIVE
    log_g0: float = NATIVE
    w_noise_std: float = NATIVE


_COEFFICIENTS = [0.0105392, 0.0768, -0.046925]


@parameters()
class WeightModifierParameter(View):
    """How weights are disturbed in each training batch; kept, and not simulated."""

    std_dev: float = 0.0
    per_batch_sample: bool = False
    res: float = 0.0
    sto_round: bool = False
    dorefa_clip: float = 0.6
    pdrop: float = 0.0
    enable_during_test: bool = False
    rel_to_actual_wmax: bool = True
    assumed_wmax: float = 1.0
    copy_last_column: bool = False
    coeffs: list[float] = dataclasses.field(
        default_factory=lambda: [*_COEFFICIENTS], metadata={"hide_if": _COEFFICIENTS}
    )
    type: WeightModifierType = dataclasses.field(default=WeightModifierType.NONE, metadata={"always_show": True})
    g_max: float = 25.0
    pcm_zero_thres: float = 0.0
    pcm_t_inference: float = 0.0
    pcm_prob_at_reset: float = 0.0
    pcm_prob_at_gmax: float = 0.0
    pcm_prob_at_random: float = 0.0
    pcm_t0: float = 20.0


@parameters()
class WeightClipParameter(View):
    """How weights are clipped after each training batch; kept, and not simulated."""

    fixed_value: float = -1.0
    sigma: float = 2.5
    type: WeightClipType = dataclasses.field(default=WeightClipType.NONE, metadata={"always_show": True})


@parameters()
class WeightRemapParameter(View):
    """How weights are rescaled after each training batch; kept, and not simulated."""

    remapped_wmax: float = 1.0
    max_scale_range: float = 0.0
    max_scale_ref: float = 0.0
    type: WeightRemapType = dataclasses.field(default=WeightRemapType.NONE, metadata={"always_show": True})
