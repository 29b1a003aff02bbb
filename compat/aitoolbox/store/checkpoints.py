"""The checkpoints of an experiment, by the names of their files."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from compat.aitoolbox.store.checksums import Table

FOLDER = "checkpoint_model"
_PLACE = re.compile(r"_E(\d+)(?:_ITER(\d+))?\.[A-Za-z0-9]+")


@dataclass(frozen=True)
class Checkpoint:
    """A model that was saved during training: its epoch, its iteration unless it ends the epoch, and its file.

    `saved` is when [s since 1970], 0 where that is not known.
    """

    epoch_num: int
    iteration_idx: int | None
    file_name: str
    saved: float = 0.0

    @property
    def order(self) -> tuple[float, int, float]:
        """What is greater the newer the checkpoint is: first when it was saved, then how far it had come."""
        return self.saved, self.epoch_num, math.inf if self.iteration_idx is None else self.iteration_idx


def among(files: Iterable[str], experiment: str, table: Table | None) -> tuple[Checkpoint, ...]:
    """The checkpoints among the `files` of the folder `experiment`, in the order of training."""
    found = []
    start = f"{FOLDER}/model_{experiment}"
    for name in sorted(set(files)):
        place = _PLACE.fullmatch(name, len(start)) if name.startswith(start) else None
        if place is not None:
            saved = table.saved(name) if table is not None else 0.0
            iteration = None if place[2] is None else int(place[2])
            found.append(Checkpoint(int(place[1]), iteration, name.removeprefix(f"{FOLDER}/"), saved))
    return tuple(sorted(found, key=lambda one: one.order[1:]))
