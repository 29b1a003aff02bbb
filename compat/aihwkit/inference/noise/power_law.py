"""What materials that drift by a power law share; see `analogjax.physics.inference.power_law` for the equations."""

import math
from copy import deepcopy
from typing import Any

from compat.aihwkit.inference.converter.conductance import SinglePairConductanceConverter
from compat.aihwkit.inference.noise.base import BaseNoiseModel
from compat.overrides import watched
from compat.parameters import build, check_fields
from compat.torch_package import torch


@watched
class PowerLaw(BaseNoiseModel):
    """A material with `_spread`, `_exponents` and `_read_noise` of conductances [uS]."""

    g_max: Any
    prog_coeff: Any
    t_0: float
    t_read: float

    def _complete(self) -> None:
        """Fill in what was not given: a copy of the converter, its largest conductance."""
        given = deepcopy(self.g_converter)
        self.g_converter = SinglePairConductanceConverter(g_max=self.g_max) if given is None else given
        self.g_max = getattr(self.g_converter, "g_max", self.g_max) if self.g_max is None else self.g_max
        if self.g_max is None:
            raise ValueError(f"{type(self).__name__}: its converter has no g_max; give g_max.")

    @torch.no_grad()
    def apply_programming_noise_to_conductance(self, g_target: Any) -> Any:
        """`g_target` [uS] with programming noise, never below 0."""
        return (g_target + self._spread(g_target) * torch.randn_like(g_target)).clamp(min=0.0)

    @torch.no_grad()
    def generate_drift_coefficients(self, g_target: Any) -> Any:
        """The exponent of each device."""
        mean, std = self._exponents(g_target)
        return (mean + std * torch.randn_like(g_target)).abs()

    @torch.no_grad()
    def apply_drift_noise_to_conductance(self, g_prog: Any, drift_noise_param: Any, t_inference: float) -> Any:
        """`g_prog` [uS] after drift, with the noise of one read, never below 0."""
        t = t_inference + self.t_0
        drifted = g_prog * (t / self.t_0) ** (-drift_noise_param) if t_inference > 0 else g_prog
        flicker = math.sqrt(max(math.log((t + self.t_read) / (2 * self.t_read)), 0.0))
        noise = self._read_noise(g_prog, drifted) * flicker * torch.randn_like(g_prog)
        return (drifted + noise).clamp(min=0.0)

    def to_native(self) -> Any:
        """The native material. Raises `ConfigError` for methods of its own, or something not supported."""
        self._need_plain()
        check_fields(self)
        return build(self, type(self)._native, self._given())  # type: ignore[arg-type]

    def _given(self) -> dict[str, Any]:
        """Native fields that are not those of the same name."""
        raise NotImplementedError

    def _conductances(self, usual: Any) -> dict[str, Any]:
        """Converter and largest conductance in the native form, where `None` is the usual one."""
        converter = self.g_converter.to_native()
        same = self.g_max == converter.g_max
        # both, if one of the two has been set since: the native model raises the error
        return {
            "g_converter": None if same and converter == usual else converter,
            "g_max": None if same else self.g_max,
        }

    def _polynomial(self, g: Any) -> Any:
        total = torch.zeros_like(g)
        for coefficient in reversed(self.prog_coeff):
            total = total * (g / self.g_max) + coefficient
        return total

    def _spread(self, g: Any) -> Any:
        """The standard deviation of programming noise [uS]."""
        raise NotImplementedError

    def _exponents(self, g: Any) -> tuple[Any, Any]:
        """Mean and standard deviation of the exponents."""
        raise NotImplementedError

    def _read_noise(self, g_prog: Any, g_now: Any) -> Any:
        """The standard deviation of one read [uS], before it grows with time."""
        raise NotImplementedError
