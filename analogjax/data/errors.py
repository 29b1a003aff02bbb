"""Errors of datasets: missing, corrupt or unreachable files, unknown names, unusable folders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analogjax.errors import AnalogError


class DatasetError(AnalogError):
    """A dataset could not be found, downloaded or read. The message states what was given, where, and the remedy."""


class UnreachableError(DatasetError):
    """No address of a file answered with the file.

    Attributes:
        attempts: one `(address, what went wrong)` per address, in the order tried.
    """

    def __init__(self, name: str, attempts: tuple[tuple[str, str], ...]) -> None:
        self.attempts = attempts
        tried = "".join(f"\n  {address}: {reason}" for address, reason in attempts)
        super().__init__(f"{name} could not be downloaded. Tried:{tried or ' nothing: it has no address'}")


def corrupt(path: Path, problem: str) -> DatasetError:
    """The error for a file whose content is wrong: names the file, the `problem` and the remedy."""
    return DatasetError(
        f"{path}: {problem}. Delete this file, or put a whole copy in its place, and load again: "
        f"a file that is missing is downloaded afresh."
    )


@contextmanager
def on_disk(action: str, path: Path) -> Iterator[None]:
    """Convert an operating system error inside the block to a DatasetError that names `action`, `path` and a remedy."""
    try:
        yield
    except OSError as error:
        raise DatasetError(
            f"cannot {action} {path}: {error.strerror or error}. Check the permissions and the free space there, "
            f"or choose another folder: pass it as root (dataset_root in an experiment) or set ANALOGJAX_DATA."
        ) from error
