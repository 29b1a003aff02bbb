"""Pairs of conductances."""

from typing import Any

from analogjax.physics.inference import SinglePair
from compat.aihwkit.inference.converter.base import BaseConductanceConverter
from compat.parameters import build, check_fields, parameters


@parameters(native=SinglePair)
class SinglePairConductanceConverter(BaseConductanceConverter):
    """One positive and one negative device for each weight; `None` is 25 and 0 [uS]."""

    g_max: Any = None
    g_min: Any = None

    def to_native(self) -> SinglePair:
        """The native converter."""
        check_fields(self)
        known = SinglePair()
        given = {name: getattr(known, name) for name in ("g_max", "g_min") if getattr(self, name) is None}
        return build(self, SinglePair, given)
