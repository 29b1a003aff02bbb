"""The `analogjax` command."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analogjax.cli import main
from analogjax.devices_command import made_config
from analogjax.physics import ConstantStep, SoftBounds, agad
from analogjax.tile import TileConfig, presets
from analogjax.tile.algorithms import build_config
from analogjax.train_options import OPTIONS

SMALL = [
    "train",
    "--dataset",
    "Digits",
    "--layers",
    "8",
    "--max-elements",
    "160",
    "--epochs",
    "2",
    "--batch-size",
    "16",
]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every training is recorded below the current folder."""
    monkeypatch.chdir(tmp_path)


def test_table(capsys: pytest.CaptureFixture) -> None:
    assert main(SMALL) == 0
    where, *lines = capsys.readouterr().out.splitlines()
    assert where.startswith("run: ") and lines[0].startswith("Digits: layers 8-10 of ConstantStep devices")
    assert [line.split()[0] for line in lines[1:]] == ["epoch", "1", "2"]


def test_json_lines_and_csv_agree(capsys: pytest.CaptureFixture) -> None:
    assert main([*SMALL, "--output", "jsonl"]) == 0
    entries = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert main([*SMALL, "--output", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["train_loss"]) for row in rows] == [entry["train_loss"] for entry in entries]


def test_config_file_and_what_wins(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config = tmp_path / "run.toml"
    config.write_text('dataset = "Digits"\nlayers = [8]\nepochs = 1\nmax-elements = 160\ndevice = "softbounds"\n'
                      "[set]\ndw_min = 0.002\n")  # fmt: skip
    assert main(["train", "--config", str(config), "--seed", "4"]) == 0
    out = capsys.readouterr().out
    assert "softbounds devices" in out and "seed 4" in out and len(out.splitlines()) == 4


def test_plot_is_a_picture(tmp_path: Path) -> None:
    assert main([*SMALL, "--plot", str(tmp_path / "curves.png")]) == 0
    assert (tmp_path / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_resume_shows_the_whole_table(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    main([*SMALL, "--checkpoint", str(tmp_path / "run")])
    first = capsys.readouterr().out.splitlines()
    main([*SMALL, "--checkpoint", str(tmp_path / "run")])
    again = capsys.readouterr().out.splitlines()
    assert again[1:] == first[1:] and again[0].startswith("run: ")  # a record of its own


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "FashonMNIST"], "FashionMNIST"),
        (["--device", "SoftBound"], "did you mean SoftBounds"),
        (["--set", "dw_mim=1"], "no such parameter"),
        (["--set", "dw_min"], "NAME=VALUE"),
        (["--set", "dw_min=-1"], "dw_min"),
        (["--algorithm", "residual"], "n_devices=1"),
        (["--algorithm", "ttv2", "--n-devices", "3"], "ttv2 has a fixed number of devices; leave it out"),
        (["--algorithm", "agad", "--set", "gama=1"], "--set gama: ConstantStep has no such parameter; it has"),
        (["--algorithm", "agad", "--set", "gamma=nan"], "gamma = 'nan': needs a number"),
        (["--algorithm", "agad", "--set", "in_chop_prob=2"], "in_chop_prob=2"),
        (["--set", "gamma=0.5"], "--set gamma: ConstantStep has no such parameter"),
        (["--algorithm", "tiki"], "unknown algorithm; known are sgd, tiki-taka"),
        (["--preset", "CapacitorPrest"], "did you mean CapacitorPreset"),
        (["--preset", "CapacitorPreset", "--device", "SoftBounds"], "leave out --device"),
        (["--preset", "CapacitorPreset", "--set", "dw_min=1"], "leave out --set"),
        (["--layers", "8,0"], "whole numbers above 0"),
        (["--lr", "nan"], "--lr nan: needs a number from 0 to 1000"),
        (["--on", "cuda"], "this JAX sees cpu:0"),
        (["--config", "not-there.toml"], "can't be read"),
        (["--plot", "/not/there/x.png"], "can't be written"),
    ],
)
def test_wrong_input_is_told_in_one_line(arguments: list, message: str, capsys: pytest.CaptureFixture) -> None:
    assert main([*SMALL, *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("analogjax: ") and message in error and error.count("\n") == 1 and os.listdir() == []


def test_devices_are_listed_and_shown(capsys: pytest.CaptureFixture) -> None:
    assert main(["devices"]) == 0
    assert "SoftBoundsReference" in capsys.readouterr().out
    assert main(["devices", "LinearStep"]) == 0
    shown = capsys.readouterr().out
    assert "gamma_up_dtod" in shown and "Relative decrease of the up step" in shown and "dw_min_std" in shown


def test_presets_and_algorithms_are_listed_and_a_preset_is_shown(capsys: pytest.CaptureFixture) -> None:
    assert main(["devices"]) == 0
    listed = capsys.readouterr().out
    assert "Presets: ReRamESPreset, " in listed and "Algorithms: sgd, " in listed
    assert main(["devices", "agadcapacitorpreset"]) == 0
    assert capsys.readouterr().out.startswith("AGADCapacitorPreset: TileConfig(device=Transfer(")
    assert main(["devices", "AGAD"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("agad: an algorithm") and "  in_chop_prob = 0.1" in shown and "  gamma = 0.0" in shown


def test_a_preset_and_an_algorithm_decide_the_tiles() -> None:
    options = {name: option.default for name, option in OPTIONS.items()}
    assert made_config(options | {"preset": "agadcapacitorpreset"}) == presets.preset("AGADCapacitorPreset")
    chosen = options | {"device": "softbounds", "set": {"dw_min": 0.01}, "algorithm": "agad"}
    assert made_config(chosen) == build_config("agad", SoftBounds(dw_min=0.01))
    assert made_config(chosen | {"learn_out_scaling": True}).mapping.learn_out_scaling
    assert made_config(options) == TileConfig(device=ConstantStep())
    # what is no parameter of the device is one of the algorithm or of its parts
    both = chosen | {"set": {"dw_min": 0.01, "gamma": 0.5, "in_chop_prob": 0.2, "units_in_mbatch": True}}
    transfer = agad((SoftBounds(dw_min=0.01),) * 2, gamma=0.5, in_chop_prob=0.2, units_in_mbatch=True)
    made, plain = made_config(both).device, build_config("agad", SoftBounds(dw_min=0.01)).device
    assert (made.gamma, made.chopper, made.schedule) == (0.5, transfer.chopper, transfer.schedule)
    assert made.devices == transfer.devices and (made.fast, made.writer) == (plain.fast, plain.writer)
    three = made_config(options | {"algorithm": "residual", "n_devices": 3})
    assert three == build_config("residual", ConstantStep(), n_devices=3)


def test_a_preset_is_recorded_by_its_own_name(capsys: pytest.CaptureFixture) -> None:
    for name in ("capacitorpreset", "CapacitorPreset"):
        assert main([*SMALL, "--preset", name, "--epochs", "1", "--run", "preset"]) == 0
    assert json.loads(Path("preset/config.json").read_text())["config"]["preset"] == "CapacitorPreset"


def test_an_algorithm_trains_and_is_recorded(capsys: pytest.CaptureFixture) -> None:
    arguments = ["--device", "SoftBoundsReference", "--algorithm", "tiki-taka", "--epochs", "1", "--run", "tt"]
    assert main([*SMALL, *arguments]) == 0
    assert "\nDigits: layers 8-10 of tiki-taka SoftBoundsReference devices" in capsys.readouterr().out
    recorded = json.loads(Path("tt/config.json").read_text())["config"]
    assert recorded["algorithm"] == "tiki-taka" and recorded["device"] == "SoftBoundsReference"
    assert "preset" not in recorded


def test_no_command_is_help(capsys: pytest.CaptureFixture) -> None:
    assert main([]) == 2
    assert "train" in capsys.readouterr().out


def test_ctrl_c_keeps_the_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    # a shell's background job starts with SIGINT ignored, and children inherit that
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from analogjax.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", program, *SMALL, "--checkpoint", str(folder), "--epochs", "1000000"]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,  # a pipe that nobody reads would fill up and stop the run
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 120
        while not list(folder.glob("step_*")) and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        try:
            _, error = process.communicate(timeout=60)
        finally:
            process.kill()  # nothing outlives the test, however it ends
    assert process.returncode == 130
    assert f"--checkpoint {folder} resumes from the last checkpoint" in error and "Traceback" not in error
    from analogjax.store import Checkpoints

    assert Checkpoints(folder).latest() is not None
