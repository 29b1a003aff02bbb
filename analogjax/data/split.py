"""One split of a dataset, held in memory as it is on disk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Split:
    """Images and labels of one split; nothing is scaled or normalised yet.

    Attributes:
        images: uint8 `[N, H, W]` or `[N, H, W, C]`, 0 to 255.
        labels: int32 `[N]`, 0 to classes - 1.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        """The number of items `N`."""
        return len(self.labels)

    def head(self, n: int) -> Split:
        """The first `n` items; all of them where `n <= 0` or `n >= N` (aihwkit's `max_elements_train`)."""
        if n <= 0 or n >= len(self):
            return self
        return Split(self.images[:n], self.labels[:n])

    def channels_first(self) -> Split:
        """The split with images `[N, C, H, W]`, as torch has them."""
        images = self.images[:, None] if self.images.ndim == 3 else self.images.transpose(0, 3, 1, 2)
        return Split(np.ascontiguousarray(images), self.labels)
