"""`analogjax infer`: programs chips with trained weights, and prints their accuracy over time."""

import argparse
import dataclasses
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analogjax.devices_command import check_plot, nearest, same_name
from analogjax.errors import ConfigError
from analogjax.runs_command import add_places, run_location, storage_options
from analogjax.train_command import experiment_of, recorded_options
from analogjax.train_options import ACTIVATIONS, settings

_INFER = """\
Program chips with trained weights, let them drift, and print the accuracy at several times, over many chips.

  analogjax infer runs/a
  analogjax infer runs/a --chips 100 --times 1s,1h,1d,1y --plot drift.png
  analogjax infer runs/a --material StateIndependent --set drift_nu_mean=0.05 --compensation none
  analogjax infer weights.npz --dataset FashionMNIST --activation relu

RUN is a training recorded by `analogjax train`: a folder, an s3://... or gs://... URL, or a name in --runs. FILE (.npz
or .safetensors) holds the matrices of a network of linear layers, `NAME.weight` [outputs, inputs] (or `NAME.kernel`
[inputs, outputs]) and `NAME.bias`, in the order of the layers.
"""
_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "y": 365 * 86_400.0}
_COMPENSATIONS = ("global", "per-column", "exact", "none")


def add_infer_command(commands: Any) -> None:
    """Add `infer` to the subcommands of the parser."""
    infer = commands.add_parser(
        "infer", help="accuracy of trained weights on programmed chips, over time", description=_INFER,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    infer.add_argument("what", metavar="RUN|FILE", help="a recorded training, or a file of weights")
    infer.add_argument("--chips", default="10", metavar="N", help="chips to program (default: 10)")
    infer.add_argument("--times", default="1s,1h,1d,1y", help="seconds, or with s, min, h, d, y (default: 1s,1h,1d,1y)")
    infer.add_argument("--material", default="PCMLike", help="noise model of the devices (default: PCMLike)")
    infer.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the material")
    infer.add_argument("--compensation", choices=_COMPENSATIONS, default="global", help="of drift (default: global)")
    infer.add_argument("--dataset", help="of a file; a run has its own")
    infer.add_argument("--activation", choices=ACTIVATIONS, help="of a file: between its layers (default: relu)")
    add_places(infer)
    infer.add_argument("--batch-size", default="500", metavar="N", help="images read at once (default: 500)")
    infer.add_argument("--max-elements", default="0", metavar="N", help="use the first N images only (default: 0, all)")
    infer.add_argument("--seed", default="0", metavar="N", help="decides everything that is random (default: 0)")
    infer.add_argument("--on", metavar="DEVICE", help="device to compute on: cpu, cuda, tpu (default: JAX's default)")
    infer.add_argument("--output", choices=("table", "csv", "json"), default="table", help="default: table")
    infer.add_argument("--plot", metavar="FILE", help="plot accuracy over time, with error bars, to FILE")
    infer.set_defaults(act=_infer)


def _infer(given: argparse.Namespace) -> int:
    check_plot("--plot", given.plot)
    numbers = {name: _whole(given, name) for name in ("chips", "batch_size", "max_elements", "seed")}
    times, material = _times(given.times), made_material(given.material, _settings(given.set))
    compensation = _compensation(given.compensation)
    from analogjax.experiments import evaluate
    from analogjax.report import write_chip_results, write_drift_plot

    dataset, model, variables = _file_of(given) if _is_file(given.what) else _run_of(given)
    progress = given.output == "table" and sys.stderr.isatty()

    def told(found: Any) -> None:
        if progress:
            print(f"\r{len(found.accuracy)}/{numbers['chips']} chips", end="", file=sys.stderr, flush=True)

    results = evaluate(
        model, variables, dataset, times=times, noise_model=material, compensation=compensation,
        dataset_root=given.root, device=given.on, on_chips=told, chips=numbers["chips"],
        batch_size=numbers["batch_size"], max_elements=numbers["max_elements"], seed=numbers["seed"],
    )  # fmt: skip
    if progress:
        print(file=sys.stderr)
    write_chip_results(results, given.output, sys.stdout)
    if given.plot:
        title = f"{dataset.name} on {numbers['chips']} chips of {type(material).__name__}"
        write_drift_plot(results, given.plot, title=title)
        print(f"plot: {given.plot}", file=sys.stdout if given.output == "table" else sys.stderr)
    return 0


def _whole(given: argparse.Namespace, name: str) -> int:
    text, low = getattr(given, name), 0 if name in ("max_elements", "seed") else 1
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not low <= number < 2**31:
        raise ConfigError(f"--{name.replace('_', '-')} {text}: needs a whole number from {low} to {2**31 - 1}.")
    return number


def _settings(given: list[str]) -> dict[str, Any]:
    try:
        return settings(given)
    except ValueError as error:
        raise ConfigError(f"--set: {error}.") from None


def _times(text: str) -> tuple[float, ...]:
    return tuple(_time(part.strip()) for part in text.split(","))


def _time(text: str) -> float:
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = text[len(number) :].strip()
    number = text if unit not in ("", *_UNITS) else number
    try:
        seconds = float(number) * _UNITS[unit or "s"]
    except (ValueError, KeyError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ConfigError(f"--times {text}: needs a time of 0 or more, such as 30, 1s, 1h, 1d or 1y.")
    return seconds


def made_material(name: str, given: Mapping[str, Any]) -> Any:
    """A noise model by class name and parameters. Raises `ConfigError` for unknown ones."""
    known = _materials()
    match = same_name(name, known)
    if match is None:
        raise ConfigError(f"--material {name}: unknown; {nearest(name, known)}Known: {', '.join(known)}.")
    fields = [field.name for field in dataclasses.fields(known[match])]
    for setting in given:
        if setting not in fields:
            raise ConfigError(f"--set {setting}: {match} has no such parameter; it has {', '.join(fields)}.")
    defaults = {field.name: field.default for field in dataclasses.fields(known[match])}
    for setting, value in given.items():
        default = defaults[setting]
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if isinstance(default, bool) and not isinstance(value, bool):
            raise ConfigError(f"--set {setting}={value}: needs true or false.")
        if not isinstance(default, bool) and not (number and isinstance(default, (int, float, type(None)))):
            raise ConfigError(f"--set {setting}={value}: only numbers of {match} can be set here; use Python for it.")
    try:
        return known[match](**given)
    except (AttributeError, TypeError) as error:
        raise ConfigError(f"--set: only numbers of {match} can be set here ({error}); use Python for it.") from None


def _materials() -> dict[str, Any]:
    from analogjax.physics import inference

    kinds = {name: kind for name, kind in sorted(vars(inference).items()) if dataclasses.is_dataclass(kind)}
    return {name: kind for name, kind in kinds.items() if _stands_alone(kind)}


def _stands_alone(kind: Any) -> bool:
    """Whether it is a noise model that can be made without arguments."""
    needs = [
        field for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]  # fmt: skip
    return not needs and callable(getattr(kind, "program", None)) and callable(getattr(kind, "drift", None))


def _compensation(name: str) -> Any:
    from analogjax.physics import inference

    kinds = {
        "global": inference.GlobalCompensation, "per-column": inference.PerColumnCompensation,
        "exact": inference.ExactReference,
    }  # fmt: skip
    return None if name == "none" else kinds[name]()


def _is_file(what: str) -> bool:
    return Path(what).suffix.lower() in (".npz", ".safetensors")


def _file_of(given: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Dataset, model and variables of a file of weights."""
    from analogjax.data import DatasetError, named
    from analogjax.weights_file import read_network

    if not given.dataset:
        raise ConfigError(f"infer {given.what}: a file of weights does not name its data; give --dataset NAME.")
    try:
        dataset = named(given.dataset)
    except DatasetError as error:
        raise ConfigError(f"--dataset {given.dataset}: {error}") from None
    model, variables, (outputs, inputs) = read_network(given.what, given.activation or "relu")
    pixels = dataset.load(given.root, train=False).images[0].size
    if (outputs, inputs) != (dataset.classes, pixels):
        raise ConfigError(
            f"infer {given.what}: the network has {inputs} inputs and {outputs} outputs; {dataset.name} has {pixels} "
            f"pixels and {dataset.classes} classes."
        )
    return dataset, model, variables


def _run_of(given: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Dataset, model and trained variables of a recorded run."""
    for name in ("dataset", "activation"):
        if getattr(given, name):
            raise ConfigError(f"--{name}: a recorded run has its own; leave it out, or give a file of weights.")
    location = run_location(given.what, given.runs, given.endpoint_url)
    experiment, variables = model_of_run(location, given.root, given.endpoint_url)
    return experiment.dataset, experiment.model, variables


def model_of_run(location: Any, root: str | None, endpoint_url: str | None) -> tuple[Any, Any]:
    """Experiment and trained variables of a run that `analogjax train` recorded. Raises `ConfigError` for others."""
    import jax.numpy as jnp

    from analogjax import nn, random
    from analogjax.store import Checkpoints
    from analogjax.store.run_folder import read_run

    experiment = experiment_of(recorded_options(read_run(location)))
    split = experiment.dataset.load(root, train=False).head(1)
    like = nn.init(experiment.model, jnp.asarray(split.images[..., None], jnp.float32), random.key(0))
    with Checkpoints(location / "model", storage_options=storage_options(endpoint_url)) as saved:
        variables, _ = saved.restore(like)
    return experiment, variables
