"""A figure of matplotlib, which is imported when one is made, and writing it to a file."""

import os
from typing import Any

from analogjax.errors import ConfigError, MissingPackage


def new_figure(width: float, height: float) -> Any:
    """An empty figure of a size [inches]. Raises `MissingPackage` without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingPackage('plots need matplotlib: pip install "analogjax[plot]"') from None
    return Figure(figsize=(width, height), layout="constrained")


def write_figure(figure: Any, path: str | os.PathLike[str], dpi: int = 150) -> None:
    """Write it to `path`. Raises `ConfigError` if that can't be written."""
    try:
        figure.savefig(path, dpi=dpi)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"plot {os.fspath(path)!r}: can't be written ({error}); give a writable .png, .svg or .pdf."
        ) from None
