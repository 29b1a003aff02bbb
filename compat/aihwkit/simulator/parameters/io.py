"""Converters and noise around a crossbar."""

from dataclasses import replace
from typing import ClassVar, TypeVar

from analogjax.physics import Periphery, PeripheryIRDropT, SinglePair
from analogjax.physics.inference.conductance import Converter
from compat.aihwkit.simulator.parameters.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    WeightNoiseType,
)
from compat.parameters import NATIVE, View, build, check_fields, parameters

_Periphery = TypeVar("_Periphery", bound=Periphery)


def as_torch_tile(p: _Periphery) -> _Periphery:
    """A periphery with the habits of aihwkit's torch tile.

    Besides what `torch_semantics` names, these are its own: output noise, where it is spread at all, is spread by 100 %
    whatever `out_noise_std`, and a perfect product has no `out_scale`.
    """
    spread = 1.0 if p.out_noise_std > 0 else 0.0
    return replace(p, torch_semantics=True, out_noise_std=spread, out_scale=1.0 if p.is_perfect else p.out_scale)


@parameters(native=Periphery)
class IOParameters(View):
    """Input and output of one direction; see `analogjax.physics.Periphery` for what each field does."""

    is_perfect: bool = NATIVE
    mv_type: AnalogMVType = NATIVE
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
    ir_drop: float = NATIVE
    ir_drop_g_ratio: float = NATIVE
    out_nonlinearity: float = NATIVE
    out_nonlinearity_std: float = NATIVE
    slope_calibration: float = NATIVE
    v_offset_std: float = NATIVE
    v_offset_w_min: float = NATIVE
    r_series: float = NATIVE
    w_read_asymmetry_dtod: float = NATIVE
    max_bm_factor: int = NATIVE
    max_bm_res: float = NATIVE
    bm_test_negative_bound: bool = NATIVE
    nm_thres: float = NATIVE


@parameters(native=PeripheryIRDropT)
class IOParametersIRDropT(IOParameters):
    """A product in time, with the voltage drop of the wires; see `analogjax.physics.PeripheryIRDropT`."""

    split_mode_bit_shift: ClassVar[int] = 3  # no field in aihwkit either

    ir_drop: float = NATIVE
    ir_drop_rs: float = NATIVE
    ir_drop_segments: int = NATIVE
    ir_drop_time_step_resolution_scale: float = NATIVE
    ir_drop_v_read: float = NATIVE
    apply_xdep_pcm_read_noise: bool = NATIVE
    xdep_pcm_read_noise_scale: float = NATIVE
    adc_quantization: bool = NATIVE
    adc_frequency: float = NATIVE
    ir_drop_integration_sum: bool = NATIVE

    def to_native(self) -> PeripheryIRDropT:
        """The native parameters, with the habits of aihwkit's torch tile, which alone reads them."""
        return self.circuit(PeripheryIRDropT().phys_input_size, SinglePair())

    def circuit(self, rows: int, g_converter: Converter) -> PeripheryIRDropT:
        """`to_native` for a chip with so many rows, whose weights `g_converter` turns into conductances."""
        check_fields(self)
        given = {
            "split_mode_bit_shift": self.split_mode_bit_shift, "phys_input_size": rows, "g_converter": g_converter,
        }  # fmt: skip
        return as_torch_tile(build(self, PeripheryIRDropT, given))
