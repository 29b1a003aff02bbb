"""`analogjax sweep`: axes on the command line, tables and plots; nothing wrong is taken silently."""

import csv
import json
import math

import pytest

from analogjax.cli import main
from analogjax.errors import ConfigError, MissingPackage
from analogjax.report import statistics, table_text, write_sweep_plot, write_sweep_table
from analogjax.store.run_folder import list_runs, read_run

SMALL = ["sweep", "--dataset", "Digits", "--layers", "", "--epochs", "1", "--batch-size", "32", "--max-elements", "96"]
ROWS = [
    {"rate": rate, "seed": seed, "accuracy": 0.1 * n, "seconds": 1.0, "error": "lost" if n == 5 else None, "run": "r"}
    for n, (rate, seed) in enumerate((rate, seed) for rate in (0.1, 0.3) for seed in (0, 1, 2))
]


def test_a_sweep_prints_tables_and_is_read_again(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    asked = [*SMALL, "--over", "lr=0.02,0.1", "--over", "seed=0..1", "--table", "all.csv", "--plot", "all.png"]
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == [
        "lr", "seed", "epochs", "accuracy", "train_loss", "valid_loss", "best_accuracy", "seconds", "error", "run",
    ]  # fmt: skip
    assert "over seeds and chips:" in out and "4 runs; records: runs" in out
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()))
    assert [(row["lr"], row["seed"]) for row in rows] == [("0.02", "0"), ("0.02", "1"), ("0.1", "0"), ("0.1", "1")]
    assert (tmp_path / "all.png").stat().st_size > 5000
    assert main([*SMALL, "--over", "lr=0.02,0.1", "--over", "seed=0..2", "--output", "json"]) == 0
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)) == 6 and "6 runs, 4 of them read from their records" in printed.err
    assert len(list_runs("runs")) == 6
    run = read_run(json.loads(printed.out)[0]["run"])
    assert run.config["layers"] == [] and run.config["lr"] == 0.02 and run.config["sweep"] == {"lr": 0.02, "seed": 0}
    assert main(["infer", json.loads(printed.out)[0]["run"], "--chips", "2", "--max-elements", "20"]) == 0


def test_parameters_of_devices_and_presets_are_axes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    quick = [*SMALL, "--no-record", "--output", "json"]
    assert main([*quick, "--over", "set.dw_min=0.001,0.02", "--traced"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 2 and rows[0]["train_loss"] != rows[1]["train_loss"] and not (tmp_path / "runs").exists()
    assert main([*quick, "--over", "lr=log:0.01..0.1", "--samples", "2", "--over", "chip=0..1"]) == 0
    rates = [row["lr"] for row in json.loads(capsys.readouterr().out)]
    assert len(set(rates)) == 2 and all(0.01 <= rate <= 0.1 for rate in rates)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ([], "at least one axis"),
        (["--over", "lr"], "NAME=VALUES"),
        (["--over", "lr="], "NAME=VALUES"),
        (["--over", "speed=1,2"], "speed is no axis; choose from seed, chip"),
        (["--over", "fresh_chips=1,x"], "needs a whole number"),
        (["--over", "seed=3..1"], "from low to high"),
        (["--over", "seed=0..999999999"], "100000 runs are allowed"),
        (["--over", "seed=1,1"], "twice"),
        (["--over", "seed=1", "--over", "seed=2"], "given twice"),
        (["--over", "lr=0.1", "--lr", "0.2"], "--lr is given too"),
        (["--over", "lr=log:0.1"], "write a distribution as"),
        (["--over", "lr=log:0.1..0.01", "--samples", "2"], "0 < low < high"),
        (["--over", "lr=uniform:0.1..0.2"], "samples=N"),
        (["--over", "seed=0", "--samples", "x"], "--samples x: needs a whole number"),
        (["--over", "seed=0", "--at-once", "0"], "--at-once 0: needs a whole number, 1 or more"),
        (["--over", "preset=NoPreset"], "--preset NoPreset: unknown"),
        (["--over", "set.nothing=1"], "has no such parameter"),
        (["--over", "set.dw_min=big"], "needs a number"),
        (["--over", "seed=0", "--table", "all.xls"], ".csv, .json, .parquet"),
        (["--over", "root=a"], "is no axis"),
    ],
)
def test_wrong_axes_are_refused_before_anything_runs(asked, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*SMALL, *asked]) == 2
    assert words in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_statistics_are_over_seeds_and_without_failed_runs():
    first, second = statistics(ROWS, ["rate", "seed"])
    assert (first["rate"], first["runs"], first["failed"]) == (0.1, 3, 0)
    assert first["accuracy_mean"] == pytest.approx(0.1) and first["accuracy_std"] == pytest.approx(0.1)
    assert (second["runs"], second["failed"], second["accuracy_max"]) == (2, 1, pytest.approx(0.4))
    alone = statistics(ROWS[:1], ["rate", "seed"])[0]
    assert math.isnan(alone["accuracy_std"]) and alone["accuracy_mean"] == 0
    with pytest.raises(ConfigError, match=r"'speed'.*accuracy"):
        statistics(ROWS, ["rate", "seed"], "speed")


def test_tables_keep_numbers(tmp_path):
    write_sweep_table(ROWS, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == ROWS
    with pytest.raises(ConfigError, match="ends with"):
        write_sweep_table(ROWS, tmp_path / "a.txt")
    with pytest.raises(ConfigError, match="can't be written"):
        write_sweep_table(ROWS, tmp_path / "none" / "a.csv")
    assert table_text(ROWS, "table").splitlines()[1].split() == ["0.1", "0", "0", "1", "-", "r"]


def test_parquet_keeps_numbers(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason='needs pyarrow: pip install "analogjax[parquet]"')
    write_sweep_table([*ROWS, {"rate": "log", "seed": 9}], tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.column("accuracy").to_pylist() == [row["accuracy"] for row in ROWS] + [None]
    assert table.column("rate").to_pylist()[-1] == "log" and table.column("seed").to_pylist()[:2] == [0, 1]


def test_parquet_without_its_package_says_so(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingPackage, match="analogjax\\[parquet\\]"):
        write_sweep_table(ROWS, tmp_path / "a.parquet")


def test_plots_of_numbers_names_and_seeds_alone(tmp_path):
    for axes in (["rate", "seed"], ["seed"]):
        write_sweep_plot(ROWS, axes, tmp_path / "a.png", title="a sweep")
    named = [row | {"preset": "A" if row["seed"] else "B"} for row in ROWS]
    write_sweep_plot(named, ["preset", "rate", "seed"], tmp_path / "b.svg")
    assert "preset" in (tmp_path / "b.svg").read_text() or (tmp_path / "b.svg").stat().st_size > 5000
    with pytest.raises(ConfigError, match="can't be written"):
        write_sweep_plot(ROWS, ["rate", "seed"], tmp_path / "a.nothing")
