"""Backups and exact resumption for the training loops of Keras and Lightning, in the checkpoints of `analogjax.store`.

Each class needs its package, which is imported when the class is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from analogjax.errors import MissingPackage

if TYPE_CHECKING:
    from analogjax.callbacks.keras_backup import KerasBackup as KerasBackup
    from analogjax.callbacks.lightning_backup import LightningBackup as LightningBackup

from analogjax.callbacks.resumable import Resumable as Resumable

# name -> module that defines it, the packages of which one is needed, and how to install it
_LAZY = {
    "KerasBackup": ("keras_backup", ("keras",), 'pip install "analogjax[keras]"'),
    "LightningBackup": ("lightning_backup", ("lightning", "pytorch_lightning"), 'pip install "analogjax[lightning]"'),
}
__all__ = ["KerasBackup", "LightningBackup", "Resumable"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, packages, command = _LAZY[name]
    try:
        return getattr(import_module(f"{__name__}.{module}"), name)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in (*packages, "torch", "tensorflow"):
            raise
        if error.name == "tensorflow":
            command = "set KERAS_BACKEND=jax before Keras is imported"
        raise MissingPackage(f"{name} needs {' or '.join(packages)} ({error}): {command}") from error
