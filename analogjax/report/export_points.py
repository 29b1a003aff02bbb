"""The metrics of a run as points in time, for the formats of other tools."""

from collections.abc import Iterator
from datetime import datetime

from analogjax.store.runs import Run


def points_of(run: Run) -> Iterator[tuple[int, float, dict[str, float]]]:
    """Number, time [s since 1970] and metrics of each epoch; the time counts from the start of the run."""
    time = datetime.fromisoformat(run.status["begun"]).timestamp()
    for entry in run.epochs:
        time += entry.get("time_epoch") or 0.0
        numbers = {name: float(value) for name, value in entry.items() if name != "epoch" and is_number(value)}
        yield entry["epoch"], time, numbers


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
