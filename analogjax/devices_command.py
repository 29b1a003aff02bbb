"""`analogjax devices`: list devices, show their parameters, plot their response; and the device options of `train`."""

import argparse
import dataclasses
import difflib
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from analogjax.errors import ConfigError, MissingPackage
from analogjax.hardware_options import aware_config, check_kind

_DEVICES = """\
List devices, presets and algorithms, show one with its parameters, or plot the pulse response of a device.

  analogjax devices
  analogjax devices SoftBounds
  analogjax devices TikiTakaReRamSBPreset
  analogjax devices agad
  analogjax devices plot CapacitorPreset --output capacitor.png

Plots are of a device, or of a preset: a device with measured values, a unit cell, or a compound, whose hidden arrays
are shown too.
"""
_DEFAULT = "ConstantStep"


def add_devices_command(commands: Any) -> None:
    """Add `devices` to the subcommands of the parser."""
    devices = commands.add_parser(
        "devices",
        help="list devices and their parameters, and plot their response",
        description=_DEVICES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    devices.add_argument("what", nargs="*", metavar="[plot] NAME", help="a device, or `plot` and a device or preset")
    devices.add_argument("--output", metavar="FILE", help="of a plot: .png, .svg or .pdf (default: NAME.png)")
    devices.add_argument(
        "--seed", type=int, default=0, help="of a plot: decides everything that is random (default: 0)"
    )
    devices.set_defaults(act=_devices)


def made_device(name: str, settings: dict[str, Any], others: Iterable[str] = ()) -> Any:
    """Make a device by class name and parameters.

    Raises `ConfigError` for unknown ones; it lists these and `others`, which the algorithm takes.
    """
    known = _known_devices()
    match = same_name(name.lower().removesuffix("device"), known)
    if match is None:
        raise ConfigError(f"--device {name}: unknown; {nearest(name, known)}Known: {', '.join(known)}.")
    fields = [field.name for field in dataclasses.fields(known[match])]
    for setting, value in settings.items():
        if setting not in fields:
            of_algorithm = f"; the algorithm has {', '.join(others)}" if others else ""
            raise ConfigError(
                f"--set {setting}: {match} has no such parameter; it has {', '.join(fields)}{of_algorithm}."
            )
        of_a_sweep = hasattr(value, "dtype")  # traced values, so that many devices share a program
        if not isinstance(value, (bool, int, float)) and not of_a_sweep:
            raise ConfigError(f"--set {setting}={value}: needs a number, true or false.")
    return known[match](**settings)


def made_config(options: Mapping[str, Any]) -> Any:
    """Make the tile configuration of a training from its options (`device` and those that follow it, up to the
    scaling).

    Raises `ConfigError` for unknown names, and for options that contradict a preset.
    """
    from analogjax.tile import presets

    check_kind(options)
    if options["hardware_aware"]:
        return aware_config(options)
    if options["preset"]:
        config = presets.preset(_preset_name(options))
    else:
        config = _built(options)
    if not options["learn_out_scaling"]:
        return config
    return dataclasses.replace(config, mapping=dataclasses.replace(config.mapping, learn_out_scaling=True))


def _built(options: Mapping[str, Any]) -> Any:
    """The configuration of an algorithm; settings that are no parameters of the device are those of the algorithm."""
    from analogjax.physics.compounds.parts.fields import changed
    from analogjax.tile.algorithms import ALGORITHMS, COUNTED, build_config

    algorithm, number = options["algorithm"] or "sgd", options["n_devices"]
    if number and algorithm.lower() in set(ALGORITHMS) - set(COUNTED):
        raise ConfigError(
            f"--n-devices {number}: {algorithm} has a fixed number of devices; leave it out, or use --algorithm "
            f"{' or '.join(COUNTED)}."
        )
    name = options["device"] or _DEFAULT
    of_algorithm = _numbers_of(build_config(algorithm, made_device(name, {}), n_devices=number or 1), name)
    first = {setting: value for setting, value in options["set"].items() if setting not in of_algorithm}
    device = made_device(name, first, sorted(of_algorithm))
    config = build_config(algorithm, device, n_devices=number or 1)
    rest = {setting: value for setting, value in options["set"].items() if setting in of_algorithm}
    return dataclasses.replace(config, device=changed(config.device, **rest)) if rest else config


def _numbers_of(config: Any, device: str) -> dict[str, Any]:
    """The fields of an algorithm that are numbers, true or false, but for those that its device has too."""
    from analogjax.physics.compounds.parts.fields import flat

    own = {field.name for field in dataclasses.fields(made_device(device, {}))}
    found = flat(config.device).items()
    return {name: value for name, value in found if name not in own and isinstance(value, (bool, int, float))}


def described(options: Mapping[str, Any], recorded: bool = False) -> str:
    """A short description of the devices of a training; with `recorded`, in the canonical spelling."""
    if options["hardware_aware"]:
        return "hardware-aware"
    if options["preset"]:
        return _preset_name(options)
    device = options["device"] or _DEFAULT
    if recorded:
        return type(made_device(device, {})).__name__
    return f"{options['algorithm']} {device}" if options["algorithm"] else device


def _preset_name(options: Mapping[str, Any]) -> str:
    from analogjax.tile.presets import PRESETS

    given, name = [key for key in ("device", "set", "algorithm", "n_devices") if options[key]], options["preset"]
    if given:
        raise ConfigError(f"--preset {name}: is a complete configuration; leave out --{given[0].replace('_', '-')}.")
    match = same_name(name, PRESETS)
    if match is None:
        raise ConfigError(f"--preset {name}: unknown; {nearest(name, PRESETS)}Known: {', '.join(PRESETS)}.")
    return match


def _known_devices() -> dict[str, Any]:
    from analogjax.physics import devices

    return {name: value for name, value in sorted(vars(devices).items()) if isinstance(value, type)}


def same_name(name: str, known: Iterable[str]) -> str | None:
    """The entry of `known` equal to `name`, ignoring case."""
    return {one.lower(): one for one in known}.get(name.lower())


def nearest(name: str, known: Any) -> str:
    """A question that proposes the entry of `known` most like `name`, or nothing."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}? " if near else ""


def _devices(options: argparse.Namespace) -> int:
    what = options.what
    if "" in (*what, options.output):
        raise ConfigError("devices: a name is empty ('' was given): leave it out, or give a name.")
    if not 0 <= options.seed < 2**32:
        raise ConfigError(f"--seed {options.seed}: needs a whole number from 0 to {2**32 - 1}.")
    if what[:1] == ["plot"]:
        if len(what) != 2:
            raise ConfigError(f"devices plot: needs one name, e.g. CapacitorPreset; got {len(what) - 1}.")
        return _plot(what[1], options.output, options.seed)
    if options.output:
        raise ConfigError("devices --output: goes with a plot; write `analogjax devices plot NAME --output FILE`.")
    if len(what) > 1:
        raise ConfigError(f"devices {' '.join(what)}: shows one device; give one name.")
    return _show(what[0]) if what else _list()


def _list() -> int:
    from analogjax.tile.algorithms import ALGORITHMS
    from analogjax.tile.presets import PRESETS

    known = _known_devices()
    width = max(map(len, known))
    for name, device in known.items():
        print(f"{name:{width}}  {(device.__doc__ or '').splitlines()[0]}")
    for title, names in (("Presets", PRESETS), ("Algorithms", ALGORITHMS)):
        print("\n" + textwrap.fill(f"{title}: {', '.join(names)}.", 118, subsequent_indent="  "))
    return 0


def _show(name: str) -> int:
    from analogjax.report import device_lines
    from analogjax.tile.algorithms import ALGORITHMS
    from analogjax.tile.presets import PRESETS, preset

    match, algorithm = same_name(name, PRESETS), same_name(name, ALGORITHMS)
    if match:
        print(f"{match}: {preset(match)}")
    elif algorithm:
        print("\n".join(_algorithm_lines(algorithm)))
    else:
        print("\n".join(device_lines(type(made_device(name, {})))))
    return 0


def _algorithm_lines(name: str) -> list[str]:
    """The fields of an algorithm that can be set, with their defaults."""
    from analogjax.tile.algorithms import COUNTED, build_config

    config = build_config(name, made_device(_DEFAULT, {}), n_devices=2 if name in COUNTED else 1)
    taken = [f"  {field} = {value}" for field, value in _numbers_of(config, _DEFAULT).items()]
    return [f"{name}: an algorithm; --set takes, beside the parameters of the device:", *taken]


def _plot(name: str, output: str | None, seed: int) -> int:
    from analogjax import random
    from analogjax.report import plot_device

    known, path = _plottable(name), output or f"{name}.png"
    check_plot("--output", path)
    plot_device(known[0], path, pulses=known[1], title=name, key=random.key(seed))
    print(path)
    return 0


def check_plot(option: str, path: str | None) -> None:
    """Raise `ConfigError` or `MissingPackage` if a plot can't be written to the `path` given by `option`."""
    if not path:
        return
    where = Path(path).absolute()
    if not where.parent.is_dir():
        raise ConfigError(f"{option} {path}: can't be written, there is no folder {Path(path).parent}; make it first.")
    if where.is_dir():
        raise ConfigError(f"{option} {path}: is a folder; give the name of a .png, .svg or .pdf file.")
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingPackage('plots need matplotlib: pip install "analogjax[plot]"') from None
    known = Figure().canvas.get_supported_filetypes()
    if where.suffix.lower().removeprefix(".") not in known:
        raise ConfigError(f"{option} {path}: of no known kind; give a .png, .svg or .pdf file.")


def _plottable(name: str) -> tuple[Any, Any]:
    """The device of that name, and the pulses of its updates if its preset defines them. Raises `ConfigError`."""
    from analogjax.physics import Device
    from analogjax.tile import presets

    parts = [part for part in presets.PARTS if isinstance(presets.preset_part(part), Device)]
    classes = [one for one in _known_devices() if one not in ("Ideal", "FloatingPoint")]
    match = same_name(name, (*classes, *parts, *presets.PRESETS))
    if match in presets.PRESETS:
        config = presets.preset(match)
        return config.device, config.update
    if match in parts:
        return presets.preset_part(match), None
    if match is None:
        known = (*presets.PRESETS, *parts, *classes)
        raise ConfigError(f"devices plot {name}: unknown; {nearest(name, known)}Known: {', '.join(known)}.")
    return made_device(match, {}), None
