"""matplotlib's pyplot, imported when something is drawn."""

from typing import Any

from analogjax.errors import MissingPackage


def pyplot() -> Any:
    """`matplotlib.pyplot`. Raises `MissingPackage`."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise MissingPackage(f'plots need matplotlib ({error}): pip install "analogjax[plot]"') from error
    return pyplot
