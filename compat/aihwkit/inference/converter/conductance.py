"""Pairs of conductances."""

from typing import Any

from analogjax.physics.inference import SinglePair
from compat.aihwkit.inference.converter.base import BaseConductanceConverter
from compat.overrides import watched
from compat.parameters import parameters
from compat.torch_package import torch

_LEAST = 1e-7  # of max|w|, so that a matrix of zeros has a ratio


@watched
@parameters(native=SinglePair)
class SinglePairConductanceConverter(BaseConductanceConverter):
    """One positive and one negative device for each weight; `None` is 25 and 0 [uS]."""

    g_max: Any = None
    g_min: Any = None

    def __post_init__(self) -> None:
        known = SinglePair()
        self.g_max = known.g_max if self.g_max is None else self.g_max
        self.g_min = known.g_min if self.g_min is None else self.g_min

    def __str__(self) -> str:
        return f"{type(self).__name__}(g_max={self.g_max:1.2f}, g_min={self.g_min:1.2f})"

    @torch.no_grad()
    def convert_to_conductances(self, weights: Any) -> tuple[list[Any], dict[str, Any]]:
        """Positive and negative conductances [uS] of weights `[O, I]`, and the ratio that leads back."""
        ratio = (self.g_max - self.g_min) / weights.abs().max().clamp(min=_LEAST)
        scaled = weights * ratio
        pair = [part.clamp(min=0.0, max=self.g_max) + self.g_min for part in (scaled, -scaled)]
        return pair, {"scale_ratio": ratio}

    @torch.no_grad()
    def convert_back_to_weights(self, conductances: list[Any], params: dict[str, Any]) -> Any:
        """The weights `[O, I]` of a pair of conductances [uS]."""
        if len(conductances) != 2 or "scale_ratio" not in params:
            raise ValueError(
                f"convert_back_to_weights: got {len(conductances)} conductances and {sorted(params)}; needs two, and "
                "the scale_ratio of convert_to_conductances()."
            )
        positive, negative = conductances
        return (positive - negative) / params["scale_ratio"]
