"""Reading `Batches` one by one, with checks, and saving the position so that reading can resume there."""

import base64
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from analogjax.errors import ConfigError, NonFiniteError, ShapeError
from analogjax.experiments.dataset import Batches

Pair = tuple[np.ndarray, np.ndarray]
_END = object()  # after the last batch


class Stream:
    """The training batches of `Batches`, epoch by epoch, in order."""

    def __init__(self, data: Batches) -> None:
        self.data = data
        self.like: Pair | None = None
        self._iterator: Iterator[Any] | None = None
        self._waiting: Any = None  # a state that the next iterator begins with

    @property
    def restorable(self) -> bool:
        """Whether reading can resume exactly at any position."""
        return self._repeatable or self._stateful(self._source()) or self._stateful(self._iterator)

    @property
    def _repeatable(self) -> bool:
        return callable(self.data.train) or isinstance(self.data.train, Sequence)

    def _source(self) -> Any:
        return None if callable(self.data.train) else self.data.train

    def _stateful(self, value: Any) -> bool:
        return hasattr(value, "get_state") or hasattr(value, "state_dict")

    def begin(self, epoch: int, step: int = 0) -> None:
        """Prepare to read an epoch from batch number `step` on."""
        endless = hasattr(self.data.train, "__next__")
        if self._waiting is None and endless and self._iterator is not None:
            return
        source = self.data.train(epoch) if callable(self.data.train) else self.data.train
        if self._waiting is not None and hasattr(source, "load_state_dict"):
            source.load_state_dict(self._waiting)
            self._waiting = None
        self._iterator = iter(source)
        if self._waiting is not None and hasattr(self._iterator, "set_state"):
            self._iterator.set_state(self._waiting)
            self._waiting = None
        elif self._repeatable:
            for _ in itertools.islice(self._iterator, step):
                continue

    def take(self, count: int, epoch: int, step: int) -> list[Pair]:
        """Return up to `count` next batches, fewer if the epoch ends. Raises if their shapes differ."""
        assert self._iterator is not None
        left = count if self.data.steps is None else min(count, self.data.steps - step)
        found = []
        for n in range(left):
            batch = next(self._iterator, _END)
            if batch is _END:
                break
            found.append(self._checked(batch, f"batch {step + n} of epoch {epoch}"))
        if self.data.steps is not None and len(found) < left:
            raise ConfigError(
                f"dataset {self.data.name}: the iterator ended before batch {step + len(found)} of epoch {epoch}, with "
                f"steps={self.data.steps}. Give fewer steps or epochs, or an iterator that continues."
            )
        return found

    def state(self) -> Any:
        """The reading position as JSON; `None` if it is not needed to find it again, or can't be obtained."""
        for value in (self._iterator, self._source()):
            read = getattr(value, "get_state", None) or getattr(value, "state_dict", None)
            if read is not None:
                return _to_json(read(), self.data.name)
        return None

    def restore(self, state: Any) -> None:
        """At the next `begin`, continue from `state`."""
        self._waiting, self._iterator = _from_json(state), None

    def _checked(self, batch: Any, where: str) -> Pair:
        x, y = pair_of(batch, self.data, where)
        if self.like is None:
            self.like = (x, y)
        check_like(self.like, (x, y), self.data.name, where)
        return x, y


def tests_of(data: Batches) -> Iterator[Any]:
    """The test batches, from the start."""
    return iter(data.test() if callable(data.test) else data.test)


def chunks(batches: Iterable[Pair], size: int) -> Iterator[list[Pair]]:
    """List of up to `size` batches."""
    source = iter(batches)
    while found := list(itertools.islice(source, size)):
        yield found


def pair_of(batch: Any, data: Batches, where: str) -> Pair:
    """`x` and `y` of a batch as arrays. Raises `ConfigError` if it is not a pair, `NonFiniteError` for NaNs in it."""
    names = data.fields
    try:
        parts = [batch[name] for name in names] if names is not None else list(batch)
    except (KeyError, TypeError, IndexError) as error:
        raise ConfigError(f"dataset {data.name}, {where}: is a {type(batch).__name__} ({error}), no pair.") from None
    if names is None and (isinstance(batch, dict) or len(parts) != 2):
        raise ConfigError(
            f"dataset {data.name}, {where}: is a {type(batch).__name__} of {len(parts)}; a batch is a pair (x, y), or "
            "a dict, with Batches(fields=('image', 'label'))."
        )
    x, y = (np.asarray(part) for part in parts)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y) or len(x) == 0:
        raise ShapeError(
            f"dataset {data.name}, {where}: x {list(x.shape)} and y {list(y.shape)} have different numbers of items."
        )
    for name, part in (("x", x), ("y", y)):
        if part.dtype.kind == "f" and not np.all(np.isfinite(part)):
            raise NonFiniteError(f"dataset {data.name}, {where}: {name} holds NaN or infinite values; drop or fix it.")
    return x, y


def check_like(first: Pair, pair: Pair, name: str, where: str) -> None:
    """Raise `ShapeError` if a batch differs in shape from the first one, or is longer."""
    for letter, a, b in zip("xy", first, pair, strict=True):
        if a.shape[1:] != b.shape[1:] or len(b) > len(a) or a.dtype != b.dtype:
            raise ShapeError(
                f"dataset {name}, {where}: {letter} is {b.dtype}{list(b.shape)}, and was {a.dtype}{list(a.shape)} in "
                "the first batch. All batches need the same shape; only the last may have fewer items."
            )


def _to_json(state: Any, name: str) -> Any:
    if isinstance(state, bytes):
        return {"bytes": base64.b64encode(state).decode()}
    try:
        return {"json": json.loads(json.dumps(state, default=_number))}
    except TypeError as error:
        raise ConfigError(f"dataset {name}: the state of its iterator can't be saved as JSON ({error}).") from None


def _number(value: Any) -> Any:
    """A NumPy number as a Python number. Raises `TypeError` for anything else."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} can't be represented in JSON")


def _from_json(state: Any) -> Any:
    return base64.b64decode(state["bytes"]) if "bytes" in state else state["json"]
