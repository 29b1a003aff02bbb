"""Items on a device, in the form in which batches need them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from analogjax._field_docs import document_fields
from analogjax._typing import Array
from analogjax.data import Split, steps_per_epoch
from analogjax.errors import ConfigError, NonFiniteError, ShapeError


@document_fields
class Images(NamedTuple):
    """A split on the device, with its normalisation `(image / 255 - mean) / std` (uint8 images only)."""

    images: Array
    """uint8 `[N, ...]`, scaled and normalised; or float32 or int32, used unchanged."""
    labels: Array
    """Classes `[N]` int32, or targets `[N, ...]`."""
    mean: Array
    """Mean of the normalisation, broadcast against an image."""
    std: Array
    """Standard deviation of the normalisation, broadcast against an image."""

    def batch(self, indices: Array) -> tuple[Array, Array]:
        """Normalised images `[B, ...]` and labels `[B]`."""
        x = self.images[indices]
        if x.dtype == jnp.uint8:
            axes = (1,) * (x.ndim - self.mean.ndim)
            mean, std = (v.reshape(*axes, *v.shape) for v in (self.mean, self.std))
            x = (x.astype(jnp.float32) * (1 / 255) - mean) * (1 / std)
        return x, self.labels[indices]

    def steps(self, batch_size: int) -> int:
        """Number of batches that cover all items."""
        return steps_per_epoch(self.labels.shape[0], batch_size)

    @property
    def classified(self) -> bool:
        """Whether the labels are classes, i.e. whole numbers."""
        return jnp.issubdtype(self.labels.dtype, jnp.integer)


def images_of(split: Split, dataset: Any, device: jax.Device, which: str = "a split") -> Images:
    """Put a split on a device; error messages call it `which`.

    Raises `ConfigError` if it is empty or not numeric, `ShapeError` if the numbers of images and labels differ,
    `NonFiniteError` for NaN and infinite values.
    """
    images = _numbers(np.asarray(split.images), f"dataset {dataset.name}, {which}", "item", keep=np.uint8)
    labels = _numbers(np.asarray(split.labels), f"dataset {dataset.name}, {which}", "label of item")
    if len(images) == 0:
        raise ConfigError(f"dataset {dataset.name}: {which} holds no items; nothing can be trained on it, or read.")
    if len(images) != len(labels):
        raise ShapeError(f"dataset {dataset.name}: {which} holds {len(images)} images and {len(labels)} labels.")
    if images.ndim == 3 and images.dtype == np.uint8:
        images = images[..., None]
    mean, std = (np.asarray(v, np.float32) for v in (dataset.mean, dataset.std))
    return Images(*(jax.device_put(value, device) for value in (images, labels, mean, std)))


def _numbers(values: np.ndarray, where: str, what: str, keep: Any = None) -> np.ndarray:
    """Numbers in a dtype of the device: float32 or int32; arrays of dtype `keep` are left alone."""
    if keep is not None and values.dtype == keep:
        return values
    if values.dtype.kind == "V" and jnp.issubdtype(values.dtype, jnp.floating):  # bfloat16 and its like
        values = values.astype(np.float32)
    if values.ndim == 0 or values.dtype.kind not in "biuf":
        raise ConfigError(f"{where}: holds {values.dtype}; give arrays of real numbers with one entry for each {what}.")
    if values.dtype.kind == "f":
        values = values.astype(np.float32)
        finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        if not np.all(finite):
            raise NonFiniteError(
                f"{where}: {what} {int(np.argmin(finite))} holds NaN or infinite values; drop or fix it."
            )
        return values
    bounds = np.iinfo(np.int32)
    if values.size and not (values.min() >= bounds.min and values.max() <= bounds.max):
        raise ConfigError(f"{where}: holds whole numbers beyond int32 ({values.min()} to {values.max()}).")
    return values.astype(np.int32)


def check_labels(labels: np.ndarray, classes: int, where: str) -> None:
    """Raise `ConfigError` if labels are not classes 0 to `classes - 1`."""
    if labels.dtype.kind not in "biu":
        return
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        n = int(wrong[0])
        raise ConfigError(
            f"{where}: the label of item {n} is {labels.reshape(-1)[n]}, and the model has {classes} outputs, for the "
            f"classes 0 to {classes - 1}. Fix the labels, or give the model more outputs."
        )
