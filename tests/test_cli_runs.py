"""`analogjax train` records what it does, and `analogjax runs` shows it."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import pytest

from analogjax.cli import main
from analogjax.store import Checkpoints
from analogjax.store.runs import RunRecord, list_runs, read_run

TRAIN = ["train", "--dataset", "Digits", "--layers", "8", "--max-elements", "160", "--batch-size", "16"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def two_runs() -> list[str]:
    """The names of two runs in `runs`, quickly made."""
    for name, rate in (("a", 0.05), ("b", 0.1)):
        record = RunRecord.begin(Path("runs", name), config={"dataset": "Digits", "lr": rate, "epochs": 2}, seed=1)
        for epoch in range(2):
            record.epoch({"epoch": epoch, "time_epoch": 1.0, "accuracy": 0.25 + epoch / 2, "train_loss": 1.0})
        record.finish("completed")
    return ["a", "b"]


def test_training_is_recorded_with_curves_and_report(capsys: pytest.CaptureFixture) -> None:
    assert main([*TRAIN, "--epochs", "2", "--device", "constantstep", "--output", "jsonl"]) == 0
    printed = capsys.readouterr()
    entries = [json.loads(line) for line in printed.out.splitlines()]
    (one,) = list_runs("runs")
    assert printed.err.splitlines() == [f"run: {os.path.join('runs', one.id)}"]
    run = read_run(Path("runs", one.id))
    assert run.epochs == entries and run.state == "completed" and "_digits_" in run.id
    assert run.config["device"] == "ConstantStep" and run.config["layers"] == [8] and run.seed == 0
    assert run.environment["computed_on"].startswith("cpu:0")
    names = ["config.json", "curves.png", "environment.json", "metrics.jsonl", "report.md", "status.json", "tiles.json"]
    assert [file.name for file in run.files if not file.name.startswith("model/")] == names
    assert Checkpoints("runs/" + run.id + "/model", read_only=True).best() is not None


def test_no_record(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([*TRAIN, "--epochs", "1", "--no-record"]) == 0
    assert os.listdir(tmp_path) == [] and capsys.readouterr().err == ""


def test_the_same_command_goes_on(capsys: pytest.CaptureFixture) -> None:
    command = [*TRAIN, "--run", "here/a"]
    assert main([*command, "--epochs", "1"]) == 0
    assert main([*command, "--epochs", "2"]) == 0
    assert main([*command, "--epochs", "2"]) == 0  # nothing is left to do
    run = read_run("here/a")
    assert [entry["epoch"] for entry in run.epochs] == [0, 1] and run.config["epochs"] == 2
    assert (run.state, run.status["resumed"]) == ("completed", 2)
    assert Checkpoints("here/a/checkpoints").latest() is not None
    capsys.readouterr()
    assert main([*command, "--epochs", "2", "--seed", "3"]) == 1
    assert "seed was 0 there and is 3 here" in capsys.readouterr().err


def test_a_record_may_lie_in_a_bucket_and_go_on_there(capsys: pytest.CaptureFixture) -> None:
    command = [*TRAIN, "--run", f"memory://cli-{os.getpid()}/a"]
    assert main([*command, "--epochs", "1"]) == 0
    assert main([*command, "--epochs", "2"]) == 0
    capsys.readouterr()
    assert main(["runs", "show", f"memory://cli-{os.getpid()}/a"]) == 0
    shown = capsys.readouterr().out
    assert "- went on after a stop: 1 times" in shown and "| checkpoints/" in shown
    assert main(["runs", "rm", f"memory://cli-{os.getpid()}/a", "--yes"]) == 0
    assert list_runs(f"memory://cli-{os.getpid()}") == []


def test_a_new_record_of_an_old_checkpoint_is_whole(capsys: pytest.CaptureFixture) -> None:
    assert main([*TRAIN, "--epochs", "1", "--checkpoint", "points", "--no-record"]) == 0
    assert main([*TRAIN, "--epochs", "2", "--checkpoint", "points"]) == 0
    (one,) = list_runs("runs")
    assert one.epochs == 2 and not Path("runs", one.id, "checkpoints").exists()


def test_an_interrupted_and_a_failed_run_say_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def fail(error: BaseException) -> None:
        def epoch(self: object, entry: dict) -> None:
            if entry["epoch"] == 1:
                raise error

        monkeypatch.setattr("analogjax.report.table._Table.epoch", epoch)

    fail(KeyboardInterrupt())
    assert main([*TRAIN, "--epochs", "3", "--run", "a"]) == 130
    assert "The same command with --run a resumes from the last checkpoint" in capsys.readouterr().err
    run = read_run("a")
    assert run.state == "interrupted" and len(run.epochs) == 2
    assert "report.md" in [file.name for file in run.files]
    fail(ZeroDivisionError("token=abc"))
    with pytest.raises(ZeroDivisionError):
        main([*TRAIN, "--epochs", "3", "--run", "a"])
    assert read_run("a").status["error"] == "ZeroDivisionError: token=***"


def test_killed_and_gone_on_with(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    program = "import sys; from analogjax.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, *TRAIN, "--run", "runs/a", "--epochs", "1000000"]
    command += ["--compilation-cache", jax.config.jax_compilation_cache_dir]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("runs/a/checkpoints/step_*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    done = read_run("runs/a").epochs
    assert main(["runs", "list"]) == 0
    assert "(last sign of life" in capsys.readouterr().out
    assert main([*TRAIN, "--run", "runs/a", "--epochs", str(len(done) + 2)]) == 0
    run = read_run("runs/a")
    assert [entry["epoch"] for entry in run.epochs] == list(range(len(done) + 2))
    assert (run.state, run.status["resumed"]) == ("completed", 1)


def test_list(two_runs: list[str], capsys: pytest.CaptureFixture) -> None:
    assert main(["runs", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["run", "b", "a"]
    assert main(["runs", "list", "runs", "--output", "json"]) == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)] == ["b", "a"]
    Path("runs/a/status.json").write_text("{")
    assert main(["runs", "list"]) == 0
    printed = capsys.readouterr()
    assert "damaged" in printed.out and "status.json is damaged" in printed.err


def test_list_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["runs", "list"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err == "No runs in runs. `analogjax train` records one.\n"
    assert main(["runs", "list", str(tmp_path), "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert main(["runs", "list", "not-there"]) == 2
    RunRecord.begin("a", config={}, seed=1)
    assert main(["runs", "list", "a"]) == 0
    assert "It is a run itself: analogjax runs show a" in capsys.readouterr().err


def test_show_compare_export(two_runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("a", "runs/a", str(tmp_path / "runs" / "a")):
        assert main(["runs", "show", name]) == 0
        assert capsys.readouterr().out.startswith("# a\n")
    assert main(["runs", "show", "a", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["lr"] == 0.05
    assert main(["runs", "compare", *two_runs]) == 0
    assert ["lr", "0.05", "0.1"] in [line.split() for line in capsys.readouterr().out.splitlines()]
    assert main(["runs", "compare", *two_runs, "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"] == {"lr": [0.05, 0.1]}
    assert main(["runs", "export", "a", "--format", "csv"]) == 0
    lines = capsys.readouterr().out
    assert main(["runs", "export", "a", "--format", "csv", "-o", "a.csv"]) == 0
    assert Path("a.csv").read_text() == lines and lines.startswith("epoch,time_epoch,accuracy")


def test_remove_asks(two_runs: list[str], capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))  # not a terminal
    assert main(["runs", "rm", "a"]) == 2
    assert "add --yes" in capsys.readouterr().err and Path("runs/a").is_dir()

    def answer(text: str) -> int:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
        return main(["runs", "rm", "a"])

    assert answer("\n") == 1 and Path("runs/a").is_dir()
    assert answer("y\n") == 0 and os.listdir("runs") == ["b"]
    RunRecord.begin("runs/c", config={}, seed=1)
    assert main(["runs", "rm", "c", "--yes"]) == 2
    assert main(["runs", "rm", "c", "--yes", "--force"]) == 0 and os.listdir("runs") == ["b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "c"], "There is no run in"),
        (["show", ""], "RUN is empty"),
        (["show", "ftp://a/b"], "ftp:// is not known"),
        (["show", "."], "There is no run in"),
        (["rm", "/", "--yes"], "There is no run in"),
        (["rm", "runs", "--yes", "--force"], "There is no run in"),
        (["compare", "a"], "two runs or more"),
        (["export", "a", "--format", "tensorboard"], "choose one with -o"),
        (["export", "a", "--format", "csv", "-o", "not/there.csv"], "can't be written"),
    ],
)
def test_wrong_input_is_told_in_one_line(
    two_runs: list[str], arguments: list, message: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(["runs", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("analogjax: ") and error.count("\n") == 1 and message in error
    assert sorted(os.listdir("runs")) == two_runs


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--run", "a", "--runs", "b"], "give one of them"),
        (["--run", "a", "--no-record"], "exclude each other"),
        (["--runs", "file/below"], "see --run, --runs and --no-record"),
        (["--run", "full"], "holds files but is no run"),
        (["--on", "cuda"], "this JAX sees cpu:0"),
    ],
)
def test_a_record_that_cannot_be_is_told_before_training(
    options: list, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("")
    assert main([*TRAIN, *options]) == (1 if options[1] in ("file/below", "full") else 2)
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1 and printed.out == ""
    assert sorted(os.listdir(tmp_path)) == ["file", "full"]


def test_runs_alone_is_help(capsys: pytest.CaptureFixture) -> None:
    assert main(["runs"]) == 2
    assert "compare" in capsys.readouterr().out
