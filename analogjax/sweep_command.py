"""`analogjax sweep`: trains at many points, and prints a table."""

import argparse
import math
import sys
from collections.abc import Mapping
from typing import Any

from analogjax._processor import keep_programs
from analogjax.devices_command import check_plot
from analogjax.errors import ConfigError
from analogjax.runs_command import ROOT, storage_options
from analogjax.train_command import dataset_of, experiment_of, recorded_config
from analogjax.train_options import OPTIONS, Text, add_options, options_of, settings

_SWEEP = """\
Train at all combinations of some values, and print one row per run. Everything else is given as for `train`.

  analogjax sweep --dataset Digits --layers 32 --over lr=0.02,0.05,0.1 --over seed=0..3 --over chip=0..3
  analogjax sweep --over preset=ReRamSBPreset,EcRamPreset --over seed=0..4 --table presets.csv --plot presets.png
  analogjax sweep --over set.dw_min=0.001,0.01 --over algorithm=sgd,agad --device SoftBoundsReference
  analogjax sweep --over lr=log:0.001..0.1 --samples 20

--over NAME=VALUES may be repeated. VALUES are separated by commas; whole numbers may be a range, 0..3; log:A..B and
uniform:A..B are drawn, --samples times. NAME is `seed`, `chip`, or an option of `train` by its long name; layer sizes
are joined by x, as in layers=256x128,64. set.NAME is a parameter of the device; with --traced all its values share one
compiled program. Runs that share a program are trained in one compiled call.

Each run is recorded in a folder below `runs` (or --runs), named by its values. The same command again repeats only what
is missing; more values add to it.
"""
_NOT_SWEPT = ("run", "checkpoint", "checkpoint_every_steps", "output", "plot", "seed")
_NO_AXIS = (*_NOT_SWEPT, "set", "root", "runs", "no_record", "endpoint_url", "compilation_cache", "on", "max_elements",
            "fallback_digits", "dataset")  # fmt: skip


def add_sweep_command(commands: Any) -> None:
    """Add `sweep` to the subcommands of the parser."""
    parser = commands.add_parser(
        "sweep", help="train at many points, and print a table", description=_SWEEP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--over", action="append", metavar="NAME=VALUES", help="an axis; repeatable, see above")
    parser.add_argument("--samples", metavar="N", default="0", help="draws from the distributions")
    parser.add_argument("--traced", action="store_true", help="give parameters of devices as data")
    parser.add_argument(
        "--at-once", metavar="N", help="runs computed side by side (default: 1 on a CPU, all on accelerators)"
    )
    parser.add_argument("--metric", default="accuracy", help="of the statistics and the plot (default: accuracy)")
    parser.add_argument("--output", choices=("table", "csv", "json"), default="table", help="default: table")
    parser.add_argument("--table", metavar="FILE", help="also write all runs to FILE (.csv, .json or .parquet)")
    parser.add_argument("--plot", metavar="FILE", help="plot means and spreads to FILE (.png, .svg or .pdf)")
    add_options(parser, without=_NOT_SWEPT)
    parser.set_defaults(act=_sweep)


def _sweep(given: argparse.Namespace) -> int:
    from analogjax.report.sweep_table import check_table_name

    axes, samples, at_once = _axes(given), _number(given, "samples", 0), _number(given, "at_once", 1)
    check_plot("--plot", given.plot)
    if given.table:
        check_table_name(given.table)
    options = options_of(argparse.Namespace(**{k: v for k, v in vars(given).items() if k not in ("output", "plot")}))
    if options["compilation_cache"]:
        keep_programs(options["compilation_cache"])
    from analogjax.experiments import sweep

    dataset = dataset_of(options)  # looked for once, not for each run

    def config(point: Mapping[str, Any]) -> dict[str, Any]:
        own = _with(options, {name: value for name, value in point.items() if name != "chip"})
        return recorded_config(own, dataset.name)

    root = None if options["no_record"] else (options["runs"] or ROOT)
    found = sweep(
        lambda **own: experiment_of(_with(options, own), dataset), axes, samples=samples or 0, root=root, config=config,
        storage_options=storage_options(options["endpoint_url"]), max_elements_train=options["max_elements"],
        dataset_root=options["root"], device=options["on"], at_once=at_once,
    )  # fmt: skip
    return _report(found, list(axes), given, root)


def _report(found: Any, axes: list[str], given: argparse.Namespace, root: str | None) -> int:
    from analogjax.report.sweep_table import REPEATS, statistics, table_text, write_sweep_plot, write_sweep_table

    rows = found.rows()
    print(table_text(rows, given.output), end="")
    failed = sum(1 for run in found if run.error)
    aside = sys.stdout if given.output == "table" else sys.stderr
    repeated = any(name in REPEATS for name in axes) and not all(name in REPEATS for name in axes)
    if given.output == "table" and repeated and failed < len(rows):
        print("\nover seeds and chips:\n" + table_text(statistics(rows, axes, given.metric), "table"), end="")
    known = sum(run.was_recorded for run in found)
    print(
        f"{len(rows)} runs" + (f", {known} of them read from their records" if known else "")
        + (f", {failed} failed" if failed else "") + (f"; records: {root}" if root else ""), file=aside,
    )  # fmt: skip
    if given.table:
        write_sweep_table(rows, given.table)
        print(f"table: {given.table}", file=aside)
    if given.plot:
        write_sweep_plot(rows, axes, given.plot, given.metric)
        print(f"plot: {given.plot}", file=aside)
    return 1 if failed else 0


def _number(given: argparse.Namespace, name: str, low: int) -> int | None:
    text = getattr(given, name)
    if text is None:
        return None
    if not text.isdecimal() or int(text) < low:
        raise ConfigError(f"--{name.replace('_', '-')} {text}: needs a whole number, {low} or more.")
    return int(text)


def _with(options: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one point."""
    new = {name: value for name, value in own.items() if not name.startswith("set.")}
    of_device = {name[4:]: value for name, value in own.items() if name.startswith("set.")}
    return dict(options) | new | {"set": options["set"] | of_device}


def _axes(given: argparse.Namespace) -> dict[str, Any]:
    axes: dict[str, Any] = {}
    for text in given.over or []:
        name, sign, values = text.partition("=")
        name = name.strip() if name.strip().startswith("set.") else name.strip().replace("-", "_")
        if not sign or not values.strip():
            raise ConfigError(f"--over {text}: write it as NAME=VALUES, such as lr=0.02,0.1.")
        if name in axes:
            raise ConfigError(f"--over {text}: {name} is given twice; put all its values into one --over.")
        if getattr(given, name, None) is not None:
            raise ConfigError(f"--over {text}: --{name.replace('_', '-')} is given too; leave out one of them.")
        axes[name] = _axis(name, values.strip(), f"--over {text}", given.traced)
    if not axes:
        raise ConfigError("--over: give at least one axis, such as --over seed=0..3.")
    return axes


def _axis(name: str, text: str, where: str, traced: bool) -> Any:
    """The values of an axis. Raises a `ConfigError` that starts with `where`."""
    from analogjax.experiments import LogUniform, Uniform

    of_device = name.startswith("set.")
    if not of_device and (name in _NO_AXIS or name not in OPTIONS) and name not in ("seed", "chip"):
        known = ["seed", "chip", *(one for one in OPTIONS if one not in _NO_AXIS), "set.NAME"]
        raise ConfigError(f"{where}: {name} is no axis; choose from {', '.join(known)}.")
    for kind, make in (("log:", LogUniform), ("uniform:", Uniform)):
        if text.startswith(kind):
            low, high = _bounds(text.removeprefix(kind), where)
            return make(low, high, traced and of_device)
    parts = [part.strip() for part in text.split(",")]
    values = [value for part in parts for value in _range(part, where)]
    checked = [_checked(name, value, where) for value in values]
    if traced and of_device and all(isinstance(value, (int, float)) for value in checked):
        import numpy as np

        return np.asarray(checked, np.float32)
    return checked


def _range(part: str, where: str) -> list[str]:
    """`0..3` as four texts; anything else as it is."""
    low, dots, high = part.partition("..")
    if not dots:
        return [part]
    if not (low.strip().isdecimal() and high.strip().isdecimal()) or int(low) > int(high):
        raise ConfigError(f"{where}: a range is written as 0..3, from low to high.")
    if int(high) - int(low) >= 100_000:
        raise ConfigError(f"{where}: {int(high) - int(low) + 1} values; 100000 runs are allowed.")
    return [str(n) for n in range(int(low), int(high) + 1)]


def _bounds(text: str, where: str) -> tuple[float, float]:
    low, _, high = text.partition("..")
    try:
        bounds = float(low), float(high)
    except ValueError:
        bounds = math.nan, math.nan
    if not all(map(math.isfinite, bounds)):
        raise ConfigError(f"{where}: write a distribution as log:0.001..0.1 or uniform:0.1..0.5.")
    return bounds


def _checked(name: str, text: str, where: str) -> Any:
    if name.startswith("set."):
        try:
            return settings([f"{name[4:]}={text}"])[name[4:]]
        except ValueError as error:
            raise ConfigError(f"{where}: {error}.") from None
    if name == "chip":
        return OPTIONS["seed"].checked(Text(text), where)
    value: Any = Text(text.replace("x", ",") if name == "layers" else text)
    if OPTIONS[name].off is not None and text in ("true", "false"):
        value = text == "true"
    return OPTIONS[name].checked(value, where)
