"""Converters and noise around a crossbar."""

from analogjax.physics import Periphery
from compat.aihwkit.simulator.parameters.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    WeightNoiseType,
)
from compat.parameters import NATIVE, View, parameters


@parameters(native=Periphery)
class IOParameters(View):
    """Input and output of one direction; see `analogjax.physics.Periphery` for what each field does."""

    is_perfect: bool = NATIVE
    mv_type: AnalogMVType = AnalogMVType.ONE_PASS
    inp_bound: float = NATIVE
    inp_noise: float = NATIVE
    inp_res: float = NATIVE
    inp_sto_round: bool = NATIVE
    inp_asymmetry: float = NATIVE
    out_bound: float = NATIVE
    out_noise: float = NATIVE
    out_noise_std: float = NATIVE
    out_res: float = NATIVE
    out_sto_round: bool = NATIVE
    out_scale: float = NATIVE
    out_asymmetry: float = NATIVE
    bound_management: BoundManagementType = NATIVE
    noise_management: NoiseManagementType = NATIVE
    w_noise: float = NATIVE
    w_noise_type: WeightNoiseType = NATIVE
    ir_drop: float = 0.0
    ir_drop_g_ratio: float = 1.0 / 0.35 / 5e-6
    out_nonlinearity: float = 0.0
    out_nonlinearity_std: float = 0.0
    slope_calibration: float = 0.0
    v_offset_std: float = 0.0
    v_offset_w_min: float = -1.0
    r_series: float = 0.0
    w_read_asymmetry_dtod: float = 0.0
    max_bm_factor: int = NATIVE
    max_bm_res: float = NATIVE
    bm_test_negative_bound: bool = NATIVE
    nm_thres: float = NATIVE
