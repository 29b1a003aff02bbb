"""`analogjax train`: trains a classifier with analog layers."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analogjax._processor import keep_programs
from analogjax.devices_command import check_plot, described, made_config
from analogjax.errors import ConfigError
from analogjax.runs_command import aside, begin_record, recorded, storage_options
from analogjax.train_options import OPTIONS, add_options, options_of

_TRAIN = """\
Train a classifier with analog layers, and print the loss and accuracy of every epoch.

  analogjax train --dataset Digits --layers 32 --epochs 5
  analogjax train --device SoftBounds --set dw_min=0.002 --set up_down=0.01 --seed 3
  analogjax train --device SoftBoundsReference --algorithm agad --learn-out-scaling
  analogjax train --preset TikiTakaReRamSBPreset
  analogjax train --config run.toml --run runs/a              (repeat it to resume an interrupted training)

Every training is recorded in a new folder below `runs`, or in the one given by --run or --runs: config, environment,
metrics, curves and a report; `analogjax runs` shows them. Checkpoints are saved with --run, in the same folder, or
with --checkpoint, in the given folder. Folders may be s3://... or gs://... URLs.

A config file (TOML or JSON) has the same options by their long names, e.g. `epochs = 5`, `layers = [256, 128]`, and
`[set]` for device parameters. The command line overrides it: 0 counts too, '' removes an option of the file, and
--no-learn-out-scaling, --no-fallback-digits and --record turn off what a file turns on.
"""


def add_train_command(commands: Any) -> None:
    """Add `train` to the subcommands of the parser."""
    train = commands.add_parser(
        "train",
        help="train a classifier with analog layers",
        description=_TRAIN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(train)
    train.set_defaults(act=_train)


def resume_hint(given: argparse.Namespace) -> str:
    """How to resume a training or a sweep that was interrupted."""
    if given.command == "sweep" and not getattr(given, "no_record", False):
        return "The same command makes the runs that are missing."
    if given.command != "train":
        return ""
    folder, run = getattr(given, "checkpoint", None), getattr(given, "run", None)
    if not folder and not run:
        return "No checkpoint was saved; give --run FOLDER to be able to resume after an interruption."
    again = f"--checkpoint {folder}" if folder else f"--run {run}"
    return f"The same command with {again} resumes from the last checkpoint, or starts over if there is none yet."


def _train(given: argparse.Namespace) -> int:
    options = options_of(given)
    given.checkpoint, given.run = options["checkpoint"], options["run"]  # for the hint after Ctrl-C
    _check_places(options)
    if options["compilation_cache"]:
        keep_programs(options["compilation_cache"])
    from analogjax.experiments import find_device
    from analogjax.report import write_curves, writer_for

    experiment, device = experiment_of(options), find_device(options["on"])
    name = experiment.dataset.name
    record = begin_record(options, name, recorded_config(options, name), _computed_on(device))
    writer = writer_for(options["output"], sys.stdout)
    if options["output"] == "table":
        print(_headline(experiment, options), flush=True)
    with recorded(record):
        results = _run(experiment, options, writer, record)
    writer.close(results)
    if options["plot"]:
        write_curves(results, options["plot"], title=f"{name}, {described(options)}")
        print(f"curves: {options['plot']}", file=aside(options))
    return 0


def _check_places(options: Mapping[str, Any]) -> None:
    """Raise `ConfigError` before the training if a result could not be written after it."""
    check_plot("--plot", options["plot"])
    if options["checkpoint_every_steps"] and not (options["checkpoint"] or options["run"]):
        raise ConfigError(
            f"--checkpoint-every-steps {options['checkpoint_every_steps']}: there are no checkpoints; set their folder "
            "with --run FOLDER or --checkpoint FOLDER."
        )
    cache = options["compilation_cache"]
    if cache and os.path.exists(cache) and not os.path.isdir(cache):
        raise ConfigError(f"--compilation-cache {cache}: is not a folder; give one, or a new name.")


def _check_root(dataset: Any, root: str | None) -> None:
    """Raise `ConfigError` if the data would silently be read from somewhere other than `--root`."""
    if root is None:
        return
    if dataset.embedded is not None:
        if not Path(root).expanduser().is_dir():
            raise ConfigError(f"--root {root}: there is no such folder; leave it out, {dataset.name} needs no files.")
        return
    below = dataset.places(root)[:3]
    for train in (True, False):
        found = dataset.find(root, train=train)
        if found is not None and found not in below:
            raise ConfigError(
                f"--root {root}: {dataset.name} is not there, and is in {found}; leave out --root to use it "
                "from there, or give the folder that holds the files."
            )


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
    """The folder given by --checkpoint, else the record named by --run, else none."""
    if options["checkpoint"] and options["endpoint_url"]:
        from analogjax.store import Location

        return Location.of(options["checkpoint"], storage_options=storage_options(options["endpoint_url"]))
    return options["checkpoint"] or (record.checkpoints if options["run"] else None)


def recorded_config(options: dict[str, Any], dataset: str) -> dict[str, Any]:
    """The settings that determine the run, by the names of the options."""
    names = ("dataset", "layers", "activation", "device", "set", "epochs", "batch_size", "lr", "max_elements")
    kept = ("learn_out_scaling", "n_devices", *_OF_AWARE)
    given = {name: options[name] for name in kept if options[name] not in (None, False, 0)}
    given |= {"weight_clip": 0.0} if options["weight_clip"] == 0 else {}
    given |= {"optimizer": options["optimizer"]} if options["optimizer"] != "sgd" else {}
    given |= {"algorithm": options["algorithm"].lower()} if options["algorithm"] else {}
    given |= {"preset": described(options)} if options["preset"] else {}
    known = {"dataset": dataset, "device": described(options, recorded=True)}
    return {name: options[name] for name in (*names, "root", "on")} | given | known


def _computed_on(device: Any) -> dict[str, Any]:
    return {"computed_on": f"{device.platform}:{device.id} ({device.device_kind})"}


def _headline(experiment: Any, options: dict[str, Any]) -> str:
    sizes = "-".join(str(n) for n in (*options["layers"], experiment.dataset.classes))
    return (
        f"{experiment.dataset.name}: layers {sizes} of {described(options)} devices, batch {experiment.batch_size}, "
        f"learning rate {experiment.learning_rate}, seed {options['seed']}"
    )


def experiment_of(options: Mapping[str, Any], dataset: Any = None) -> Any:
    """The training that the options describe; `dataset` is their `dataset_of`, if known. Raises `ConfigError`."""
    import jax

    from analogjax import nn
    from analogjax.experiments import BasicTraining

    dataset, config = dataset_of(options) if dataset is None else dataset, made_config(options)
    activation = jax.numpy.tanh if options["activation"] == "tanh" else getattr(jax.nn, options["activation"])
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
        optimizer=_optimizer(options),
    )


def dataset_of(options: Mapping[str, Any]) -> Any:
    """The data that the options name, or, with `fallback_digits`, those that are here. Raises `ConfigError`."""
    from analogjax.data import DatasetError, Digits, named

    try:
        dataset = named(options["dataset"])
    except DatasetError as error:
        raise ConfigError(f"--dataset {options['dataset']}: {error}") from None
    _check_root(dataset, options["root"])
    if options["fallback_digits"]:
        try:
            dataset.load(options["root"], train=True)
            dataset.load(options["root"], train=False)
        except DatasetError as error:
            first = str(error).splitlines()[0]
            print(f"NOTE: {dataset.name} is unavailable ({first}); using the embedded Digits instead.", flush=True)
            return Digits
    return dataset


def _optimizer(options: Mapping[str, Any]) -> Any:
    """Of the digital parameters and hardware-aware weights; None: plain SGD."""
    if options["optimizer"] == "sgd":
        return None
    import optax

    return optax.adam(options["lr"])


_OF_AWARE = ("hardware_aware", "modifier", "weight_noise", "weight_clip", "fresh_chips", "input_range")


def recorded_options(run: Any) -> dict[str, Any]:
    """The options of a recorded training. Raises `ConfigError` if it was not made by `analogjax train`."""
    config = run.config
    if "layers" not in config or "activation" not in config:
        raise ConfigError(
            f"{run.id}: was not recorded by `analogjax train`, so its model can't be rebuilt here; use "
            "analogjax.experiments.evaluate with the model."
        )
    options = {name: option.default for name, option in OPTIONS.items()}
    options |= {name: value for name, value in config.items() if name in options}
    if options["preset"]:
        options |= {"device": None, "set": {}}
    if options["hardware_aware"]:
        options["device"] = None
    return options
