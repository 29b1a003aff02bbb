"""Materials of ours. Their methods, called by hand with conductances in torch tensors, are those of the native one."""

from copy import copy, deepcopy
from typing import Any

from compat import native_calls
from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.inference.converter.conductance import SinglePairConductanceConverter
from compat.aihwkit.inference.noise.base import BaseNoiseModel
from compat.overrides import is_plain, watched
from compat.parameters import build, check_fields
from compat.torch_package import torch


@watched
class Law(BaseNoiseModel):
    """A material with a native form, whose fields `_given` leads to where they have other names."""

    g_max: Any

    def _complete(self, usual: float | None = None) -> None:
        """Fill in what was not given: a copy of the converter, its largest conductance."""
        given = deepcopy(self.g_converter)
        g_max = usual if self.g_max is None else self.g_max
        self.g_converter = SinglePairConductanceConverter(g_max=g_max) if given is None else given
        self.g_max = getattr(self.g_converter, "g_max", g_max) if self.g_max is None else self.g_max
        if self.g_max is None:
            raise ValueError(f"{type(self).__name__}: its converter has no g_max; give g_max.")

    @torch.no_grad()
    def apply_programming_noise_to_conductance(self, g_target: Any) -> Any:
        """`g_target` [uS] with programming noise, never below 0."""
        return native_calls.drawn(self._material().write, g_target, g_target)

    @torch.no_grad()
    def generate_drift_coefficients(self, g_target: Any) -> Any:
        """The exponent of each device, or what else is drawn for it when it is programmed."""
        return native_calls.drawn(self._material().remember, g_target, g_target)

    @torch.no_grad()
    def apply_drift_noise_to_conductance(self, g_prog: Any, drift_noise_param: Any, t_inference: float) -> Any:
        """`g_prog` [uS] after drift, with the noise of one read, never below 0."""
        return native_calls.drawn(self._material().read, g_prog, g_prog, drift_noise_param, t_inference)

    def to_native(self) -> Any:
        """The native material. Raises `ConfigError` for methods of its own, or something not supported."""
        self._need_plain()
        check_fields(self)
        return build(self, type(self)._native, self._given())  # type: ignore[arg-type]

    def _material(self) -> Any:
        """The native material, whatever methods a subclass has replaced; of a foreign converter only the range."""
        if is_plain(self.g_converter):
            return build(self, type(self)._native, self._given())  # type: ignore[arg-type]
        alike = copy(self)
        alike.g_converter = self._range()
        return build(alike, type(self)._native, alike._given())  # type: ignore[arg-type]

    def _range(self) -> Any:
        """A converter of ours with the range of a foreign one."""
        return SinglePairConductanceConverter(self.g_max, getattr(self.g_converter, "g_min", None))

    def _given(self) -> dict[str, Any]:
        """Native fields that are not those of the same name."""
        raise NotImplementedError

    def _conductances(self, usual: Any) -> dict[str, Any]:
        """Converter and largest conductance in the native form, where `None` is the usual one."""
        converter = self.g_converter.to_native()
        same = self.g_max == converter.g_max
        as_usual = type(converter) is type(usual) and converter == usual
        # both, if one of the two has been set since: the native model raises the error
        return {
            "g_converter": None if same and as_usual else converter,
            "g_max": None if same else self.g_max,
        }


def numbers(values: Any, what: str) -> tuple[float, ...]:
    """A tuple of plain numbers. Raises `ConfigError`."""
    try:
        return tuple(float(value) for value in values)
    except (TypeError, ValueError):
        raise ConfigError(f"{what}={values!r}: needs a list of numbers.") from None
