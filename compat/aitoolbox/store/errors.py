"""What can go wrong with a saved experiment; each is an `AnalogError` and the Python error that aitoolbox raised."""

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager

from analogjax.errors import AnalogError
from analogjax.store.files import remedy


class ExperimentError(AnalogError):
    """Root of the savers' and loaders' errors."""


class BadName(ExperimentError, ValueError):
    """A project, experiment, time stamp or file name cannot be the name of one file in one folder."""


class SaveError(ExperimentError, OSError):
    """The disk refuses; what was saved before is untouched."""


class DamagedFile(ExperimentError, RuntimeError):
    """A saved file is cut, altered or missing."""


class UnsafeFile(ExperimentError, pickle.UnpicklingError):
    """A file holds more than data: reading it could run a program."""


class NotData(ExperimentError, TypeError, pickle.PicklingError):
    """Something to be saved is more than data, so that it could not be read back; nothing was written."""


class MixedSaves(DamagedFile):
    """The files of one experiment are whole, and of different saves: one was cut off before its last file."""


class WrongModel(ExperimentError, RuntimeError):
    """A checkpoint and a model do not fit."""


class UnknownObject(ExperimentError, ValueError, TypeError):
    """A model refers to a class or function by a name that does not lead to it."""


class NoSuchExperiment(ExperimentError, FileNotFoundError):
    """There is no such experiment, or no such file in it."""


@contextmanager
def explained(target: str | os.PathLike[str]) -> Iterator[None]:
    """Convert errors of the disk while `target` is written to a `SaveError` with the remedy."""
    try:
        yield
    except AnalogError:
        raise
    except OSError as error:
        told = f"{os.fspath(target)} could not be saved: {error}. {remedy(error)} What was there is untouched."
        refusal = SaveError(told)
        refusal.errno = error.errno
        raise refusal from error
