"""ReRAM."""

import dataclasses
from typing import Any

from analogjax.physics.inference import ReRAMCMO, ReRAMWan2022, SinglePair
from compat.aihwkit.exceptions import ArgumentError
from compat.aihwkit.inference.converter.conductance import SingleDeviceConductanceConverter
from compat.aihwkit.inference.noise.law import Law, numbers
from compat.overrides import watched
from compat.parameters import NATIVE, parameters
from compat.torch_package import torch


@watched
@parameters(native=ReRAMWan2022, harmless=("coeff_dic",))
class ReRamWan2022NoiseModel(Law):
    """Relaxation around the targets; see `analogjax.physics.ReRAMWan2022`. `coeff_dic` has one polynomial a time."""

    coeff_dic: Any = None
    g_converter: Any = NATIVE
    g_max: Any = NATIVE
    noise_scale: float = NATIVE
    coeff_g_max_reference: Any = NATIVE

    def __post_init__(self) -> None:
        self._complete()
        if self.coeff_g_max_reference is None:
            self.coeff_g_max_reference = self.g_max
        if self.coeff_dic is None:
            known = ReRAMWan2022()
            self.coeff_dic = {t: [*one] for t, one in zip(known.times, known.coefficients, strict=True)}

    @torch.no_grad()
    def apply_drift_noise_to_conductance(self, g_prog: Any, drift_noise_param: Any, t_inference: float) -> Any:
        """Conductances drawn around the targets `drift_noise_param` [uS]. Raises `ArgumentError` for another time."""
        self._check_time(t_inference)
        return super().apply_drift_noise_to_conductance(g_prog, drift_noise_param, t_inference)

    def _check_time(self, t: float) -> None:
        if t not in self.coeff_dic:
            raise ArgumentError(f"t_inference={t!r}: this material is known at {list(self.coeff_dic)} s only.")

    def _given(self) -> dict[str, Any]:
        times = sorted(self.coeff_dic)
        reference = None if self.coeff_g_max_reference == self.g_max else self.coeff_g_max_reference
        return self._conductances(SinglePair()) | {
            "times": numbers(times, "coeff_dic"),
            "coefficients": tuple(numbers(self.coeff_dic[t], f"coeff_dic[{t}]") for t in times),
            "coeff_g_max_reference": reference,
        }


@watched
@parameters(native=ReRAMCMO, harmless=("coeff_dict", "decay_dict", "read_dict", "acceptance_range", "g_max", "g_min"))
class ReRamCMONoiseModel(Law):
    """CMO/HfOx cells; see `analogjax.physics.ReRAMCMO`. `coeff_dict` has a polynomial for each acceptance range [%]."""

    coeff_dict: Any = None
    g_max: Any = None
    g_min: Any = None
    prog_noise_scale: float = NATIVE
    read_noise_scale: float = NATIVE
    drift_scale: float = NATIVE
    decay_dict: Any = None
    read_dict: Any = None
    acceptance_range: Any = 2e-2
    g_converter: Any = dataclasses.field(init=False, default=None)

    def __post_init__(self) -> None:
        known = ReRAMCMO()
        self.g_converter = SingleDeviceConductanceConverter(g_max=self.g_max, g_min=self.g_min)
        self.g_max, self.g_min = self.g_converter.g_max, self.g_converter.g_min
        if self.coeff_dict is None:
            self.coeff_dict = {0.2: [*known.prog_coeff], 2: [0.0112185391, 0.01129027418]}
        if self.decay_dict is None:
            self.decay_dict = {"mean": [known.decay_mean], "std": [known.decay_std_slope, known.decay_std]}
        if self.read_dict is None:
            self.read_dict = {"K": known.read_coeff, "t_read": known.t_read}
        if self.acceptance_range not in self.coeff_dict:
            self.acceptance_range = min(self.coeff_dict)

    @torch.no_grad()
    def generate_drift_coefficients(self, g_target: Any) -> Any:
        """`g_target` itself: nothing is drawn when a device is programmed."""
        return g_target

    def _range(self) -> Any:
        return SingleDeviceConductanceConverter(self.g_max, self.g_min)

    def _given(self) -> dict[str, Any]:
        chosen = self.acceptance_range if self.acceptance_range in self.coeff_dict else min(self.coeff_dict)
        slope, spread = numbers(self.decay_dict["std"], "decay_dict")
        return {
            "g_converter": self.g_converter.to_native(),
            "prog_coeff": numbers(self.coeff_dict[chosen], "coeff_dict"),
            "decay_mean": float(self.decay_dict["mean"][0]),
            "decay_std_slope": slope,
            "decay_std": spread,
            "read_coeff": float(self.read_dict["K"]),
            "t_read": float(self.read_dict["t_read"]),
        }
