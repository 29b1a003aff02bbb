"""The `analogjax` command: `train`, `runs` and `devices` on this machine, `serve` and `cloud` for many."""

import argparse
import json
import os
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from analogjax._version import __version__
from analogjax.cloud.command import add_cloud_command, add_serve_command
from analogjax.devices_command import add_devices_command, described, made_config
from analogjax.errors import AnalogError, ConfigError
from analogjax.runs_command import add_record_options, add_runs_command, begin_record, recorded, storage_options

_TRAIN = """\
Train a classifier with analog layers, and print the loss and accuracy of every epoch.

  analogjax train --dataset Digits --layers 32 --epochs 5
  analogjax train --device SoftBounds --set dw_min=0.002 --set up_down=0.01 --seed 3
  analogjax train --device SoftBoundsReference --algorithm agad --learn-out-scaling
  analogjax train --preset TikiTakaReRamSBPreset
  analogjax train --config run.toml --run runs/a              (again after a stop: goes on where it was)

Every training is recorded in a folder of its own below `runs`, or where --run or --runs say: config, environment,
metrics, curves and a report; `analogjax runs` shows them. Checkpoints are written with --run, into the same folder,
or with --checkpoint, into the one that it names. Folders may be s3://... or gs://... URLs.

A config file (TOML or JSON) holds the same options by their long names, e.g. `epochs = 5`, `layers = [256, 128]`, and
`[set]` for device parameters; what is given on the command line wins.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code (0 fine, 1 an error that is told, 2 wrong usage, 130 interrupted)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    try:
        return options.act(options)
    except AnalogError as error:
        print(f"analogjax: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nanalogjax: interrupted. {_resume_hint(options)}".rstrip(), file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader of our output is gone (`| head`): nothing to tell, and nobody to tell it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _resume_hint(options: argparse.Namespace) -> str:
    if options.command != "train":
        return ""
    folder, run = getattr(options, "checkpoint", None), getattr(options, "run_folder", None)
    if not folder and not run:
        return "No checkpoint was saved; give --run FOLDER to be able to go on after a stop."
    again = f"--checkpoint {folder}" if folder else f"--run {run}"
    return f"The same command with {again} goes on from the last checkpoint, or begins again if there is none yet."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="analogjax", description="Analog in-memory computing, simulated in JAX.")
    parser.add_argument("--version", action="version", version=f"analogjax {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_train(commands)
    add_runs_command(commands)
    add_serve_command(commands)
    add_cloud_command(commands)
    add_devices_command(commands)
    return parser


def _add_train(commands: Any) -> None:
    train = commands.add_parser(
        "train",
        help="train a classifier with analog layers",
        description=_TRAIN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = train.add_argument
    add("--config", metavar="FILE", help="options from a TOML or JSON file")
    add("--dataset", help="FashionMNIST, MNIST, SVHN, CIFAR10 or Digits (default: FashionMNIST)")
    add(
        "--fallback-digits", action="store_true", help="use the embedded Digits if the dataset can't be had, and say so"
    )
    add("--root", metavar="FOLDER", help="where the dataset is, or is downloaded to")
    add("--layers", help="hidden layer sizes, e.g. 256,128 (default); '' for none")
    add("--activation", choices=sorted(_ACTIVATIONS), help="between layers (default: sigmoid)")
    add("--device", help="device of every crosspoint (default: ConstantStep); see `analogjax devices`")
    add("--set", action="append", metavar="NAME=VALUE", help="a parameter of the device; repeatable")
    add("--algorithm", help="how it is trained: sgd (default), tiki-taka, ttv2, c-ttv2, agad, mp or residual")
    add(
        "--n-devices",
        type=int,
        help="devices at each crosspoint, for residual (needs two or more) and sgd (default: 1)",
    )
    add("--preset", help="a whole configuration instead, by aihwkit's name; see `analogjax devices`")
    add("--learn-out-scaling", action="store_true", help="also train a digital scale of each layer's outputs")
    add("--epochs", type=int, help="epochs (default: 5)")
    add("--batch-size", type=int, help="items per mini-batch (default: 64)")
    add("--lr", type=float, help="learning rate (default: 0.05)")
    add("--seed", type=int, help="decides everything that is random (default: 0)")
    add("--max-elements", type=int, help="use the first N items only (default: all)")
    add("--on", metavar="DEVICE", help="where to compute: cpu, cuda, tpu, cuda:1 (default: what JAX prefers)")
    add_record_options(add)
    add("--checkpoint", metavar="FOLDER", help="save here after every epoch, and go on from what is there")
    add("--checkpoint-every-steps", type=int, help="also save every N steps (default: never)")
    add("--output", choices=("table", "jsonl", "csv"), help="how results are printed (default: table)")
    add("--plot", metavar="FILE", help="write the curves to FILE (.png, .svg or .pdf)")
    add("--compilation-cache", metavar="FOLDER", help="keep compiled programs here: later starts are quicker")
    train.set_defaults(act=_train)


_DEFAULTS: dict[str, Any] = {
    "dataset": "FashionMNIST",
    "fallback_digits": False,
    "root": None,
    "layers": [256, 128],
    "activation": "sigmoid",
    "device": None,
    "set": {},
    "algorithm": None,
    "n_devices": 0,
    "preset": None,
    "learn_out_scaling": False,
    "epochs": 5,
    "batch_size": 64,
    "lr": 0.05,
    "seed": 0,
    "max_elements": 0,
    "on": None,
    "run": None,
    "runs": None,
    "no_record": False,
    "endpoint_url": None,
    "checkpoint": None,
    "checkpoint_every_steps": 0,
    "output": "table",
    "plot": None,
    "compilation_cache": None,
}
_ACTIVATIONS = ("sigmoid", "tanh", "relu", "gelu")


def _train(given: argparse.Namespace) -> int:
    options = _merged(given)
    given.checkpoint, given.run_folder = options["checkpoint"], options["run"]  # for the hint after Ctrl-C
    import jax

    from analogjax.experiments import find_device
    from analogjax.report import write_curves, writer_for

    if options["compilation_cache"]:
        jax.config.update("jax_compilation_cache_dir", os.path.abspath(options["compilation_cache"]))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    _check_plot(options["plot"])
    experiment, device = _experiment(options), find_device(options["on"])
    record = begin_record(options, experiment.dataset.name, _recorded_config(options, experiment), _computed_on(device))
    writer = writer_for(options["output"], sys.stdout)
    if options["output"] == "table":
        print(_headline(experiment, options), flush=True)
    with recorded(record):
        results = _run(experiment, options, writer, record)
    writer.close(results)
    if options["plot"]:
        write_curves(results, options["plot"], title=f"{experiment.dataset.name}, {described(options)}")
        print(f"curves: {options['plot']}", file=sys.stderr)
    return 0


def _check_plot(path: str | None) -> None:
    """Raises `ConfigError` before the training if there is no folder for its plot."""
    if path and not Path(path).absolute().parent.is_dir():
        raise ConfigError(f"--plot {path}: can't be written, there is no folder {Path(path).parent}; make it first.")


def _run(experiment: Any, options: dict[str, Any], writer: Any, record: Any) -> Any:
    from analogjax.experiments import CheckpointOptions, Hooks, LocalRunner

    return LocalRunner(device=options["on"]).run(
        experiment,
        options["max_elements"],
        options["root"],
        stdout=False,
        seed=options["seed"],
        checkpoint_dir=_checkpoint_folder(options, record),
        checkpoints=CheckpointOptions(every_steps=options["checkpoint_every_steps"]),
        hooks=Hooks(on_epoch=lambda event: writer.epoch(event.metrics)),
        record=record,
    )


def _checkpoint_folder(options: dict[str, Any], record: Any) -> Any:
    """Where --checkpoint says, else with the record that --run names, else nowhere."""
    if options["checkpoint"] and options["endpoint_url"]:
        from analogjax.store import Location

        return Location.of(options["checkpoint"], storage_options=storage_options(options["endpoint_url"]))
    return options["checkpoint"] or (record.checkpoints if options["run"] else None)


def _recorded_config(options: dict[str, Any], experiment: Any) -> dict[str, Any]:
    """What decides the run, by the names of the options."""
    names = ("dataset", "layers", "activation", "device", "set", "epochs", "batch_size", "lr", "max_elements")
    given = {name: options[name] for name in ("learn_out_scaling", "n_devices") if options[name]}
    given |= {"algorithm": options["algorithm"].lower()} if options["algorithm"] else {}
    given |= {"preset": described(options)} if options["preset"] else {}
    known = {"dataset": experiment.dataset.name, "device": described(options, recorded=True)}
    return {name: options[name] for name in (*names, "root", "on")} | given | known


def _computed_on(device: Any) -> dict[str, Any]:
    return {"computed_on": f"{device.platform}:{device.id} ({device.device_kind})"}


def _headline(experiment: Any, options: dict[str, Any]) -> str:
    sizes = "-".join(str(n) for n in (*options["layers"], experiment.dataset.classes))
    return (
        f"{experiment.dataset.name}: layers {sizes} of {described(options)} devices, batch {experiment.batch_size}, "
        f"learning rate {experiment.learning_rate}, seed {options['seed']}"
    )


def _experiment(options: dict[str, Any]) -> Any:
    import jax

    from analogjax import nn
    from analogjax.data import DatasetError, Digits, named
    from analogjax.experiments import BasicTraining

    dataset, config = named(options["dataset"]), made_config(options)
    if options["fallback_digits"]:
        try:
            dataset.load(options["root"], train=True)
            dataset.load(options["root"], train=False)
        except DatasetError as error:
            first = str(error).splitlines()[0]
            print(f"NOTE: {dataset.name} can't be had here ({first}); using the embedded Digits instead.", flush=True)
            dataset = Digits
    activation = getattr(jax.nn, options["activation"], None) or jax.numpy.tanh
    layers: list[Any] = [nn.flatten]
    for size in options["layers"]:
        layers += [nn.AnalogLinear(size, config), activation]
    layers += [nn.AnalogLinear(dataset.classes, config), jax.nn.log_softmax]
    return BasicTraining(
        dataset=dataset,
        model=nn.Sequential(*layers),
        batch_size=options["batch_size"],
        epochs=options["epochs"],
        learning_rate=options["lr"],
    )


def _merged(given: argparse.Namespace) -> dict[str, Any]:
    """Defaults, then the config file, then the command line."""
    options = dict(_DEFAULTS)
    options |= _from_file(given.config) if given.config else {}
    for name in _DEFAULTS:
        value = getattr(given, name)
        if value not in (None, False):
            options[name] = value
    options["layers"], options["set"] = _layers(options["layers"]), _settings(options["set"])
    return options


def _from_file(name: str) -> dict[str, Any]:
    path = Path(name)
    try:
        text = path.read_text()
        options = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--config {name}: can't be read ({error}); give a TOML or JSON file.") from None
    options = {key.replace("-", "_"): value for key, value in options.items()}
    unknown = sorted(set(options) - set(_DEFAULTS))
    if unknown:
        raise ConfigError(f"--config {name}: unknown option {unknown[0]!r}; known are {', '.join(_DEFAULTS)}.")
    return options


def _layers(value: Any) -> list[int]:
    parts = value if isinstance(value, (list, tuple)) else [part for part in str(value).split(",") if part.strip()]
    try:
        sizes = [int(part) for part in parts]
    except ValueError:
        sizes = [0]
    if any(size <= 0 for size in sizes):
        raise ConfigError(f"--layers {value!r}: needs whole numbers above 0, such as 256,128.")
    return sizes


def _settings(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    settings = {}
    for text in value:
        name, equals, number = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text!r}: write it as NAME=VALUE, e.g. --set dw_min=0.002.")
        settings[name.strip()] = _value(number.strip())
    return settings


def _value(text: str) -> Any:
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except ValueError:
        return text
