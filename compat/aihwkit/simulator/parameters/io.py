"""Converters and noise around a crossbar."""

import dataclasses
import warnings
from enum import Enum
from typing import Any, ClassVar

from analogjax.errors import ConfigError as NativeConfigError
from analogjax.physics import Crossbar, Periphery, TimedCrossbar
from analogjax.physics.inference.converters import Converter
from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.parameters.enums import (
    AnalogMVType,
    BoundManagementType,
    NoiseManagementType,
    WeightNoiseType,
)
from compat.flat_periphery import flat, names, nested
from compat.parameters import NATIVE, View, check_fields, default_of, parameters, unsupported
from compat.whole_batch import as_torch_tile


@parameters(native=Periphery, defaults=flat(Periphery()))
class IOParameters(View):
    """Input and output of one direction; see the parts of `analogjax.physics.Periphery` for what each field does."""

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

    def to_native(self) -> Periphery:
        """The native parameters. Raises `ConfigError` for a wrong name or type, or something not supported."""
        check_fields(self)
        return self._nested(Crossbar, {})

    def within_one(self) -> "IOParameters":
        """The same for inputs that fill [-1, 1], where it has no bound for them: with that one, and the same steps."""
        if self.inp_bound >= 0.0 or self.noise_management is not NoiseManagementType.ABS_MAX:
            return self
        res = 1.0 / self.inp_res if self.inp_res > 1.0 else self.inp_res
        return dataclasses.replace(self, inp_bound=1.0, inp_res=-res * self.inp_bound if res > 0.0 else res)

    def _unread(self) -> set[str]:
        """Fields with no value that could be used, which say more of what is off: aihwkit never looks at them then."""
        off = {
            "ir_drop_g_ratio": self.ir_drop == 0.0 and self.ir_drop_g_ratio <= 0.0,
            "max_bm_factor": self.bound_management is BoundManagementType.NONE and self.max_bm_factor < 0,
        }
        return {name for name, is_off in off.items() if is_off}

    def _nested(self, circuit: type, given: dict[str, Any]) -> Periphery:
        """The periphery with such a crossbar, of which `given` is more."""
        if self.bound_management is BoundManagementType.SHIFT:
            raise unsupported(self, "bound_management", "this version knows NONE, ITERATIVE, ITERATIVE_WORST_CASE")
        known, values, unread = names(Crossbar) | names(circuit), dict(given), self._unread()
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in unread:
                continue
            if field.name in known:
                values[field.name] = value.value if isinstance(value, Enum) else value
            elif value != default_of(field):
                raise unsupported(self, field.name)
        try:
            return nested(values, circuit)
        except NativeConfigError as error:
            raise ConfigError(f"{type(self).__name__}{error}") from error


@parameters(native=Periphery, defaults=flat(Periphery(crossbar=TimedCrossbar())))
class IOParametersIRDropT(IOParameters):
    """A product in time, with the voltage drop of the wires; see `analogjax.physics.TimedCrossbar`."""

    _tolerant = True

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

    def to_native(self) -> Periphery:
        """The native parameters of all but the torch tiles for these wires: those of `IOParameters`."""
        check_fields(self)
        shared = {field.name for field in dataclasses.fields(IOParameters)}
        own = [field for field in dataclasses.fields(self) if field.name not in shared]
        if changed := [field.name for field in own if getattr(self, field.name) != default_of(field)]:
            warnings.warn(f"{', '.join(changed)}: only TorchInferenceRPUConfigIRDropT reads these.", stacklevel=2)
        return IOParameters(**{name: getattr(self, name) for name in shared}).to_native()

    def circuit(self, rows: int, g_converter: Converter) -> Periphery:
        """`to_native` for a chip with so many rows, whose weights `g_converter` turns into conductances.

        Training knows no wires: rows that can't be cut into `ir_drop_segments` are in one, until `check_rows`.
        """
        check_fields(self)
        given = {
            "split_mode_bit_shift": self.split_mode_bit_shift, "phys_input_size": rows, "g_converter": g_converter,
        }  # fmt: skip
        cut = self if self._fits(rows) else dataclasses.replace(self, ir_drop_segments=1)
        return as_torch_tile(cut._nested(TimedCrossbar, given))

    def check_rows(self, rows: int) -> None:
        """Raise `ConfigError` where a chip with so many rows can't be read through wires of so many segments."""
        if self.ir_drop > 0.0 and not self.is_perfect and not self._fits(rows):
            raise ConfigError(
                f"IOParametersIRDropT(ir_drop_segments={self.ir_drop_segments}): must divide the rows of a chip, and "
                f"mapping.max_input_size gives it {rows}. In training mode, and with ir_drop=0, it need not."
            )

    def _fits(self, rows: int) -> bool:
        return self.ir_drop_segments < 1 or rows % self.ir_drop_segments == 0
