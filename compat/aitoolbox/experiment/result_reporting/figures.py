"""The drawings, as matplotlib figures of their own: no window, no global state, no change of anybody's style."""

from typing import Any

import numpy as np

from analogjax.errors import MissingPackage
from compat.aitoolbox.store.plain import as_numpy

_BLUE, _POINTS = "#3b6ea5", 200


def curve(metric_name: str, values: Any) -> Any:
    """A figure of the values of a metric over the epochs; of lists of values, one line each.

    Gaps are drawn where a value is `None` or NaN. Raises `ValueError` or `TypeError` for values that are not numbers.
    """
    numbers = _numbers(values)
    figure, axes = _axes()
    axes.plot(np.arange(len(numbers)), numbers, "o-", color=_BLUE if numbers.ndim == 1 else None, markersize=4)
    axes.set_xlabel("Epoch", size=10)
    axes.set_ylabel(metric_name, size=10, parse_math=False)
    captions = []
    if numbers.ndim == 1 and np.isfinite(numbers).any():
        for word, place in (("Max", np.nanargmax(numbers)), ("Min", np.nanargmin(numbers))):
            captions.append(f"{word} result: {numbers[place]:g} {metric_name} (at epoch {place})")
    _write_titles(axes, metric_name, captions)
    return figure


def distribution(gradients: Any, layer_name: Any) -> Any:
    """A figure of the histogram and the estimated density of the gradients of one layer."""
    numbers = np.asarray(as_numpy(gradients), dtype=float).ravel()
    finite = numbers[np.isfinite(numbers)]
    figure, axes = _axes()
    if finite.size:
        axes.hist(finite, bins=min(50, max(1, int(np.sqrt(finite.size)))), density=True, color=_BLUE, alpha=0.4)
        if np.ptp(finite) > 0:
            axes.plot(*_density(finite), color=_BLUE)
    axes.set_xlabel("Gradient magnitude", size=10)
    captions = [f"Mean: {np.mean(finite):g}", f"Std: {np.std(finite):g}"] if finite.size else []
    _write_titles(axes, f"Gradient distribution for layer {layer_name}", captions)
    return figure


def _numbers(values: Any) -> np.ndarray:
    rows = [np.nan if value is None else as_numpy(value) for value in values]
    numbers = np.asarray([np.squeeze(np.asarray(row, dtype=float)) for row in rows])
    if numbers.ndim > 2:
        raise ValueError(f"its values have shape {numbers.shape[1:]}")
    return numbers


def _axes() -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackage(f'plots need matplotlib ({error}): pip install "analogjax[plot]"') from error
    figure = Figure(figsize=(10, 8))
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def _write_titles(axes: Any, title: str, captions: list[str]) -> None:
    middle = {"x": 0.5, "ha": "center", "va": "bottom", "transform": axes.transAxes, "parse_math": False}
    axes.text(s=title, y=1.07, fontsize=16, weight="bold", **middle)
    for height, caption in zip((1.035, 1.01), captions, strict=False):
        axes.text(s=caption, y=height, fontsize=8, alpha=0.75, **middle)


def _density(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A Gaussian kernel estimate with Scott's bandwidth, of at most 5000 of the numbers."""
    sample = numbers[:: max(1, len(numbers) // 5000)]
    width = np.std(sample) * len(sample) ** -0.2
    at = np.linspace(numbers.min() - 3 * width, numbers.max() + 3 * width, _POINTS)
    kernels = np.exp(-0.5 * ((at[:, None] - sample) / width) ** 2)
    return at, kernels.sum(axis=1) / (len(sample) * width * np.sqrt(2 * np.pi))
