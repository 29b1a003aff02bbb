"""Which files of an experiment belong together: each carries the number of the save that wrote it.

`save_experiment` writes a model and then its results. Each file is replaced as a whole, but a process that dies between
two of them leaves the model of one save next to the results of another. The numbers reveal this.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

EXPERIMENT, RESULTS = "experiment", "results"  # what a save wrote: model and results, or results alone


@dataclass(frozen=True)
class Save:
    """One save: its number, `""` if that is not known, and what is recorded of it besides the checksums of its
    files.
    """

    number: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Version:
    """What one content of a file looks like, when it was saved [s since 1970], and by which save."""

    size: int
    sha256: str
    saved: float = 0.0
    pending: bool = False
    save: str = ""

    def same(self, other: "Version") -> bool:
        """Whether both are one content."""
        return (self.size, self.sha256) == (other.size, other.sha256)


_going_on: ContextVar[Save | None] = ContextVar("the save that is going on", default=None)


@contextmanager
def begun(kind: str, record: Callable[[], Mapping[str, Any]] = dict) -> Iterator[None]:
    """All files that are written inside belong to one save, that of an outer block if there is one."""
    if going_on().number:
        yield
        return
    with of(Save(f"{kind}-{uuid4().hex}", record())):
        yield


@contextmanager
def of(save: Save) -> Iterator[None]:
    """Files that are written inside belong to `save`."""
    before = _going_on.set(save)
    try:
        yield
    finally:
        _going_on.reset(before)


def going_on() -> Save:
    """The save that is going on; outside of one it has no number."""
    return _going_on.get() or Save()


def present(lines: Sequence[Version], size: int | None, digest: Callable[[], str] | None) -> Version | None:
    """Which of the contents that a file may have it has, by its size and, if need be, by its SHA-256.

    `None` if the file is none of them, or if it takes the SHA-256 to tell and there is no `digest`.
    """
    if len(lines) < 2:
        return lines[0] if lines else None
    fitting = [line for line in lines if size is None or line.size == size]
    if len(fitting) > 1 and digest is not None:
        found = digest()
        fitting = [line for line in fitting if line.sha256 == found]
    return fitting[-1] if fitting and len({line.save for line in fitting}) == 1 else None


def difference(model: Version, results: Version) -> str:
    """What is wrong with this model for these results, `""` if nothing is known to be.

    Results that were saved alone, after the model, are a later evaluation of it. A model and results that were both
    saved alone have nothing that would tell.
    """
    if model.save == results.save or not (_is_joint(model) or _is_joint(results)):
        return ""
    if results.save.startswith(RESULTS) and results.saved >= model.saved:
        return ""
    return f"the model is of the save of {_when(model)}, the results are of that of {_when(results)}"


def split(results: Sequence[Version]) -> str:
    """What is wrong with these files of results, `""` if they are of one save."""
    if len({line.save for line in results}) < 2:
        return ""
    return f"the files of results are of the saves of {' and '.join(sorted({_when(line) for line in results}))}"


def _is_joint(line: Version) -> bool:
    return line.save.startswith(EXPERIMENT)


def _when(line: Version) -> str:
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line.saved))
    return f"{moment}.{int(line.saved % 1 * 1000):03d}"
