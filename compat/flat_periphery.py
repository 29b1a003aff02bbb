"""aihwkit's flat names of what is around a crossbar, and the parts of `analogjax.physics.Periphery` they belong to.

The table gives the part and the field of each name. Three names are a choice between parts as well: `mv_type` 'Ideal'
is a perfect product, and `noise_management` and `bound_management` 'None' leave the part out.
"""

from collections.abc import Mapping
from typing import Any

from analogjax.errors import ConfigError
from analogjax.physics import ADC, DAC, BoundManagement, Crossbar, NoiseManagement, Periphery, TimedCrossbar

Place = tuple[str, str]  # part and field
_BOUNDS = ("None", "Iterative", "IterativeWorstCase")  # kinds of bound management; the last is a flag of the part
_CONVERTERS: dict[str, Place] = {
    **{f"inp_{name}": ("dac", name) for name in ("bound", "noise", "res", "sto_round", "asymmetry")},
    **{
        f"out_{name}": ("adc", name)
        for name in (
            "bound", "noise", "noise_std", "res", "sto_round", "scale", "asymmetry", "nonlinearity", "nonlinearity_std",
        )
    },
    "slope_calibration": ("adc", "slope_calibration"),
    "max_bm_res": ("dac", "max_res"),
    "max_bm_factor": ("bound_management", "max_factor"),
    "bm_test_negative_bound": ("adc", "flags_negative"),
    "nm_thres": ("noise_management", "thres"),
    "nm_decay": ("noise_management", "decay"),
}  # fmt: skip
_OF_TIME = {
    "wire_resistance": "ir_drop_rs",
    "segments": "ir_drop_segments",
    "time_resolution": "ir_drop_time_step_resolution_scale",
    "v_read": "ir_drop_v_read",
    "pcm_read_noise": "apply_xdep_pcm_read_noise",
    "pcm_read_noise_scale": "xdep_pcm_read_noise_scale",
    "integration_sum": "ir_drop_integration_sum",
}
_CIRCUITS: dict[type, dict[str, Place]] = {
    Crossbar: {name: ("crossbar", name) for name in Crossbar.__dataclass_fields__},
    TimedCrossbar: {_OF_TIME.get(name, name): ("crossbar", name) for name in TimedCrossbar.__dataclass_fields__},
}
# of a crossbar that is not read in time, with what leaves them off; what is not here does nothing where these are off
_NOT_IN_TIME = {"w_read_asymmetry_dtod": 0, "v_offset_std": 0, "r_series": 0, "w_noise_type": "None"}


def names(circuit: type) -> set[str]:
    """aihwkit's names of a periphery with such a crossbar."""
    return set(_table(circuit)) | {"is_perfect", "noise_management", "bound_management"}


def flat(p: Periphery) -> dict[str, Any]:
    """The values of a periphery under aihwkit's names; what a part that is left out would hold has its default."""
    parts: dict[str, Any] = {
        "dac": p.dac, "adc": p.adc, "crossbar": p.crossbar,
        "noise_management": p.noise_management or NoiseManagement(),
        "bound_management": p.bound_management or BoundManagement(),
    }  # fmt: skip
    values = {name: getattr(parts[part], field) for name, (part, field) in _table(type(p.crossbar)).items()}
    bounds = 0 if p.bound_management is None else 1 + parts["bound_management"].worst_case
    managed = p.noise_management is not None
    return values | {
        "is_perfect": p.is_perfect, "bound_management": _BOUNDS[bounds],
        "noise_management": parts["noise_management"].kind.value if managed else "None",
    }  # fmt: skip


def nested(values: Mapping[str, Any], circuit: type = Crossbar) -> Periphery:
    """The periphery with such a crossbar that has these values, by aihwkit's names, and defaults for all others.

    Raises `ConfigError`, in aihwkit's names.
    """
    given, table = dict(values), _table(circuit)
    perfect = given.pop("is_perfect", False) or given.get("mv_type") == "Ideal"
    if given.get("mv_type") == "Ideal":
        del given["mv_type"]
    noise, bounds = given.pop("noise_management", "AbsMax"), given.pop("bound_management", "Iterative")
    if bounds not in _BOUNDS:
        known = ", ".join(repr(kind) for kind in _BOUNDS)
        raise ConfigError(f"(bound_management={bounds!r}): unknown; choose one of {known}.")
    parts: dict[str, dict[str, Any]] = {name: {} for name in ("dac", "adc", "crossbar", "bound_management")}
    parts["bound_management"]["worst_case"] = bounds == _BOUNDS[-1]
    parts["noise_management"] = {} if noise == "None" else {"kind": noise}
    if given.get("w_noise_type", "None") == "None":
        given.pop("w_noise", None)  # without a type, aihwkit adds none
    for name, value in given.items():
        if name in table:
            parts[table[name][0]][table[name][1]] = value
        elif value != _NOT_IN_TIME.get(name, value):
            raise ConfigError(f"({name}={value!r}): is not part of a crossbar that is read in time; leave it off.")
    try:
        return Periphery(
            dac=DAC(**parts["dac"]), adc=ADC(**parts["adc"]), crossbar=circuit(**parts["crossbar"]),
            noise_management=None if noise == "None" else NoiseManagement(**parts["noise_management"]),
            bound_management=None if bounds == "None" else BoundManagement(**parts["bound_management"]),
            is_perfect=perfect,
        )  # fmt: skip
    except ConfigError as error:
        raise ConfigError(_in_flat_names(str(error), table)) from None


def _table(circuit: type) -> dict[str, Place]:
    return _CONVERTERS | _CIRCUITS[circuit]


def _in_flat_names(message: str, table: Mapping[str, Place]) -> str:
    """The message of a part, `DAC(noise=-1): ...`, as `(inp_noise=-1): ...`."""
    message = message.replace("noise_management=None", "noise_management=NoiseManagementType.NONE")
    owner, _, rest = message.partition("(")
    field = rest.partition("=")[0]
    part = {"DAC": "dac", "ADC": "adc", "NoiseManagement": "noise_management", "BoundManagement": "bound_management"}
    place = part.get(owner, "crossbar"), "kind" if field == "kind" else field
    name = next((name for name, there in table.items() if there == place), None)
    return message if name is None else f"({name}={rest.partition('=')[2]}"
