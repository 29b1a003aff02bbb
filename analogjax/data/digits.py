"""Handwritten digits that come with the library: 1797 images of 8x8, for demos and tests without any download.

E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
https://doi.org/10.24432/C50P49, licensed CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/). It is the part that
scikit-learn distributes (`sklearn.datasets.load_digits`).

Changes made, once: the items are in the order of `numpy.random.default_rng(0).permutation(1797)`; the values 0 to 16
became `round(v * 255 / 16)`, uint8. The first 1437 items are the training split, the last 360 the test split.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from analogjax.data.errors import DatasetError

FILE = Path(__file__).with_name("digits.npz")
TRAIN_SIZE = 1437


def read_digits(paths: tuple[Path, ...], train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `[N, 8, 8]` and labels uint8 `[N]` of the embedded archive.

    Raises:
        DatasetError: the installed package lacks the archive, or it is damaged.
    """
    (path,) = paths
    part = slice(None, TRAIN_SIZE) if train else slice(TRAIN_SIZE, None)
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return archive["images"][part], archive["labels"][part]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetError(f"{path}, a part of analogjax, is unreadable ({error}): install analogjax again") from error
