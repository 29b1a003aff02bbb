"""Runs side by side: the settings in which they differ, and their results."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analogjax.errors import ConfigError
from analogjax.report.text import aligned, duration, flat, percent, shown
from analogjax.store.runs import Run

_ABSENT = "(absent)"


@dataclass(frozen=True)
class Comparison:
    """Result of `compare`; each row holds one value per run, in the order of `runs`."""

    runs: list[str]
    settings: dict[str, list[Any]]  # those that differ
    metrics: dict[str, list[Any]]

    def lines(self) -> list[str]:
        """The comparison as text."""
        settings = [[name, *map(shown, row)] for name, row in self.settings.items()]
        metrics = [[name, *(_metric(name, value) for value in row)] for name, row in self.metrics.items()]
        same = [["(all settings are the same)", *("" for _ in self.runs)]] if not settings else []
        columns = range(1, 1 + len(self.runs))
        return aligned([["", *self.runs], *settings, *same, ["", *("" for _ in self.runs)], *metrics], columns)

    def plain(self) -> dict[str, Any]:
        """The comparison as plain values, for JSON."""
        return {"runs": self.runs, "settings": self.settings, "metrics": self.metrics}


def compare(runs: Sequence[Run]) -> Comparison:
    """Compare runs. Raises `ConfigError` for fewer than two."""
    if len(runs) < 2:
        raise ConfigError(f"A comparison needs two runs or more, not {len(runs)}.")
    settings = [flat(run.config) | {"seed": run.seed} | _versions(run) for run in runs]
    names = dict.fromkeys(name for each in settings for name in each)
    rows = {name: [each.get(name, _ABSENT) for each in settings] for name in names}
    differing = {name: row for name, row in rows.items() if _differs(row)}
    return Comparison([run.id for run in runs], differing, _metrics(runs))


def _differs(row: list[Any]) -> bool:
    # an empty group next to a full one adds nothing to the rows of the full one
    return any(repr(value) != repr(row[0]) for value in row) and not all(value in ({}, _ABSENT) for value in row)


def _versions(run: Run) -> dict[str, Any]:
    environment, git = run.environment, run.environment.get("git") or {}
    commit = None if git.get("commit") is None else git["commit"][:12] + ("+changes" if git.get("dirty") else "")
    return {"analogjax": environment.get("analogjax"), "git": commit, "jax": environment.get("packages", {}).get("jax")}


def _metrics(runs: Sequence[Run]) -> dict[str, list[Any]]:
    rows: dict[str, list[Any]] = {
        "status": [run.state for run in runs],
        "epochs": [len(run.epochs) for run in runs],
        "best accuracy": [run.best["accuracy"] if run.best else None for run in runs],
        "best epoch": [run.best["epoch"] + 1 if run.best else None for run in runs],
    }
    last = [run.last or {} for run in runs]
    for name in dict.fromkeys(name for entry in last for name in entry if name not in ("epoch", "time_epoch")):
        rows[f"last {name}"] = [entry.get(name) for entry in last]
    return rows | {"seconds": [run.seconds for run in runs]}


def _metric(name: str, value: Any) -> str:
    if name == "seconds":
        return duration(value)
    return percent(value) if name.endswith("accuracy") and isinstance(value, (int, float)) else shown(value)
