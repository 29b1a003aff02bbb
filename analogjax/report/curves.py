"""Plots of runs."""

import os
from typing import Any

from analogjax.report.figure import new_figure, write_figure


def write_curves(results: list[dict[str, Any]], path: str | os.PathLike[str], title: str = "") -> None:
    """Plot loss and accuracy over the epochs to `path` (.png, .svg, .pdf).

    Raises `MissingPackage` without matplotlib, `ConfigError` if the file can't be written.
    """
    figure, epochs = new_figure(9, 3.6), [entry["epoch"] + 1 for entry in results]
    from matplotlib.ticker import MaxNLocator

    loss, accuracy = figure.subplots(1, 2)
    loss.plot(epochs, [entry["train_loss"] for entry in results], "o-", label="training")
    loss.plot(epochs, [entry["valid_loss"] for entry in results], "s-", label="validation")
    loss.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    loss.legend(frameon=False)
    accuracy.plot(epochs, [100 * entry["accuracy"] for entry in results], "s-", color="C1")
    accuracy.set(xlabel="epoch", ylabel="validation accuracy [%]")
    for axes in (loss, accuracy):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    write_figure(figure, path)
