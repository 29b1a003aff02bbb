"""Conductances of the Fusion chip."""

from typing import Any

from analogjax.physics.inference import Fusion
from compat import native_calls
from compat.aihwkit.exceptions import ArgumentError
from compat.aihwkit.inference.converter.base import BaseConductanceConverter
from compat.overrides import watched
from compat.parameters import build, parameters
from compat.torch_package import torch


@watched
@parameters(native=Fusion)
class FusionConductanceConverter(BaseConductanceConverter):
    """One device for each weight, scaled row by row; see `analogjax.physics.Fusion`. scikit-learn is not needed."""

    g_max: Any = 40

    def __post_init__(self) -> None:
        if not 10 <= self.g_max <= 40:
            raise ArgumentError(f"FusionConductanceConverter(g_max={self.g_max!r}): needs a number from 10 to 40 [uS].")

    def __str__(self) -> str:
        return f"{type(self).__name__}(g_max={self.g_max:1.2f})"

    @torch.no_grad()
    def convert_to_conductances(self, weights: Any) -> tuple[list[Any], dict[str, Any]]:
        """Conductances [uS] of weights `[O, I]`, and the weights themselves, which lead back."""
        g, _ = build(self, Fusion, {}).conductances(native_calls.array(weights))
        return list(native_calls.tensors(g, weights)), {"original_weights": weights}

    @torch.no_grad()
    def convert_back_to_weights(self, conductances: list[Any], params: dict[str, Any]) -> Any:
        """The weights `[O, I]` of one slice of conductances [uS]."""
        if len(conductances) != 1 or "original_weights" not in params:
            raise ValueError(
                f"convert_back_to_weights: got {len(conductances)} conductances and {sorted(params)}; needs one, and "
                "the original_weights of convert_to_conductances()."
            )
        g, back = native_calls.array(conductances[0]), native_calls.array(params["original_weights"])
        return native_calls.tensors(build(self, Fusion, {}).weights(g[None], back), conductances[0])
