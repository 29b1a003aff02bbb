"""Accuracy of many chips over time: as a table, CSV or JSON, and as a plot."""

import csv
import json
import os
from typing import Any, TextIO

import numpy as np

from analogjax.report.figure import new_figure, write_figure

_UNITS = ((365 * 86_400.0, "y"), (86_400.0, "d"), (3600.0, "h"), (60.0, "min"))


def write_chip_results(results: Any, kind: str, out: TextIO) -> None:
    """Write what `experiments.evaluate` returned to `out` as `table`, `csv` or `json`.

    Mean and standard deviation (with n - 1) over the chips; accuracies from 0 to 1, as `analogjax train` writes them.
    """
    rows = summary(results)
    if kind == "json":
        print(json.dumps({"times": rows, "accuracy": results.accuracy.tolist()}), file=out)
    elif kind == "csv":
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        print("    time    accuracy     +-       worst    loss", file=out)
        for row in rows:
            print(
                f"{time_text(row['t_inference']):>8}  {row['accuracy']:10.2%}  {row['accuracy_std']:6.2%}  "
                f"{row['accuracy_worst']:10.2%}  {row['loss']:6.4f}",
                file=out,
            )


def summary(results: Any) -> list[dict[str, float]]:
    """One dict per time: mean, standard deviation and worst of the accuracies of all chips, and their mean loss."""
    chips = len(results.accuracy)
    spread = results.accuracy.std(0, ddof=1) if chips > 1 else np.zeros(len(results.times))
    columns = {
        "t_inference": np.asarray(results.times), "accuracy": results.accuracy.mean(0), "accuracy_std": spread,
        "accuracy_worst": results.accuracy.min(0), "loss": results.loss.mean(0),
    }  # fmt: skip
    return [
        {name: float(values[n]) for name, values in columns.items()} | {"chips": chips}
        for n in range(len(results.times))
    ]


def time_text(seconds: float) -> str:
    """A time in its largest unit, such as `1 h`."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:g} {unit}" if seconds % size == 0 else f"{seconds / size:.3g} {unit}"
    return f"{seconds:g} s"


def write_drift_plot(results: Any, path: str | os.PathLike[str], title: str = "") -> None:
    """Plot the mean accuracy over time, with error bars of one standard deviation over the chips.

    Raises `MissingPackage` without matplotlib, `ConfigError` if the file can't be written.
    """
    rows = sorted(summary(results), key=lambda row: row["t_inference"])
    figure = new_figure(6, 3.8)
    axes = figure.subplots()
    times = [row["t_inference"] for row in rows]
    axes.errorbar(
        times, [100 * row["accuracy"] for row in rows], [100 * row["accuracy_std"] for row in rows], fmt="o-", capsize=3
    )
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set(xlabel="time since programming [s]", ylabel="accuracy [%]", title=title)
    axes.grid(alpha=0.3)
    write_figure(figure, path)
