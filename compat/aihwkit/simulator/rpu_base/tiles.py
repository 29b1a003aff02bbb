"""Simulator tiles, and the parameters of what is done to their weights, as aihwkit's compiled core has them."""

from compat.aihwkit.simulator.parameters import enums, inference
from compat.aihwkit.simulator.tiles.simulator import AnalogTile as AnalogTile
from compat.aihwkit.simulator.tiles.simulator import FloatingPointTile as FloatingPointTile
from compat.bindings import class_of, enum_of

WeightModifierParameter = class_of(inference.WeightModifierParameter)
WeightClipParameter = class_of(inference.WeightClipParameter)
WeightRemapParameter = class_of(inference.WeightRemapParameter)
WeightModifierType = enum_of(enums.WeightModifierType)
WeightClipType = enum_of(enums.WeightClipType)
WeightRemapType = enum_of(enums.WeightRemapType)
