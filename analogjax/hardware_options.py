"""Hardware-aware training from the options of `analogjax train`."""

from collections.abc import Callable, Mapping
from typing import Any

from analogjax.errors import ConfigError

_NOISE = 0.05  # of the largest weight: what phase-change memory has, about
_SIGMA = 2.5
# name -> what is made of the strength given with --weight-noise
_MODIFIERS: dict[str, Callable[[Any, float], Any]] = {
    "add-normal": lambda known, strength: known.AddNormal(std_dev=strength),
    "mult-normal": lambda known, strength: known.MultNormal(std_dev=strength, assumed_wmax=1.0),
    "drop-connect": lambda known, strength: known.DropConnect(pdrop=strength),
    "discretize": lambda known, strength: known.Discretize(res=strength),
    "pcm": lambda known, strength: _pcm_chip(),
    "none": lambda known, strength: None,
}
_FIXED = ("pcm", "none")  # whose strength is known
MODIFIERS = tuple(_MODIFIERS)
_OWN = ("modifier", "weight_noise", "weight_clip", "fresh_chips", "input_range")
_ZERO = ("fresh_chips", "n_devices")  # whose 0 is "not given"
_PULSED = ("device", "set", "algorithm", "n_devices", "preset")


def check_kind(options: Mapping[str, Any]) -> None:
    """Raise `ConfigError` for options that would be ignored, since they belong to the other kind of training."""
    aware = options["hardware_aware"]
    stray = [name for name in (_PULSED if aware else _OWN) if _is_given(name, options[name])]
    if stray:
        flag = f"--{stray[0].replace('_', '-')}"
        remedy = "leave it out, or leave out --hardware-aware" if aware else "add --hardware-aware, or leave it out"
        kind = "pulsed devices" if aware else "hardware-aware training"
        raise ConfigError(f"{flag}: is for {kind}; {remedy}.")
    if options["modifier"] in _FIXED and options["weight_noise"] is not None:
        raise ConfigError(
            f"--weight-noise: --modifier {options['modifier']} has no strength to set; leave out one of them."
        )


def _is_given(name: str, value: Any) -> bool:
    return not (value is None or value is False or value in ({}, "") or (name in _ZERO and value == 0))


def _pcm_chip() -> Any:
    from analogjax.physics.inference import FreshChip

    return FreshChip()


def aware_config(options: Mapping[str, Any]) -> Any:
    """The `HardwareAware` configuration of a training."""
    from analogjax.physics import hardware_aware
    from analogjax.tile import HardwareAware, Mapping

    strength = _NOISE if options["weight_noise"] is None else options["weight_noise"]
    sigma = _SIGMA if options["weight_clip"] is None else options["weight_clip"]
    return HardwareAware(
        modifier=_MODIFIERS[options["modifier"] or "add-normal"](hardware_aware, strength),
        clip=hardware_aware.GaussianClip(sigma=sigma) if sigma else None,
        remap=hardware_aware.LayerwiseRemap(),  # trained weights grow: the largest stays that of the device
        input_range=hardware_aware.InputRange() if options["input_range"] else None,
        mapping=Mapping(weight_scaling_omega=1.0, learn_out_scaling=bool(options["learn_out_scaling"])),
        fresh_chips=options["fresh_chips"],
    )
