"""A list of runs as a table, JSON or CSV."""

import csv
import dataclasses
import json
from collections.abc import Sequence
from typing import TextIO

from analogjax.report.text import aligned, duration, percent, size
from analogjax.store.json_values import strict
from analogjax.store.runs import RunSummary

_HEADER = ("run", "status", "dataset", "device", "epochs", "best", "last", "time", "size")
_RIGHT = range(4, 9)


def write_run_list(runs: Sequence[RunSummary], kind: str, out: TextIO) -> None:
    """Write the summaries to `out` as `table`, `json` or `csv`; the latter two contain every field, with times in
    seconds.
    """
    {"table": _table, "json": _json, "csv": _csv}[kind](runs, out)


def _table(runs: Sequence[RunSummary], out: TextIO) -> None:
    if runs:
        print("\n".join(aligned([_HEADER, *map(_row, runs)], _RIGHT)), file=out)


def _row(run: RunSummary) -> tuple[str, ...]:
    if run.status == "damaged":
        return (run.id, "damaged", *"-------")
    done = str(run.epochs) if run.planned_epochs is None else f"{run.epochs}/{run.planned_epochs}"
    return (
        run.id, run.state, run.dataset or "-", run.device or "-", done, percent(run.best_accuracy),
        percent(run.last_accuracy), duration(run.seconds), size(run.size),
    )  # fmt: skip


def _json(runs: Sequence[RunSummary], out: TextIO) -> None:
    print(json.dumps(strict([dataclasses.asdict(run) for run in runs]), indent=2), file=out)


def _csv(runs: Sequence[RunSummary], out: TextIO) -> None:
    writer = csv.DictWriter(out, [field.name for field in dataclasses.fields(RunSummary)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(run) for run in runs)
