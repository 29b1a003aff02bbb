"""Run programs written for other libraries on analogjax, unchanged.

`compat.install()` makes `import aihwkit` and `import aitoolbox` (and, where the real one is missing, a small
`import torchvision`) resolve to this package in the running process. `python -m compat script.py args` does so for a
whole program.
"""

import importlib
import sys
import types
from typing import Any

from analogjax.errors import AnalogError
from compat import keras_backend
from compat.alias import Alias
from compat.spawned import hand_down


class InstallError(AnalogError, ImportError):
    """The names cannot be taken over in this process."""


def install(torchvision: bool | None = None, aitoolbox: bool | None = None) -> None:
    """Make `aihwkit` and `aitoolbox` mean ours in this process; calling it again changes nothing.

    `torchvision` says whether to offer our minimal one under that name: `None` does where the real one cannot be
    imported, `True` always, `False` never. `aitoolbox` likewise: `None` does unless the real one is already in use; a
    Keras that is imported later then runs on JAX, where TensorFlow is missing and no other backend is chosen. Processes
    started by `multiprocessing` from here have the same names. Raises `InstallError` where a name can't be taken over
    because the real package is already imported.
    """
    names = ["aihwkit"]
    if aitoolbox or (aitoolbox is None and "aitoolbox" not in sys.modules):
        names.append("aitoolbox")
        keras_backend.choose()
    if torchvision or (torchvision is None and not _is_importable("torchvision")):
        names.append("torchvision")
    take_over(names)


def compile(model: Any, loss: Any, optimizer: Any) -> Any:
    """A training step of a torch model as one compiled call; see `compat.whole_step.compile`."""
    from compat import whole_step

    return whole_step.compile(model, loss, optimizer)


def save_for_aihwkit(model: Any, file: Any) -> None:
    """Save a model so that the real aihwkit loads it; see `compat.aihwkit.simulator.tiles.aihwkit_written`."""
    from compat.aihwkit.simulator.tiles import aihwkit_written

    aihwkit_written.save_for_aihwkit(model, file)


def take_over(names: list[str]) -> None:
    """Make these names mean ours, here and in the processes that this one starts. Raises `InstallError`."""
    for name in names:
        _take_over(name)
    hand_down(names)


def _take_over(name: str) -> None:
    if any(isinstance(finder, Alias) and finder.name == name for finder in sys.meta_path):
        return
    present = sys.modules.get(name)
    if present is not None:
        place = getattr(present, "__file__", None) or "an unknown place"
        raise InstallError(
            f"compat.install(): the real {name} is already imported (from {place}), and its classes are in use. "
            f"Call compat.install() before the first `import {name}`, or start the program with `python -m compat`."
        )
    # first in line, or Python's own finder would load our files a second time under the other name
    sys.meta_path.insert(0, Alias(name))


def _is_importable(name: str) -> bool:
    """Whether the real package works; one that is installed but broken leaves no half-imported modules behind."""
    before: dict[str, types.ModuleType] = dict(sys.modules)
    try:
        importlib.import_module(name)
    except Exception:  # a broken binary extension may raise anything
        for loaded in set(sys.modules) - set(before):
            if loaded.partition(".")[0] == name:
                del sys.modules[loaded]
        return False
    return True
