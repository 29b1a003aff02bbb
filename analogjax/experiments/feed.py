"""The data of a training: pieces of an epoch, each as arrays on the device and rows of indices.

A split in memory is one piece, visited in a random order. Batches from an iterator are collected into pieces of a few,
so that one compiled call takes many steps; a piece ends where a checkpoint is due, so that nothing is read ahead of
what was trained on.
"""

import itertools
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from analogjax._field_docs import document_methods
from analogjax._typing import Array, Key
from analogjax.data import Split
from analogjax.errors import ConfigError
from analogjax.experiments import fingerprint
from analogjax.experiments.dataset import Batches
from analogjax.experiments.images import Images, check_labels, images_of
from analogjax.experiments.loop import validation_rows
from analogjax.experiments.stream import Pair, Stream, check_like, chunks, pair_of, tests_of

Rows = tuple[Array, Array]
PIECE = 16  # batches of a piece
_LOOKED_AT = 8  # batches by which the data of a function are identified


class Piece(NamedTuple):
    """Some steps of an epoch."""

    data: Images
    rows: Rows  # indices and weights [S, B]
    first: int  # the step of the epoch that row 0 is
    steps: int  # rows that are there; the others are padding
    items: int  # that count


class Feed(Protocol):
    """Training and test items of a run."""

    example: Images  # to make the model for
    steps: int  # of a piece at most
    total: int | None  # steps of an epoch, where known

    def pieces(self, epoch: int, step: int, order: Any, until: Any) -> Iterator[Piece]:
        """The pieces of an epoch from `step` on; `until(step)` is the step before which a piece must end."""
        ...

    def tests(self) -> Iterator[tuple[Images, Rows, int]]:
        """The test items, with their rows and how many count."""
        ...

    def identity(self) -> dict[str, Any]:
        """What must be the same for another run to continue this one."""
        ...

    def sizes(self) -> dict[str, int]:
        """Numbers of items, where known."""
        ...

    def check_classes(self, classes: int) -> None:
        """Raise `ConfigError` if labels are not valid for that number of classes, now or when they are read."""
        ...

    def state(self) -> Any:
        """Current position in the data, as JSON."""
        ...

    def resume(self, state: Any, epoch: int, step: int) -> None:
        """Continue from a saved position."""
        ...


class Whole:
    """A training and a test split in memory."""

    def __init__(self, dataset: Any, limit: int, root: Any, batch_size: int, device: jax.Device, key: Key) -> None:
        train, test = (dataset.load(root, train=train).head(limit) for train in (True, False))
        self.dataset, self.key = dataset, key
        self.example = images_of(train, dataset, device, "the training split")
        self.test = images_of(test, dataset, device, "the test split")
        self.total: int | None = self.example.steps(batch_size)
        self.steps = self.example.steps(batch_size)

    def pieces(self, epoch: int, step: int, order: Any, until: Any) -> Iterator[Piece]:
        rows = order(self.example, epoch, self.key)
        yield Piece(self.example, rows, 0, self.steps, self.example.labels.shape[0])

    def tests(self) -> Iterator[tuple[Images, Rows, int]]:
        items = self.test.labels.shape[0]
        yield self.test, validation_rows(items), items

    def identity(self) -> dict[str, Any]:
        normalised = fingerprint.of_arrays(*(np.asarray(v, np.float32) for v in (self.dataset.mean, self.dataset.std)))
        # as they are trained on, whatever they were given as
        contents = [fingerprint.of_arrays(split.images, split.labels) for split in (self.example, self.test)]
        return self.sizes() | {"train_data": contents[0], "test_data": contents[1], "normalisation": normalised}

    def sizes(self) -> dict[str, int]:
        return {"train_items": self.example.labels.shape[0], "test_items": self.test.labels.shape[0]}

    def check_classes(self, classes: int) -> None:
        for images, which in ((self.example, "the training split"), (self.test, "the test split")):
            check_labels(np.asarray(images.labels), classes, f"dataset {self.dataset.name}, {which}")

    def state(self) -> Any:
        return None

    def resume(self, state: Any, epoch: int, step: int) -> None:
        return None  # the order of an epoch is a function of its key


class Streamed:
    """Batches from an iterator."""

    def __init__(self, data: Batches, batch_size: int, every_steps: int, device: jax.Device) -> None:
        self.data, self.device, self.stream = data, device, Stream(data)
        self.total: int | None = data.steps
        self.steps, self.batch_size = PIECE, batch_size
        self._classes = 0  # not checked yet
        self.stream.begin(0)
        first = self.stream.take(1, 0, 0)
        if not first:
            raise ConfigError(f"dataset {data.name}: the training batches ended before the first one.")
        if len(first[0][0]) != batch_size:
            raise ConfigError(
                f"dataset {data.name}: the first batch holds {len(first[0][0])} items, and batch_size={batch_size}; "
                "give BasicTraining the batch_size of the batches."
            )
        if every_steps and not self.stream.restorable:
            raise ConfigError(
                f"dataset {data.name}: CheckpointOptions(every_steps={every_steps}) needs batches that can be found "
                "again within an epoch. Give a list, a function of the epoch, or an iterator with get_state and "
                "set_state or state_dict and load_state_dict; or save after whole epochs only."
            )
        self._ahead: list[Pair] | None = first  # of epoch 0
        self.example = self._images(first, batch_size)

    def pieces(self, epoch: int, step: int, order: Any, until: Any) -> Iterator[Piece]:
        if self._ahead is None or epoch or step:
            self.stream.begin(epoch, step)
            self._ahead = None
        size = self.batch_size
        while True:
            room = min(PIECE, until(step) - step)
            ahead, self._ahead = self._ahead or [], None
            found = ahead + self.stream.take(room - len(ahead), epoch, step + len(ahead))
            if not found:
                return
            if any(len(x) < size for x, _ in found[:-1]):
                raise ConfigError(f"dataset {self.data.name}: a batch of epoch {epoch} is short but not the last.")
            yield Piece(
                self._images(found, size), self._rows(found, size), step, len(found), sum(len(x) for x, _ in found)
            )
            step += len(found)

    def tests(self) -> Iterator[tuple[Images, Rows, int]]:
        size = 0
        for found in chunks(self._test_pairs(), PIECE):
            size = size or len(found[0][0])
            yield self._images(found, size), self._rows(found, size), sum(len(x) for x, _ in found)

    def identity(self) -> dict[str, Any]:
        assert self.stream.like is not None
        x, y = self.stream.like
        shapes = {"items": f"{x.dtype}{list(x.shape[1:])}", "targets": f"{y.dtype}{list(y.shape[1:])}"}
        normalised = fingerprint.of_arrays(*(np.asarray(v, np.float32) for v in (self.data.mean, self.data.std)))
        return {
            "train_data": shapes | {"batches": self._repeated(self.data.train, 0)}, "steps": self.data.steps,
            "test_data": self._repeated(self.data.test), "normalisation": normalised,
        }  # fmt: skip

    def _repeated(self, source: Any, *epoch: int) -> str | None:
        """A hash of the first batches, if the source repeats them each time; a loader may shuffle them."""
        if not (callable(source) or isinstance(source, Sequence)):
            return None
        batches = source(*epoch) if callable(source) else source
        some = batches if isinstance(batches, Sequence) else itertools.islice(batches, _LOOKED_AT)
        return fingerprint.of_arrays(*(part for batch in some for part in pair_of(batch, self.data, "a batch")))

    def sizes(self) -> dict[str, int]:
        return {}

    def check_classes(self, classes: int) -> None:
        self._classes = classes

    def state(self) -> Any:
        return self.stream.state()

    def resume(self, state: Any, epoch: int, step: int) -> None:
        self._ahead = None
        if state is not None:
            self.stream.restore(state)
        elif not self.stream.restorable:
            if hasattr(self.data.train, "__next__"):
                raise ConfigError(
                    f"dataset {self.data.name}: its iterator can't be restored to the position of this run, and would "
                    "start with other batches. Give one with get_state and set_state, or a function of the epoch."
                )
            warnings.warn(
                f"dataset {self.data.name}: the run resumes with epoch {epoch}, but the order of its batches can't be "
                "restored and may differ from that of an uninterrupted run; give a function of the epoch to repeat it.",
                stacklevel=2,
            )

    def _test_pairs(self) -> Iterator[Pair]:
        like = None
        for n, batch in enumerate(tests_of(self.data)):
            pair = pair_of(batch, self.data, f"test batch {n}")
            like = like or pair
            check_like(like, pair, self.data.name, f"test batch {n}")
            yield pair
        if like is None:
            raise ConfigError(f"dataset {self.data.name}: there are no test batches.")

    def _images(self, found: list[Pair], size: int) -> Images:
        """Batches of `size` items as one split of `PIECE` batches, padded with the first items."""
        x, y = (np.concatenate([pair[n] for pair in found]) for n in (0, 1))
        if self._classes:
            check_labels(y, self._classes, f"dataset {self.data.name}, batches of {size}")
        fill = np.arange(PIECE * size) % len(x)
        return images_of(Split(x[fill], y[fill]), self.data, self.device, "a batch")

    def _rows(self, found: list[Pair], size: int) -> Rows:
        weights = np.zeros((PIECE, size), np.float32)
        for n, (x, _) in enumerate(found):
            weights[n, : len(x)] = 1.0
        return jnp.arange(PIECE * size, dtype=jnp.int32).reshape(PIECE, size), jnp.asarray(weights)


for _kind in (Whole, Streamed):
    document_methods(_kind, Feed)
