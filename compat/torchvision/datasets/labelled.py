"""torchvision's datasets, read by `analogjax.data`."""

import os
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from analogjax import data
from compat.torch_package import torch

try:
    from PIL import Image
except ImportError:
    Image = None  # type: ignore[assignment]


class _Vision(torch.utils.data.Dataset):
    """Labelled images in memory."""

    entry: ClassVar[data.Dataset]
    _images: np.ndarray
    _labels: np.ndarray

    def _open(self, root: Any, train: bool, download: bool, transform: Any, target_transform: Any) -> None:
        self.root, self.train = os.fspath(root), train
        self.transform, self.target_transform = transform, target_transform
        split = self.entry.load(root, train=train, download=download)
        self._images, self._labels = split.images, split.labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image: Any = self._images[index]
        label: Any = int(self._labels[index])
        if Image is not None:
            image = Image.fromarray(image)
        if self.transform is not None:
            image = self.transform(image)
        return image, label if self.target_transform is None else self.target_transform(label)

    def __repr__(self) -> str:
        return f"Dataset {type(self).__name__}\n    Number of datapoints: {len(self)}\n    Root location: {self.root}"


class MNIST(_Vision):
    """Handwritten digits."""

    entry = data.MNIST
    classes: ClassVar[list[str]] = [
        f"{n} - {name}"
        for n, name in enumerate("zero one two three four five six seven eight nine".split())
    ]  # fmt: skip

    def __init__(
        self,
        root: Any,
        train: bool = True,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        download: bool = False,
    ) -> None:
        self._open(root, train, download, transform, target_transform)

    @property
    def data(self) -> Any:
        """Images uint8 `[N, 28, 28]`."""
        return torch.from_numpy(np.array(self._images))

    @property
    def targets(self) -> Any:
        """Labels int64 `[N]`."""
        return torch.from_numpy(self._labels.astype(np.int64))


class FashionMNIST(MNIST):
    """Pictures of clothes."""

    entry = data.FashionMNIST
    classes = "T-shirt/top|Trouser|Pullover|Dress|Coat|Sandal|Shirt|Sneaker|Bag|Ankle boot".split("|")


class CIFAR10(_Vision):
    """Small photographs."""

    entry = data.CIFAR10
    classes: ClassVar[list[str]] = "airplane automobile bird cat deer dog frog horse ship truck".split()

    def __init__(
        self,
        root: Any,
        train: bool = True,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        download: bool = False,
    ) -> None:
        self._open(root, train, download, transform, target_transform)

    @property
    def data(self) -> np.ndarray:
        """Images uint8 `[N, 32, 32, 3]`."""
        return self._images

    @property
    def targets(self) -> list[int]:
        """Labels."""
        return [int(label) for label in self._labels]


class SVHN(_Vision):
    """House numbers."""

    entry = data.SVHN

    def __init__(
        self,
        root: Any,
        split: str = "train",
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        download: bool = False,
    ) -> None:
        if split not in ("train", "test"):
            raise ValueError(f"SVHN(split={split!r}): choose 'train' or 'test'; the extra split is not offered here.")
        self.split = split
        self._open(root, split == "train", download, transform, target_transform)

    @property
    def data(self) -> np.ndarray:
        """Images uint8 `[N, 3, 32, 32]`."""
        return np.ascontiguousarray(self._images.transpose(0, 3, 1, 2))

    @property
    def labels(self) -> np.ndarray:
        """Labels int64 `[N]`."""
        return self._labels.astype(np.int64)
