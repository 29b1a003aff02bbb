"""The report of a run in Markdown: its settings, its results, and how to reproduce it."""

import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analogjax.errors import MissingPackage
from analogjax.report.curves import write_curves
from analogjax.report.text import duration, flat, markdown_table, percent, shown, size
from analogjax.store.redact import STARS
from analogjax.store.runs import Run, RunRecord, read_run
from analogjax.store.saved_folder import SavedFolder

CURVES, REPORT = "curves.png", "report.md"
_ROWS = 100  # of the table of epochs
_ESSENTIAL = ("jax", "jaxlib", "numpy", "flax", "optax", "jax-cuda12-plugin", "jax-cuda13-plugin", "libtpu")
_PLOTTED = {"train_loss", "valid_loss", "accuracy"}


def write_report(record: RunRecord) -> None:
    """Add `curves.png` and `report.md` to a run.

    Without matplotlib, or without epochs that can be plotted, the report explains why there are no curves. Raises
    `RunError`, `StoreError`.
    """
    run = read_run(record.location)
    picture, reason = _curves(run)
    if picture is not None:
        record.add(CURVES, picture)
    curves = f"![curves]({CURVES})" if picture is not None else f"No curves: {reason}."
    record.add(REPORT, run_report(run, curves).encode())


def _curves(run: Run) -> tuple[bytes | None, str]:
    if not run.epochs:
        return None, "no epoch has ended"
    if not all(entry.keys() >= _PLOTTED for entry in run.epochs):
        return None, f"not every epoch has {', '.join(sorted(_PLOTTED))}"
    with tempfile.TemporaryDirectory(prefix="analogjax-") as folder:
        try:
            write_curves(run.epochs, Path(folder, CURVES), title=run.id)
        except MissingPackage as error:
            return None, str(error)
        return Path(folder, CURVES).read_bytes(), ""


def run_report(run: Run, curves: str = "", *, files: bool = False) -> str:
    """The report of `run` as Markdown that is readable as plain text.

    `curves` is a paragraph about the curves; with `files` the files of the run are listed.
    """
    parts = [
        [f"# {run.id}", "", *_outcome(run)],
        [curves] if curves else [],
        ["## Epochs", "", *_epochs(run)] if run.epochs else [],
        ["## Configuration", "", *_pairs(flat(run.config) | {"seed": run.seed})],
        ["## How to reproduce this run", "", *_again(run)],
        ["## Environment", "", *_pairs(environment_of(run.environment))],
        ["## Files", "", *_files(run)] if files else [],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def saved_report(saved: SavedFolder) -> str:
    """What is known of an experiment that one of aitoolbox's savers saved, as Markdown."""
    parts = [
        [f"# {saved.id}", "", f"Saved {saved.begun}; read it with `load_experiment` of its saver."],
        ["## Results", "", *_pairs(saved.results)] if saved.results else [],
        ["## Hyperparameters", "", *_pairs(saved.hyperparameters)] if saved.hyperparameters else [],
        ["## Environment", "", *_pairs(environment_of(dict(saved.provenance)))] if saved.provenance else [],
        ["## Files", "", *_pairs({name: size(n) for name, n in sorted(saved.files.items())})],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _outcome(run: Run) -> list[str]:
    status = run.status
    lines = [f"- status: {run.state}"]
    lines += [f"- error: {status['error']}"] if status.get("error") else []
    lines += [f"- begun: {status['begun']}", f"- ended: {status.get('ended') or '-'}"]
    lines += [f"- went on after a stop: {status['resumed']} times"] if status["resumed"] else []
    lines += [f"- time in epochs: {duration(run.seconds)}", f"- where: {run.location}"]
    for name, entry in (("best", run.best), ("last", run.last)):
        if entry is not None:
            lines.append(f"- {name}: {_metrics(entry)}")
    return lines


def _metrics(entry: dict[str, Any]) -> str:
    others = [f"{name} {shown(value)}" for name, value in entry.items() if name not in ("epoch", "accuracy")]
    accuracy = [f"accuracy {percent(entry['accuracy'])}"] if _number(entry.get("accuracy")) else []
    return f"epoch {entry['epoch'] + 1}: " + ", ".join(accuracy + others)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _epochs(run: Run) -> list[str]:
    """A table of all epochs, or of evenly spaced ones if there are very many."""
    names = list(dict.fromkeys(name for entry in run.epochs for name in entry if name != "epoch"))
    chosen, step = some_of(run.epochs, _ROWS)
    rows = [[str(entry["epoch"] + 1), *(shown(entry.get(name)) for name in names)] for entry in chosen]
    note = [] if step == 1 else ["", f"Every {step}th epoch; all are in metrics.jsonl."]
    return markdown_table(["epoch", *names], rows) + note


def some_of(epochs: list[dict[str, Any]], most: int) -> tuple[list[dict[str, Any]], int]:
    """At most so many epochs, evenly spaced and counted from the last, which is always among them; and the spacing."""
    step = -(-len(epochs) // most)
    return epochs[::-1][::step][::-1], step


def _pairs(values: Mapping[str, Any]) -> list[str]:
    return markdown_table(["name", "value"], [[name, shown(value)] for name, value in values.items()])


def _files(run: Run) -> list[str]:
    """The files of the run, those in a folder as one line."""
    groups: dict[str, list[int]] = {}
    for entry in run.files:
        folder, slash, _ = entry.name.partition("/")
        groups.setdefault(folder + slash, []).append(entry.size)
    rows = [
        [name, size(sum(sizes)) + (f" in {len(sizes)} files" if name.endswith("/") else "")]
        for name, sizes in groups.items()
    ]
    return markdown_table(["name", "size"], rows)


def commands_again(run: Run) -> str:
    """The commands of the run's first session, and of later ones if anything had changed."""
    environment = run.environment
    sessions = list(dict.fromkeys("\n".join(_session(each)) for each in (environment, *environment.get("resumed", []))))
    return "\n# it went on with\n".join(sessions)


def _again(run: Run) -> list[str]:
    text = commands_again(run)
    stars = ["", "`***` stands for a secret, which is not recorded."] if STARS in text else []
    return ["```", text, "```", *stars]


def _session(environment: dict[str, Any]) -> list[str]:
    git, packages = environment.get("git"), environment.get("packages", {})
    versions = [f"{name}=={packages[name]}" for name in _ESSENTIAL if name in packages]
    return [
        *([f"git checkout {git['commit']}{_dirt(git)}"] if git else []),
        f"# Python {environment.get('python')}, analogjax {environment.get('analogjax')}",
        "pip install " + shlex.join(versions),
        shlex.join(environment.get("command", [])),
    ]


def _dirt(git: dict[str, Any]) -> str:
    return {
        True: "  # with uncommitted changes",
        None: "  # possibly with uncommitted changes: git did not answer",
    }.get(git.get("dirty"), "")


def environment_of(environment: dict[str, Any]) -> dict[str, Any]:
    """What is known of where a run was made, as one flat table."""
    left_out = ("format", "command", "resumed")
    return flat({name: value for name, value in environment.items() if name not in left_out and value != {}})
