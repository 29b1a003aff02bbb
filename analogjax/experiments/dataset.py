"""Data of one's own: arrays in memory, or batches that come one after the other."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from analogjax._field_docs import document_fields
from analogjax.data import Split
from analogjax.errors import ConfigError


class DatasetLike(Protocol):
    """Anything that gives labelled items: a catalogue entry of `analogjax.data`, or `Arrays`."""

    @property
    def name(self) -> str:
        """What the results call it."""
        ...

    @property
    def mean(self) -> Any:
        """Mean of the images in [0, 1], broadcast against one image."""
        ...

    @property
    def std(self) -> Any:
        """Their standard deviation."""
        ...

    def load(self, root: Any = None, *, train: bool) -> Split:
        """One split, images uint8 (scaled to [0, 1], then normalised), or other numbers (used as they are)."""
        ...


@document_fields
@dataclass(frozen=True)
class Arrays:
    """A dataset of one's own: a training and a test split in memory.

    `Split(images=x, labels=y)`: `x` `[N, ...]` of any kind, `y` `[N]` classes (whole numbers), or targets `[N, ...]` of
    any numbers. uint8 images are scaled to [0, 1], then normalised by `mean` and `std`; other numbers are used as they
    are.
    """

    train: Split
    """Training split."""
    test: Split
    """Test split, evaluated after each epoch."""
    name: str = "Arrays"
    """Name in records and results."""
    mean: Any = (0.0,)
    """Mean of the normalisation of uint8 images, per channel."""
    std: Any = (1.0,)
    """Standard deviation of that normalisation, per channel."""

    def load(self, root: Any = None, *, train: bool) -> Split:
        """The split; `root` is not used."""
        return self.train if train else self.test


@document_fields
@dataclass(frozen=True)
class Batches:
    """A dataset that comes batch by batch `(x, y)`: of a torch DataLoader, grain, tf.data, Hugging Face, a generator.

    All batches have one shape; the last of an epoch may be shorter. A killed run goes on exactly where the data can be
    restored: with a function of the epoch, a list, or an iterator that has `get_state` and `set_state` (grain) or
    `state_dict` and `load_state_dict` (torchdata, datasets). With anything else it goes on after a whole epoch, and
    says that the order of its items may differ.
    Raises `ConfigError` for what can't be gone through.
    """

    train: Iterable[Any] | Callable[[int], Iterable[Any]]
    """Gone through once each epoch; a function is called with the epoch, and gives the same for the same one."""
    test: Iterable[Any] | Callable[[], Iterable[Any]]
    """What is gone through after each epoch."""
    name: str = "Batches"
    """Name in records and results."""
    fields: tuple[Any, Any] | None = None
    """Names of x and y where batches are dicts, such as `("image", "label")`."""
    steps: int | None = None
    """Batches of an epoch, for an iterator without an end; it then goes on from epoch to epoch."""
    mean: Any = (0.0,)
    """Mean of the normalisation of uint8 images, per channel."""
    std: Any = (1.0,)
    """Standard deviation of that normalisation, per channel."""

    def __post_init__(self) -> None:
        for name in ("train", "test"):
            value = getattr(self, name)
            if not (callable(value) or hasattr(value, "__iter__")):
                raise ConfigError(f"Batches({name}={value!r}): give something that can be iterated, or a function.")
        if hasattr(self.test, "__next__"):
            raise ConfigError(
                "Batches(test=...): an iterator can be gone through only once, and the test batches are needed after "
                "each epoch; give a list, a loader, or a function that makes the iterator."
            )
        good = self.steps is None or (isinstance(self.steps, int) and self.steps > 0)
        if not good:
            raise ConfigError(f"Batches(steps={self.steps!r}): needs a whole number above 0, or None.")
        if self.steps is None and hasattr(self.train, "__next__"):
            raise ConfigError(
                "Batches(train=...): an iterator can be gone through only once. Give `steps`, the batches of an epoch; "
                "or a list, a loader, or a function of the epoch that makes the iterator."
            )
