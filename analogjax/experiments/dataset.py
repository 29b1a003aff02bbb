"""Custom data: arrays in memory, or batches from an iterator."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from analogjax._field_docs import document_fields
from analogjax.data import Split
from analogjax.errors import ConfigError


class DatasetLike(Protocol):
    """Anything that provides labelled items: an entry of `analogjax.data`, or `Arrays`."""

    @property
    def name(self) -> str:
        """Name in records and results."""
        ...

    @property
    def mean(self) -> Any:
        """Mean of the images in [0, 1], broadcast against one image."""
        ...

    @property
    def std(self) -> Any:
        """Standard deviation of the images in [0, 1], broadcast against one image."""
        ...

    def load(self, root: Any = None, *, train: bool) -> Split:
        """Load one split: uint8 images (to be scaled to [0, 1] and normalised), or other numbers (used unchanged)."""
        ...


@document_fields
@dataclass(frozen=True)
class Arrays:
    """A custom dataset: a training and a test split in memory.

    `Split(images=x, labels=y)`: `x` `[N, ...]` of any kind, `y` classes `[N]` (whole numbers) or targets `[N, ...]`
    (any numbers). uint8 images are scaled to [0, 1], then normalised by `mean` and `std`; other numbers are used
    unchanged.

    Example:
        >>> Arrays(Split(x[:900], y[:900]), Split(x[900:], y[900:]))
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
        """Return a split; `root` is not used."""
        return self.train if train else self.test


@document_fields
@dataclass(frozen=True)
class Batches:
    """A dataset that arrives in batches `(x, y)`: from a torch DataLoader, grain, tf.data, Hugging Face, or a
    generator.

    All batches have the same shape, except that the last one of an epoch may be shorter. An interrupted run resumes
    exactly if the data can be restored: with a function of the epoch, a list, or an iterator that has `get_state` and
    `set_state` (grain) or `state_dict` and `load_state_dict` (torchdata, datasets). With anything else it resumes after
    a whole epoch, and warns that the order of the items may differ.

    Raises:
        ConfigError: If the data can't be iterated, or only once where it is needed in every epoch.
    """

    train: Iterable[Any] | Callable[[int], Iterable[Any]]
    """Training batches, iterated once per epoch. A function is called with the epoch, and must return the same
    batches for the same epoch.
    """
    test: Iterable[Any] | Callable[[], Iterable[Any]]
    """Test batches, iterated after each epoch."""
    name: str = "Batches"
    """Name in records and results."""
    fields: tuple[Any, Any] | None = None
    """Names of x and y where batches are dicts, such as `("image", "label")`."""
    steps: int | None = None
    """Batches per epoch, for an endless iterator, which then continues from epoch to epoch."""
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
