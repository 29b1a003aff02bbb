"""The report of a run, lists of runs, and runs side by side."""

import csv
import io
import json
import sys

import pytest

from analogjax.errors import ConfigError
from analogjax.report import text
from analogjax.report.comparison import compare
from analogjax.report.run_list import write_run_list
from analogjax.report.run_report import run_report, write_report
from analogjax.store.runs import RunRecord, list_runs, read_run
from tests.report.run_samples import CONFIG, entry, recorded

PNG = b"\x89PNG\r\n\x1a\n"


def test_a_report_says_what_was_asked_what_came_out_and_how_to_have_it_again(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "my script.py", "--token", "abc"])
    record, run = recorded(tmp_path / "a")
    write_report(record)
    report = (tmp_path / "a" / "report.md").read_text()
    assert (tmp_path / "a" / "curves.png").read_bytes()[:8] == PNG and "![curves](curves.png)" in report
    for line in ("# a", "- status: completed", "- time in epochs: 4.5 s", "python 'my script.py' --token '***'"):
        assert line in report.splitlines()
    assert "- best: epoch 2: accuracy 75.00%" in report and "- last: epoch 3: accuracy 50.00%" in report
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in report.splitlines() if line[:1] == "|"]
    assert ["set.dw_min", "0.002"] in rows and ["seed", "1"] in rows and ["3", "1.5", "0.5", "1.8", "1.8"] in rows
    assert f"jax=={run.environment['packages']['jax']}" in report
    assert "stands for a secret" in report


def test_a_report_without_matplotlib_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    record, _ = recorded(tmp_path / "a")
    write_report(record)
    assert "No curves: plots need matplotlib: pip install" in (tmp_path / "a" / "report.md").read_text()
    assert not (tmp_path / "a" / "curves.png").exists()


def test_a_report_of_a_failed_run_and_of_metrics_that_are_not_plotted(tmp_path):
    record = RunRecord.begin(tmp_path / "a", config={}, seed=1)
    record.finish("failed", "NonFiniteError: the loss became nan")
    write_report(record)
    report = (tmp_path / "a" / "report.md").read_text()
    assert "- error: NonFiniteError: the loss became nan" in report and "No curves: no epoch has ended." in report
    record.epoch({"epoch": 0, "perplexity": float("nan"), "note": "a|b"})
    write_report(record)
    report = (tmp_path / "a" / "report.md").read_text()
    assert "No curves: not every epoch has accuracy, train_loss, valid_loss." in report and "a\\|b" in report


def test_a_resumed_run_shows_every_command(tmp_path, monkeypatch):
    for number in (1, 1, 2):
        monkeypatch.setattr(sys, "orig_argv", ["train", "--epochs", str(number)])
        RunRecord.begin(tmp_path / "a", config={"epochs": number}, seed=1, may_differ=["epochs"])
    report = run_report(read_run(tmp_path / "a"), files=True)
    assert report.count("train --epochs 1\n") == report.count("train --epochs 2\n") == 1
    assert "- went on after a stop: 2 times" in report and "| config.json" in report


def test_very_many_epochs_are_thinned_out(tmp_path):
    record = RunRecord.begin(tmp_path / "a", config={}, seed=1)
    record.go_on_from([entry(number) for number in range(1000)])
    report = run_report(read_run(tmp_path / "a"))
    assert len(report.splitlines()) < 180 and "| 1000 " in report and "Every 10th epoch" in report


def test_lists(tmp_path):
    recorded(tmp_path / "a")
    recorded(tmp_path / "b", accuracies=(), status="failed", config={"dataset": "MNIST"})
    recorded(tmp_path / "c")
    (tmp_path / "c" / "status.json").write_text("{")
    found = {kind: io.StringIO() for kind in ("table", "json", "csv")}
    for kind, out in found.items():
        write_run_list(list_runs(tmp_path), kind, out)
    header, b, a, c = found["table"].getvalue().splitlines()
    assert header.split() == ["run", "status", "dataset", "device", "epochs", "best", "last", "time", "size"]
    assert a.split()[:8] == ["a", "completed", "Digits", "SoftBounds", "3/3", "75.00%", "50.00%", "4.5"]
    assert b.split()[:7] == ["b", "failed", "MNIST", "-", "0", "-", "-"] and c.split()[:2] == ["c", "damaged"]
    values = json.loads(found["json"].getvalue())
    assert [one["id"] for one in values] == ["b", "a", "c"] and values[1]["best_accuracy"] == 0.75
    rows = list(csv.DictReader(io.StringIO(found["csv"].getvalue())))
    assert [row["best_accuracy"] for row in rows] == ["", "0.75", ""] and "status.json" in rows[2]["error"]


def test_runs_side_by_side(tmp_path):
    _, a = recorded(tmp_path / "a")
    _, b = recorded(tmp_path / "b", config=CONFIG | {"lr": 0.1, "set": {}, "on": "cpu"}, seed=2, accuracies=(0.125,))
    found = compare([a, b])
    assert found.settings == {
        "set.dw_min": [0.002, "(absent)"], "lr": [0.05, 0.1], "seed": [1, 2], "on": ["(absent)", "cpu"],
    }  # fmt: skip
    assert found.metrics["best accuracy"] == [0.75, 0.125] and found.metrics["epochs"] == [3, 1]
    lines = {line.split("  ")[0]: line.split()[-2:] for line in found.lines()}
    assert lines["best accuracy"] == ["75.00%", "12.50%"] and lines["lr"] == ["0.05", "0.1"]
    assert json.loads(json.dumps(found.plain()))["runs"] == ["a", "b"]
    assert "(all settings are the same)" in compare([a, a]).lines()[1]
    with pytest.raises(ConfigError, match="two runs or more"):
        compare([a])


@pytest.mark.parametrize(("seconds", "shown"), [(4.24, "4.2 s"), (750, "12 min 30 s"), (11100, "3 h 5 min")])
def test_durations(seconds, shown):
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(None, "-"), (0, "0 B"), (999, "999 B"), (1000, "1 kB"), (3_420_000, "3.42 MB")]
)
def test_sizes(count, shown):
    assert text.size(count) == shown
