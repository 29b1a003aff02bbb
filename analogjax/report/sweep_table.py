"""The runs of a sweep as a table, as statistics over its chips and seeds, and as a plot."""

import csv
import io
import json
import math
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analogjax.errors import ConfigError, MissingPackage
from analogjax.report.figure import new_figure, write_figure
from analogjax.report.text import shown
from analogjax.store.files import replacing
from analogjax.store.json_values import strict

Rows = Sequence[dict[str, Any]]
REPEATS = ("seed", "chip")
TABLES = (".csv", ".json", ".parquet")


def write_sweep_table(rows: Rows, path: str | os.PathLike[str]) -> None:
    """Write the rows of a sweep (`SweepResults.rows()`) as `.csv`, `.json` or `.parquet`.

    Raises `MissingPackage` for Parquet without pyarrow, `ConfigError` for another ending or if the file can't be
    written.
    """
    kind = check_table_name(path)
    try:
        with replacing(Path(path)) as draft:
            if kind == ".parquet":
                _write_parquet(rows, draft)
            else:
                draft.write_text(table_text(rows, kind[1:]), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"table {os.fspath(path)!r}: can't be written ({error.strerror or error}).") from None


def check_table_name(path: str | os.PathLike[str]) -> str:
    """The ending of the name of a table. Raises `ConfigError` for an unknown one, `MissingPackage` without pyarrow."""
    kind = Path(path).suffix.lower()
    if kind not in TABLES:
        raise ConfigError(f"table {os.fspath(path)!r}: give a name that ends with {', '.join(TABLES)}.")
    if kind == ".parquet":
        _parquet()
    return kind


def table_text(rows: Rows, kind: str) -> str:
    """The rows as `csv`, `json` or `table` (aligned columns)."""
    names = _columns(rows)
    if kind == "json":
        return json.dumps([strict(row) for row in rows]) + "\n"
    if kind == "csv":
        out = io.StringIO()
        writer = csv.DictWriter(out, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return out.getvalue()
    cells = [names, *([shown(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[n]) for line in cells) for n in range(len(names))]
    return "".join("  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)).rstrip() + "\n" for line in cells)


def statistics(rows: Rows, axes: Collection[str], metric: str = "accuracy") -> list[dict[str, Any]]:
    """Mean and spread of a metric over seeds and chips, for each combination of the other axes.

    Args:
        rows: Rows of a sweep.
        axes: Names of its axes.
        metric: A column of the rows.

    Returns:
        A dict for each combination, in the order of the rows: its values, `runs` (those that were completed), `failed`,
        and `<metric>_mean`, `<metric>_std` (with n - 1; NaN for a single run), `<metric>_min` and `<metric>_max`.

    Raises:
        ConfigError: If no row has that metric.
    """
    if rows and not any(isinstance(row.get(metric), (int, float)) for row in rows):
        known = [name for name, value in rows[0].items() if isinstance(value, float)]
        raise ConfigError(f"metric {metric!r}: the runs have none of that name; they have {', '.join(known)}.")
    kept = [name for name in axes if name not in REPEATS]
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(repr([row[name] for name in kept]), []).append(row)
    return [_of_group({name: group[0][name] for name in kept}, group, metric) for group in groups.values()]


def _of_group(point: dict[str, Any], group: list[dict[str, Any]], metric: str) -> dict[str, Any]:
    values = np.asarray([row[metric] for row in group if not row["error"] and row.get(metric) is not None], float)
    found = {"runs": len(values), "failed": sum(1 for row in group if row["error"])}
    spread = values.std(ddof=1) if len(values) > 1 else math.nan
    numbers = (values.mean(), spread, values.min(), values.max()) if len(values) else (math.nan,) * 4
    names = ("mean", "std", "min", "max")
    return point | found | {f"{metric}_{name}": float(v) for name, v in zip(names, numbers, strict=True)}


def write_sweep_plot(
    rows: Rows, axes: Sequence[str], path: str | os.PathLike[str], metric: str = "accuracy", title: str = ""
) -> None:
    """Plot the mean of a metric over the first axis that is not seed or chip, with its spread over these.

    Each combination of the further axes is a curve of its own; without such an axis, the runs are a histogram.

    Raises `MissingPackage` without matplotlib, `ConfigError` if the file can't be written.
    """
    kept = [name for name in axes if name not in REPEATS]
    figure = new_figure(6.4, 4)
    plot = figure.subplots()
    if kept:
        _curves(plot, statistics(rows, axes, metric), kept, metric)
    else:
        found = [row[metric] for row in rows if not row["error"] and row.get(metric) is not None]
        plot.hist(found, bins=min(30, max(1, len(found))))
        plot.set(xlabel=_label(metric), ylabel="runs")
    plot.set_title(title)
    plot.grid(alpha=0.3)
    write_figure(figure, path)


def _curves(plot: Any, found: list[dict[str, Any]], kept: list[str], metric: str) -> None:
    first, *others = kept
    values = list(dict.fromkeys(row[first] for row in found))
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    places = {value: value if numbers else n for n, value in enumerate(values)}
    for label in dict.fromkeys(", ".join(f"{name}={row[name]}" for name in others) for row in found):
        rows = [row for row in found if ", ".join(f"{name}={row[name]}" for name in others) == label]
        rows.sort(key=lambda row: places[row[first]])
        x, y = [places[row[first]] for row in rows], [row[f"{metric}_mean"] for row in rows]
        spread = np.nan_to_num([row[f"{metric}_std"] for row in rows])
        plot.errorbar(x, y, spread, fmt="o-", capsize=3, label=label or None)
    if not numbers:
        plot.set_xticks(list(places.values()), [str(value) for value in values], rotation=30, ha="right")
    elif len(values) > 2 and min(values) > 0 and max(values) >= 10 * min(values):
        plot.set_xscale("log")
    plot.set(xlabel=first, ylabel=_label(metric))
    if others:
        plot.legend(frameon=False, fontsize="small")


def _label(metric: str) -> str:
    return "accuracy [fraction]" if metric == "accuracy" else metric


def _columns(rows: Rows) -> list[str]:
    """All names, in the order in which they come up; how a run ended and where it is come last."""
    found = list(dict.fromkeys(name for row in rows for name in row))
    last = [name for name in ("seconds", "error", "run") if name in found]
    return [name for name in found if name not in last] + last


def _parquet() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingPackage('Parquet needs pyarrow: pip install "analogjax[parquet]"') from None
    return pyarrow


def _write_parquet(rows: Rows, path: Path) -> None:
    pyarrow = _parquet()
    names = _columns(rows)
    columns = {name: _alike([row.get(name) for row in rows]) for name in names}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def _alike(values: list[Any]) -> list[Any]:
    """A column of one kind: numbers stay numbers; values of several kinds become text."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) < 2 or kinds == {int, float}:
        return [float(v) if kinds == {int, float} and v is not None else v for v in values]
    return [None if value is None else str(value) for value in values]
