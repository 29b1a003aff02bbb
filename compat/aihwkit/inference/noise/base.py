"""What noise models have in common."""

from typing import Any

from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.inference.converter.conductance import (
    SingleDeviceConductanceConverter,
    SinglePairConductanceConverter,
)
from compat.overrides import is_plain, watched, what_is_own
from compat.parameters import View
from compat.torch_package import torch


@watched
class BaseNoiseModel(View):
    """A material.

    A subclass defines what happens to conductances [uS], with torch tensors: `apply_programming_noise_to_conductance`,
    `apply_drift_noise_to_conductance` and, if they drift, `generate_drift_coefficients`. `g_converter` leads from
    weights to them (default: a single pair).
    """

    g_converter: Any

    def __init__(self, g_converter: Any = None) -> None:
        self.g_converter = SinglePairConductanceConverter() if g_converter is None else g_converter

    def __str__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in vars(self).items())})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    @torch.no_grad()
    def apply_noise(self, weights: Any, t_inference: float) -> Any:
        """Weights `[O, I]` as a fresh chip is read `t_inference` seconds after programming; 0: right after it."""
        targets, params = self._converted(weights)
        seen = []
        for target in targets:
            g = self.apply_programming_noise_to_conductance(target)
            if t_inference > 0:
                g = self.apply_drift_noise_to_conductance(g, self.generate_drift_coefficients(target), t_inference)
            seen.append(g)
        return self._back(seen, params)

    @torch.no_grad()
    def apply_programming_noise(self, weights: Any) -> tuple[Any, list[Any]]:
        """Weights `[O, I]` as they are on the chip, and the drift coefficients of each of its conductances."""
        targets, params = self._converted(weights)
        programmed, coefficients = [], []
        for target in targets:
            programmed.append(self.apply_programming_noise_to_conductance(target))
            coefficients.append(self.generate_drift_coefficients(target))
        return self._back(programmed, params), coefficients

    @torch.no_grad()
    def apply_drift_noise(self, weights: Any, drift_noise_parameters: list[Any], t_inference: float) -> Any:
        """Programmed weights `[O, I]` as they are read `t_inference` seconds later."""
        programmed, params = self._converted(weights)
        drifted = [
            self.apply_drift_noise_to_conductance(g, coefficients, t_inference)
            for g, coefficients in zip(programmed, drift_noise_parameters, strict=False)
        ]
        return self._back(drifted, params)

    def _converted(self, weights: Any) -> tuple[Any, dict[str, Any]]:
        """The conductances, a list of tensors. Those of single devices are one tensor, which stands for its rows."""
        g, params = self.g_converter.convert_to_conductances(weights)
        return ([g] if self._is_single() else g), params

    def _back(self, conductances: list[Any], params: dict[str, Any]) -> Any:
        given = conductances[0] if self._is_single() else conductances
        return self.g_converter.convert_back_to_weights(given, params)

    def _is_single(self) -> bool:
        return isinstance(self.g_converter, SingleDeviceConductanceConverter) and is_plain(self.g_converter)

    def _check_time(self, t: float) -> None:
        """Raise an error of aihwkit for a time that is not known; here all are."""

    def generate_drift_coefficients(self, g_target: Any) -> Any:
        """What is drawn for each device when it is programmed; `None` where there is no drift."""
        return None

    def apply_programming_noise_to_conductance(self, g_target: Any) -> Any:
        """The conductances that are programmed where `g_target` [uS] was asked for."""
        raise NotImplementedError(f"{type(self).__name__} must define apply_programming_noise_to_conductance().")

    def apply_drift_noise_to_conductance(self, g_prog: Any, drift_noise_param: Any, t_inference: float) -> Any:
        """The conductances that are read `t_inference` seconds after `g_prog` [uS] was programmed."""
        raise NotImplementedError(f"{type(self).__name__} must define apply_drift_noise_to_conductance().")

    def to_native(self) -> Any:
        """One of `analogjax.physics.inference`. Raises `ConfigError` where a method of its own has no such form."""
        self._need_plain()
        return super().to_native()

    def _need_plain(self) -> None:
        for part in (self, self.g_converter):
            if not is_plain(part):
                raise ConfigError(f"{what_is_own(part)}, which can't be compiled: it works with torch tensors only.")
