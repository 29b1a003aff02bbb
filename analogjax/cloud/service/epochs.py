"""The epochs of experiments: stored as they come, read from any epoch on, thinned where a plot needs no more.

They are stored as JSON text and read as such: a hundred thousand of them are an answer without being parsed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from analogjax.cloud.service.rows import count
from analogjax.cloud.service.tables import Database, Epoch, Experiment
from analogjax.store.json_values import strict


def write_epochs(session: Session, found: Experiment, epochs: Iterable[Mapping[str, Any]], *, exactly: bool) -> None:
    """Store these epochs; with `exactly`, no others."""
    entries = {int(entry["epoch"]): strict(dict(entry)) for entry in epochs}
    mine = Epoch.experiment == found.id
    if exactly:
        session.execute(sa.delete(Epoch).where(mine, Epoch.epoch.not_in(list(entries))))
    if not entries and not exactly:
        return
    for number, metrics in entries.items():
        session.merge(Epoch(experiment=found.id, epoch=number, metrics=json.dumps(metrics)))
    session.flush()
    found.epochs_done = count(session, mine, of=Epoch)
    last = session.scalar(sa.select(Epoch.metrics).where(mine).order_by(Epoch.epoch.desc()).limit(1))
    metrics = {} if last is None else json.loads(last)
    found.accuracy, found.epoch_seconds = (_number(metrics.get(name)) for name in ("accuracy", "time_epoch"))


def read_epochs(database: Database, id: str, after: int = -1) -> list[dict[str, Any]]:
    """Metrics of the epochs after number `after`."""
    return json.loads(epochs_text(database, id, after)[0])


def epochs_text(
    database: Database, id: str, after: int = -1, limit: int | None = None, points: int | None = None
) -> tuple[str, int]:
    """The same as a JSON list, and the number of the last epoch looked at (`after` if there was none).

    At most `limit` epochs are looked at, oldest first. With `points` about that many of these are returned, evenly
    spaced, the last one always.
    """
    wanted = (Epoch.experiment == id, Epoch.epoch > after)
    numbered = sa.select(Epoch.epoch).where(*wanted).order_by(Epoch.epoch).limit(limit)
    with database.reading() as session:
        if points is None:
            rows = session.execute(
                sa.select(Epoch.epoch, Epoch.metrics).where(*wanted).order_by(Epoch.epoch).limit(limit)
            )
            found = [(number, metrics) for number, metrics in rows]
        else:
            chosen = _spread(list(session.scalars(numbered)), points)
            found = [row for some in _parts(chosen) for row in _some(session, id, some)]
    return "[" + ",".join(metrics for _, metrics in found) + "]", found[-1][0] if found else after


def _spread(numbers: list[int], points: int) -> list[int]:
    """About `points` of the numbers, the last one among them."""
    step = max(1, -(-len(numbers) // points))
    return numbers[::-1][::step][::-1]


def _parts(numbers: list[int], most: int = 500) -> list[list[int]]:
    return [numbers[start : start + most] for start in range(0, len(numbers), most)]


def _some(session: Session, id: str, numbers: list[int]) -> list[tuple[int, str]]:
    query = sa.select(Epoch.epoch, Epoch.metrics).where(Epoch.experiment == id, Epoch.epoch.in_(numbers))
    return [(number, metrics) for number, metrics in session.execute(query.order_by(Epoch.epoch))]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
