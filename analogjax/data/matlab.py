"""SVHN's cropped digits: MATLAB 5 files with `X` uint8 `[32, 32, 3, N]` and `y` `[N, 1]`, where label 10 is digit 0.

Netzer et al., "Reading digits in natural images with unsupervised feature learning", NIPS workshop 2011;
http://ufldl.stanford.edu/housenumbers/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from analogjax.data.errors import corrupt, on_disk
from analogjax.errors import MissingPackage


def read_svhn(paths: tuple[Path, ...], train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `[N, 32, 32, 3]` and labels `[N]`, 0 to 9, of the one file in `paths`.

    Raises:
        DatasetError: the file is damaged or holds something else.
        MissingPackage: scipy is not installed.
    """
    (path,) = paths
    variables = _variables(path)
    missing = {"X", "y"} - variables.keys()
    if missing:
        raise corrupt(path, f"the MATLAB file lacks the variable {' and '.join(sorted(missing))}")
    pixels, digits = variables["X"], variables["y"]
    if pixels.ndim != 4 or pixels.dtype != np.uint8:
        raise corrupt(path, f"X should be uint8 [32, 32, 3, N], it is {pixels.dtype} {list(pixels.shape)}")
    if not isinstance(digits, np.ndarray) or digits.dtype.kind not in "iu":
        raise corrupt(path, f"y should be whole numbers, it is {digits.dtype}")
    return np.ascontiguousarray(pixels.transpose(3, 0, 1, 2)), np.where(digits == 10, 0, digits).reshape(-1)


def _variables(path: Path) -> dict[str, Any]:
    """`X` and `y`, as far as they are in `path`."""
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise MissingPackage(f"reading the MATLAB file {path} needs scipy: pip install scipy") from error
    with on_disk("read", path), open(path, "rb") as file:
        try:
            return loadmat(file, variable_names=["X", "y"])
        except Exception as error:  # scipy has no closed set of errors for a damaged file
            raise corrupt(path, f"not a whole MATLAB 5 file ({type(error).__name__}: {error})") from error
