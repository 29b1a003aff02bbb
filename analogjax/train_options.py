"""The options of `analogjax train`: one table that checks both the command line and config files."""

import argparse
import difflib
import json
import math
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analogjax.errors import ConfigError
from analogjax.hardware_options import MODIFIERS

_MANY = 2**31 - 1


@dataclass(frozen=True)
class Option:
    """One option: its name as in a config file, its check, its default and its help text."""

    name: str
    check: Callable[[Any], Any]
    """Takes a value of a file, or the text of the command line as `Text`; raises `ValueError` with what it needs."""
    default: Any
    help: str
    metavar: str | None = None
    off: str | None = None
    """Of a flag: the option that switches it off again."""

    @property
    def flag(self) -> str:
        """Name on the command line."""
        return f"--{self.name.replace('_', '-')}"

    def add(self, parser: Any) -> None:
        """Add it to a parser; if it is not given, the parser returns nothing for it."""
        if self.off is not None:
            group = parser.add_mutually_exclusive_group()
            given: dict[str, Any] = {"dest": self.name, "default": argparse.SUPPRESS}
            group.add_argument(self.flag, action="store_const", const=True, help=self.help, **given)
            group.add_argument(self.off, action="store_const", const=False, help=argparse.SUPPRESS, **given)
            return
        action = "append" if self.name == "set" else "store"
        parser.add_argument(
            self.flag, action=action, default=argparse.SUPPRESS, metavar=self.metavar, help=self.help.replace("%", "%%")
        )

    def checked(self, value: Any, where: str) -> Any:
        """Return `value` as the training takes it. Raises a `ConfigError` that starts with `where` it was given."""
        try:
            return self.check(value)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}.") from None


class Text(str):
    """Text from the command line: numbers are parsed from it, unlike from strings in a file."""


def _whole(low: int, high: int = _MANY) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        number = _number_in(value, int) if isinstance(value, Text) else value
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            raise ValueError(f"needs a whole number from {low} to {high}")
        return number

    return check


def _number(low: float, high: float) -> Callable[[Any], float]:
    def check(value: Any) -> float:
        number = _number_in(value, float) if isinstance(value, Text) else value
        good = isinstance(number, (int, float)) and not isinstance(number, bool) and low <= number <= high
        if not good:
            raise ValueError(f"needs a number from {low:g} to {high:g}")
        return float(number)

    return check


def _number_in(text: str, kind: Any) -> Any:
    try:
        return kind(text)
    except ValueError:
        return None


def _text(value: Any) -> str | None:
    """An optional text; an empty one overrides the file and means "none"."""
    if not isinstance(value, str):
        raise ValueError("needs a text")
    if "\0" in value:
        raise ValueError("holds a zero byte")
    return str(value) or None


def _one_of(*names: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"{_meant(value, names)}choose from {', '.join(names)}")
        return str(value)

    return check


def _or_none(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The check of an option that an empty text takes back."""
    return lambda value: None if value == "" else check(value)


def _meant(value: Any, names: Any) -> str:
    close = difflib.get_close_matches(str(value).casefold(), {name.casefold(): name for name in names}, n=1)
    found = [name for name in names if close and name.casefold() == close[0]]
    return f"did you mean {found[0]}? " if found else ""


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("needs a name")
    return str(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("needs true or false")
    return value


def _layers(value: Any) -> list[int]:
    if isinstance(value, str):
        parts = [_number_in(part, int) for part in value.split(",")] if value.strip() else []
    else:
        parts = value if isinstance(value, list) else [value]
    good = all(isinstance(part, int) and not isinstance(part, bool) and 0 < part <= 2**20 for part in parts)
    if not good:
        raise ValueError(f"needs whole numbers above 0, up to {2**20}, such as 256,128; nothing for no hidden layers")
    return parts


def settings(value: Any) -> dict[str, Any]:
    """Parameters by name, from a table or from texts `NAME=VALUE`. Raises `ValueError`."""
    if isinstance(value, list):
        value = dict(_setting(text) for text in value if text != "")
    if not isinstance(value, dict):
        raise ValueError("needs a table of NAME = VALUE, of the parameters of the device or the algorithm")
    for name, number in value.items():
        if not isinstance(number, (bool, int, float)) or not _fits(number):
            raise ValueError(f"{name} = {_shown(number)}: needs a number, true or false")
    return value


def _fits(number: float) -> bool:
    """Whether a device can store it; `inf` is valid for some parameters."""
    try:
        return not math.isnan(float(number))
    except OverflowError:
        return False


def _setting(text: Any) -> tuple[str, Any]:
    if not isinstance(text, str) or "=" not in text:
        raise ValueError("write it as NAME=VALUE, e.g. --set dw_min=0.002")
    name, _, number = text.partition("=")
    return name.strip(), _value(number.strip())


def _value(text: str) -> Any:
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except (ValueError, RecursionError):
        return text


def _shown(value: Any) -> str:
    """A given value, shortened to one line."""
    if isinstance(value, Text):
        value = str(value)
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # digits without end, lists in lists
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


ACTIVATIONS = ("gelu", "relu", "sigmoid", "tanh")
OPTIONS = {
    option.name: option
    for option in (
        Option("dataset", _name, "FashionMNIST",
               "FashionMNIST, MNIST, SVHN, CIFAR10 or Digits (default: FashionMNIST)"),
        Option("fallback_digits", _flag, False, "use the embedded Digits, with a note, if the dataset is missing",
               off="--no-fallback-digits"),
        Option("root", _text, None, "folder of the dataset, also for downloads", "FOLDER"),
        Option("layers", _layers, [256, 128], "hidden layer sizes, e.g. 256,128 (default); '' for none"),
        Option("activation", _one_of(*ACTIVATIONS), "sigmoid", "between layers (default: sigmoid)",
               f"{{{','.join(ACTIVATIONS)}}}"),
        Option("device", _text, None, "device of every crosspoint (default: ConstantStep); see `analogjax devices`"),
        Option("set", settings, {}, "a parameter of the device or the algorithm; repeatable", "NAME=VALUE"),
        Option("algorithm", _text, None,
               "training algorithm: sgd (default), tiki-taka, ttv2, c-ttv2, agad, mp, residual, rider or e-rider"),
        Option("n_devices", _whole(1, 1024), 0,  # a number of its own: it was not given
               "devices at each crosspoint, for residual (needs two or more) and sgd (default: 1)"),
        Option("preset", _text, None, "a complete configuration by aihwkit's name; see `analogjax devices`"),
        Option("learn_out_scaling", _flag, False, "also train a digital scale of each layer's outputs",
               off="--no-learn-out-scaling"),
        Option("hardware_aware", _flag, False,
               "train by gradients with the noise of chips, to be programmed later (`analogjax infer`)",
               off="--no-hardware-aware"),
        Option("modifier", _or_none(_one_of(*MODIFIERS)), None,
               "hardware-aware: how weights are disturbed in each step (default: add-normal)",
               f"{{{','.join(MODIFIERS)}}}"),
        Option("weight_noise", _number(0, 10), None,
               "hardware-aware: standard deviation relative to the largest weight (add-normal) or to each weight "
               "(mult-normal), step (discretize), or probability (drop-connect) of the modifier (default: 0.05)"),
        Option("weight_clip", _number(0, 100), None,
               "hardware-aware: clip weights at so many standard deviations (default: 2.5); 0: never"),
        Option("fresh_chips", _whole(0, 10**6), 0,
               "hardware-aware: new chips in each step, each for its share of the batch (default: 0, one chip)"),
        Option("input_range", _flag, False, "hardware-aware: learn the range of the inputs of each layer",
               off="--no-input-range"),
        Option("optimizer", _one_of("sgd", "adam"), "sgd",
               "of digital parameters, and of hardware-aware weights (default: sgd)", "{sgd,adam}"),
        Option("epochs", _whole(0), 5, "epochs (default: 5); 0: none"),
        Option("batch_size", _whole(1, 10**6), 64, "items per mini-batch (default: 64)"),
        Option("lr", _number(0, 1000), 0.05, "learning rate (default: 0.05)"),
        Option("seed", _whole(0, 2**32 - 1), 0, "determines everything random (default: 0)"),
        Option("max_elements", _whole(0), 0, "use the first N items only (default: 0, all)", "N"),
        Option("on", _text, None, "device to compute on: cpu, cuda, tpu, cuda:1 (default: JAX's default)", "DEVICE"),
        Option("run", _text, None,
               "record in this folder or URL, with checkpoints; the same command resumes", "FOLDER"),
        Option("runs", _text, None, "record in a new folder in this folder or URL (default: runs)", "ROOT"),
        Option("no_record", _flag, False, "record nothing", off="--record"),
        Option("endpoint_url", _text, None,
               "endpoint of S3 or Google Storage, if not the provider's default", "URL"),
        Option("checkpoint", _text, None, "save here after every epoch, and resume from here", "FOLDER"),
        Option("checkpoint_every_steps", _whole(0), 0, "also save every N steps (default: 0, never)", "N"),
        Option("output", _one_of("table", "jsonl", "csv"), "table", "how results are printed (default: table)",
               "{table,jsonl,csv}"),
        Option("plot", _text, None, "write the curves to FILE (.png, .svg or .pdf)", "FILE"),
        Option("compilation_cache", _text, None, "cache compiled programs here, for faster starts", "FOLDER"),
    )
}  # fmt: skip
_TILES = ("device", "set", "algorithm", "n_devices")
_RIVALS = {  # options of a file that an option on the command line overrides as well
    "preset": _TILES, **dict.fromkeys(_TILES, ("preset",)),
    "run": ("runs", "no_record"), "runs": ("run", "no_record"), "no_record": ("run", "runs"),
}  # fmt: skip


def add_options(parser: Any, without: Collection[str] = ()) -> None:
    """Add all options of the table but those of certain names, and `--config`, to a parser."""
    parser.add_argument("--config", metavar="FILE", help="options from a TOML or JSON file")
    for name, option in OPTIONS.items():
        if name not in without:
            option.add(parser)


def options_of(given: argparse.Namespace) -> dict[str, Any]:
    """All options by name: from the command line, else from the config file, else the default; all checked alike.

    Raises `ConfigError` for the first invalid value, naming where it was given.
    """
    typed = {name: _typed(option, getattr(given, name)) for name, option in OPTIONS.items() if hasattr(given, name)}
    filed = _from_file(given.config) if given.config else {}
    for name, value in typed.items():
        for rival in _RIVALS.get(name, ()) if value else ():
            filed.pop(rival, None)
    if typed.get("set"):
        typed["set"] = filed.get("set", {}) | typed["set"]
    return {name: option.default for name, option in OPTIONS.items()} | filed | typed


def _typed(option: Option, value: Any) -> Any:
    shown = "" if isinstance(value, bool) else " ".join([value] if isinstance(value, str) else value) or "''"
    if len(shown) > 80:
        shown = f"{shown[:77]}..."
    where = f"{option.flag} {shown}".strip()
    return option.checked(Text(value) if isinstance(value, str) else value, where)


def _from_file(name: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for written, value in _read(name).items():
        key = written.replace("-", "_")
        if key not in OPTIONS:
            raise ConfigError(
                f"--config {name}: unknown option {_shown(written)}; {_meant(key, OPTIONS)}known are "
                f"{', '.join(OPTIONS)}."
            )
        if key in options:
            raise ConfigError(f"--config {name}: {key} is given twice; keep one of them.")
        options[key] = OPTIONS[key].checked(value, f"--config {name}: {written} = {_shown(value)}")
    return options


def _read(name: str) -> Mapping[str, Any]:
    path = Path(name)
    try:
        text = path.read_text(encoding="utf-8-sig")
        options = json.loads(text, object_pairs_hook=_once) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"--config {name}: can't be read ({error}); give a TOML or JSON file.") from None
    if not isinstance(options, dict):
        raise ConfigError(
            f'--config {name}: holds {_shown(options)}; give a table of options, such as {{"epochs": 5}}.'
        )
    return options


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is given twice")
    return dict(pairs)
