"""Neural networks on analog in-memory-computing chips, simulated in JAX."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analogjax._version import __version__ as __version__

if TYPE_CHECKING:
    from analogjax._pytree import pytree as pytree
    from analogjax.data import CIFAR10 as CIFAR10
    from analogjax.data import MNIST as MNIST
    from analogjax.data import SVHN as SVHN
    from analogjax.data import Digits as Digits
    from analogjax.data import FashionMNIST as FashionMNIST
    from analogjax.errors import AnalogError as AnalogError
    from analogjax.experiments import BasicTraining as BasicTraining
    from analogjax.experiments import LocalRunner as LocalRunner
    from analogjax.nn import AnalogLinear as AnalogLinear
    from analogjax.nn import Sequential as Sequential
    from analogjax.tile import TileConfig as TileConfig

_PLACES = {
    "pytree": "_pytree", "AnalogError": "errors", "TileConfig": "tile",
    **dict.fromkeys(("CIFAR10", "MNIST", "SVHN", "Digits", "FashionMNIST"), "data"),
    **dict.fromkeys(("BasicTraining", "LocalRunner"), "experiments"),
    **dict.fromkeys(("AnalogLinear", "Sequential"), "nn"),
}  # fmt: skip
_MODULES = ("data", "errors", "experiments", "nn", "optim", "physics", "random", "store", "tile")


def _is_command() -> bool:
    """Whether this is the `analogjax` command, `python -m analogjax...` or `python -m compat`, which set up JAX's
    logging before JAX is imported.
    """
    if sys.argv[:1] == ["-m"]:
        after = sys.orig_argv[sys.orig_argv.index("-m") + 1 :]
        return bool(after) and after[0].partition(".")[0] in (__name__, "compat")
    return Path(sys.argv[0] if sys.argv else "").stem == __name__


def __getattr__(name: str) -> Any:
    # imported when first asked for: the command sets how JAX logs, which JAX reads when it is imported
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(_PLACES)}.")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES, *_MODULES])


if not _is_command():
    # flax's own checkpoints must know chips whatever part of the library made them
    from analogjax.nn import serialization as _serialization  # noqa: F401
