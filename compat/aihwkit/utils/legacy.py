"""Checkpoints of aihwkit from before version 0.8, under the names of today."""

from collections import OrderedDict
from copy import deepcopy
from typing import Any

from compat.aihwkit.inference.noise.pcm import PCMLikeNoiseModel
from compat.aihwkit.simulator.configs.configs import InferenceRPUConfig
from compat.aihwkit.simulator.parameters.inference import WeightRemapParameter
from compat.aihwkit.simulator.parameters.pre_post import PrePostProcessingParameter
from compat.aihwkit.simulator.presets.web import OldWebComposerMappingParameter
from compat.torch_package import torch

_STATE, _CONTEXT, _ALPHA, _SHARED = "analog_tile_state", "analog_ctx", "out_scaling_alpha", "analog_shared_weights"
# what a state held that is no part of it any more
_GONE = (
    "noise_model", "drift_compensation", "drift_baseline", "drift_readout_tensor", "reference_combined_weights",
    "programmed_weights", "nu_drift_list", "shared_weights", "image_sizes",
)  # fmt: skip


def convert_legacy_checkpoint(legacy_chkpt: Any, model: Any = None) -> tuple["OrderedDict[str, Any]", Any]:
    """A checkpoint of before 0.8 with the names and the states of today; what is given stays as it is.

    Args:
        legacy_chkpt: The state dict.
        model: The model that is to load it. Without layers of the kind `...Mapped` its tiles, and those of the
            checkpoint, are taken to be on one chip each, as they were.

    Returns:
        The state dict, and the configuration of one of the tiles.

    Raises:
        ValueError: If there is no state of a tile in it.
    """
    states = {name: value for name, value in legacy_chkpt.items() if _last(name).startswith(_STATE)}
    if not states:
        raise ValueError(f"convert_legacy_checkpoint: no {_STATE} among {list(legacy_chkpt)[:5]}: not of aihwkit.")
    if any(".analog_module." in f".{name}" or ".array." in f".{name}" for name in states):
        return deepcopy(legacy_chkpt), deepcopy(next(iter(states.values()))["rpu_config"])
    kinds = {} if model is None else {name: type(layer).__name__ for name, layer in model.named_analog_layers()}
    is_cut = any(kind.endswith("Mapped") for kind in kinds.values())
    if model is not None and not is_cut:
        for tile in model.analog_tiles():
            _on_one_chip(tile.rpu_config)
    return _Renaming(kinds, is_cut, [_prefix(name) for name in states]).renamed(deepcopy(legacy_chkpt))


class _Renaming:
    """From the names of then to those of now."""

    def __init__(self, kinds: dict[str, str], is_cut: bool, analog: list[str]) -> None:
        self.kinds, self.is_cut, self.analog = kinds, is_cut, analog

    def renamed(self, given: Any) -> tuple["OrderedDict[str, Any]", Any]:
        """The entries, and the configuration of the last tile among them."""
        found: OrderedDict[str, Any] = OrderedDict()
        config = None
        for name, value in given.items():
            last, prefix = _last(name), _prefix(name)
            if last.startswith(_STATE):
                config = value["rpu_config"]
                _modernise(config, self.is_cut)
                found |= _state_of_today(prefix + self._place(last, _STATE, prefix), value)
            elif last.startswith("analog_" + _ALPHA):
                found[prefix + self._place(f"{last.removeprefix('analog_')}_0", _ALPHA, prefix)] = value
            elif last.startswith(_CONTEXT):
                found[prefix + self._place(last, _CONTEXT, prefix)] = value
            elif last == "bias" and prefix in self.analog:
                found[prefix + ("bias" if self._is_cut_convolution(prefix) else "analog_module.bias")] = value
            elif not last.startswith(_SHARED):
                found[name] = value
        return found, config

    def _place(self, last: str, word: str, prefix: str) -> str:
        """Where in its layer an entry with the number of a chip, `word_0` or `word_1_0`, belongs."""
        numbers = [part for part in last.split(word)[-1].split("_") if part]
        if len(numbers) > 1:
            head = "array" if self._is_cut_convolution(prefix) else "analog_module.array"
            return ".".join([head, *numbers, word])
        own = numbers if numbers not in ([], ["0"]) else []
        return ".".join(["analog_module", word, *own])

    def _is_cut_convolution(self, prefix: str) -> bool:
        kind = self.kinds.get(prefix[:-1], "")
        return "Conv" in kind and "Mapped" in kind


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _prefix(name: str) -> str:
    return name[: len(name) - len(_last(name))]


def _state_of_today(place: str, state: dict[str, Any]) -> dict[str, Any]:
    """The state of a tile, and what was in it and is beside it now."""
    for name in _GONE:
        state.pop(name, None)
    state["use_bias"] = state.pop("bias", False)
    beside = {}
    if isinstance(state.get("alpha"), torch.Tensor):
        beside[place.replace(_STATE, "alpha")] = state["alpha"]
    scales = torch.ones(state["out_size"], device=state[_CONTEXT].device)
    scales = scales * state.pop("mapping_scales", 1.0) * state.pop("analog_alpha_scale", 1.0)
    return {**beside, place.replace(_STATE, "mapping_scales"): scales, place: state}


def _modernise(config: Any, is_cut: bool) -> None:
    """Give the configuration of an inference what it lacks, and its fields their names of today."""
    if not isinstance(config, InferenceRPUConfig):
        return
    own = vars(config)
    mapping = own.setdefault("mapping", OldWebComposerMappingParameter())
    if "weight_scaling_omega_columnwise" in vars(mapping):
        mapping.weight_scaling_columnwise = vars(mapping).pop("weight_scaling_omega_columnwise")
    if "learn_out_scaling_alpha" in vars(mapping):
        mapping.learn_out_scaling = vars(mapping).pop("learn_out_scaling_alpha")
        mapping.out_scaling_columnwise = mapping.weight_scaling_columnwise
    if not is_cut:
        _on_one_chip(config)
    model = own.get("noise_model")
    if isinstance(model, PCMLikeNoiseModel) and "prog_coeff_g_max_reference" not in vars(model):
        model.prog_coeff_g_max_reference = model.g_max
    own.setdefault("pre_post", PrePostProcessingParameter())
    own.setdefault("remap", WeightRemapParameter())
    modifier = vars(own["modifier"])
    if "coeffs" not in modifier and "coeff0" in modifier:
        modifier["coeffs"] = [modifier.pop(f"coeff{n}") for n in range(3)]


def _on_one_chip(config: Any) -> None:
    config.mapping.max_input_size = config.mapping.max_output_size = 0
