"""Options of `analogjax train`: what is typed wins over a config file, and both are checked alike."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from analogjax.cli import _parser, main
from analogjax.errors import ConfigError
from analogjax.train_options import OPTIONS, options_of

FILE = {
    "dataset": "Digits", "layers": [16, 4], "epochs": 3, "batch-size": 32, "lr": 0.3, "seed": 7, "max_elements": 40,
    "learn_out_scaling": True, "fallback_digits": True, "no_record": True, "plot": "there.png", "on": "cpu",
    "set": {"dw_min": 0.01, "up_down": 0.2}, "checkpoint": "points", "checkpoint_every_steps": 3, "root": "data",
}  # fmt: skip


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def parsed(*typed: str, file: object = None) -> dict:
    """The options of a command with that config file."""
    if file is not None:
        Path("run.json").write_text(json.dumps(file))
        typed = ("--config", "run.json", *typed)
    return options_of(_parser().parse_args(["train", *typed]))


@pytest.mark.parametrize(
    ("typed", "name", "value"),
    [
        (["--seed", "0"], "seed", 0),
        (["--lr", "0"], "lr", 0.0),
        (["--epochs", "0"], "epochs", 0),
        (["--max-elements", "0"], "max_elements", 0),
        (["--checkpoint-every-steps", "0"], "checkpoint_every_steps", 0),
        (["--layers", ""], "layers", []),
        (["--plot", ""], "plot", None),
        (["--on", ""], "on", None),
        (["--root", ""], "root", None),
        (["--checkpoint", ""], "checkpoint", None),
        (["--no-learn-out-scaling"], "learn_out_scaling", False),
        (["--no-fallback-digits"], "fallback_digits", False),
        (["--record"], "no_record", False),
        (["--set", ""], "set", {}),
        (["--set", "up_down=0"], "set", {"dw_min": 0.01, "up_down": 0}),
        # equal to the default, which is no reason to take the file's
        (["--batch-size", "64"], "batch_size", 64),
        (["--lr", "0.05"], "lr", 0.05),
    ],
)
def test_what_is_typed_wins(typed: list, name: str, value: object) -> None:
    options, alone = parsed(*typed, file=FILE), parsed(file=FILE)
    assert options[name] == value and type(options[name]) is type(value) and alone[name] != value
    assert {key: one for key, one in options.items() if key != name} == {
        k: one for k, one in alone.items() if k != name
    }


def test_without_any_option_the_defaults_hold() -> None:
    assert parsed() == parsed(file={}) == {name: option.default for name, option in OPTIONS.items()}


def test_what_is_typed_takes_the_place_of_its_rivals_in_the_file() -> None:
    tiles = {"device": "SoftBounds", "set": {"dw_min": 0.01}, "algorithm": "agad", "n_devices": 2}
    options = parsed("--preset", "CapacitorPreset", file=tiles)
    assert options["preset"] and not any(options[name] for name in tiles)
    assert parsed("--device", "ExpStep", file={"preset": "CapacitorPreset"})["preset"] is None
    assert parsed("--run", "a", file={"no_record": True, "runs": "b"})["no_record"] is False
    assert parsed("--no-record", file={"run": "a"})["run"] is None


GOOD = {
    "layers": ["8,16", [8, 16], []], "epochs": [0, 9], "lr": [0, 1, 0.5], "set": [{"dw_min": 1}, ["dw_min=1"]],
    "learn_out_scaling": [True, False], "activation": ["relu"], "seed": [2**32 - 1],
}  # fmt: skip
BAD = {
    "epochs": ["3", True, 2.5, None, -1, 2**31, [3], {}],
    "batch_size": [0, "64", False],
    "lr": ["0.1", True, None, -0.1, 1e30, float("nan"), float("inf"), [0.1]],
    "seed": [-1, 2**32, 10**20, 0.0, "0"],
    "max_elements": [-5, 1.0],
    "n_devices": [0, -1, True],
    "layers": [None, True, [0], [8, "x"], [[8]], [True], {"a": 8}, "8,x", 2**40, 8.0],
    "activation": ["nope", "swish", "softmax", "", None, 3, ["relu"]],
    "output": ["xml", "", 0],
    "set": ["dw_min=1", 3, None, [1], ["dw_min"], {"dw_min": "1"}, {"dw_min": {"mean": 1}}, {"dw_min": [1]},
            {"dw_min": float("nan")}, {"dw_min": 10**400}, {"dw_min": None}],
    "learn_out_scaling": ["no", 0, 1, None],
    "no_record": ["", 0],
    "dataset": [3, None, "", ["Digits"]],
    "run": [3, True, ["a"], "a\0b"],
    "root": [None, {}],
    "on": [0],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_a_good_value_of_a_file(name: str, value: object) -> None:
    assert parsed(file={name: value})[name] is not None


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_wrong_value_of_a_file_is_told(name: str, value: object) -> None:
    with pytest.raises(ConfigError) as told:
        parsed(file={name: value})
    message = str(told.value)
    assert message.startswith(f"--config run.json: {name} = ") and len(message) < 400 and "\n" not in message


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["--epochs", "-1"], "--epochs -1: needs a whole number from 0"),
        (["--epochs", "2.0"], "--epochs 2.0: needs a whole number"),
        (["--batch-size", "0"], "--batch-size 0: needs a whole number from 1"),
        (["--lr", "1e30"], "--lr 1e30: needs a number from 0 to 1000"),
        (["--lr", "nan"], "--lr nan: needs a number"),
        (["--lr", ""], "--lr '': needs a number"),
        (["--max-elements", "-5"], "--max-elements -5: needs"),
        (["--seed", "99999999999999999999"], "--seed 99999999999999999999: needs a whole number from 0 to 4294967295"),
        (["--seed", "9" * 5000], "needs a whole number"),
        (["--n-devices", "0"], "--n-devices 0: needs"),
        (["--activation", "tahn"], "--activation tahn: did you mean tanh?"),
        (["--output", "JSONL"], "did you mean jsonl?"),
        (["--set", "dw_min=" + "1" * 400], "needs a number"),
        (["--plot", "a.nothing"], "of no known kind"),
        (["--plot", os.curdir], "is a folder"),
        (["--checkpoint-every-steps", "2"], "there are no checkpoints"),
        (["--compilation-cache", os.devnull], "is not a folder"),
        (["--on", "cpu:-1"], "not available; this JAX sees"),
        (["--root", "not-there"], "there is no such folder"),
        (["--dataset", "digit"], "--dataset digit: no dataset is named 'digit'. Did you mean Digits?"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(
    typed: list, told: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(["train", "--dataset", "Digits", *typed]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("analogjax: --" if "not available" not in told else "analogjax: device=")
    assert told in printed.err and printed.err.count("\n") == 1 and len(printed.err) < 400
    assert printed.out == "" and os.listdir() == []


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", b"[1, 2]", "holds [1, 2]"),
        ("a.json", b"7", "holds 7"),
        ("a.json", b'"epochs"', "holds 'epochs'"),
        ("a.json", b"null", "holds None"),
        ("a.json", b"", "can't be read"),
        ("a.json", b"[" * 10**5, "can't be read"),
        ("a.json", b'{"lr": 0.1, "lr": 0.2}', "'lr' is given twice"),
        ("a.json", b'{"epochs": ' + b"9" * 5000 + b"}", "can't be read"),
        ("a.toml", b"epochs = ", "can't be read"),
        ("a.toml", b'device = "\xff\xfe"', "can't be read"),
        ("a.toml", b"batch-size = 4\nbatch_size = 8\n", "batch_size is given twice"),
        ("a.toml", b"[set.dw_min]\nmean = 1\n", "dw_min = {'mean': 1}: needs a number"),
        ("a.toml", b"epoch = 3\n", "unknown option 'epoch'; did you mean epochs?"),
        ("a.toml", b"[train]\nepochs = 3\n", "unknown option 'train'"),
        ("a.toml", b"epochs = 1979-05-27\n", "needs a whole number"),
        ("folder/x", b"", "can't be read"),
    ],
)
def test_a_file_that_is_no_table_of_options_is_told(
    name: str, content: bytes, told: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    given = path.parent if name == "folder/x" else path
    assert main(["train", "--dataset", "Digits", "--config", str(given)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"analogjax: --config {given}: ") and told in error and error.count("\n") == 1


def test_no_epochs_are_no_epochs(capsys: pytest.CaptureFixture) -> None:
    small = ["train", "--dataset", "Digits", "--layers", "", "--max-elements", "32"]
    assert main([*small, "--epochs", "0", "--output", "jsonl", "--plot", "curves.png", "--no-record"]) == 0
    assert capsys.readouterr().out == "" and Path("curves.png").read_bytes()[:4] == b"\x89PNG"


def test_a_root_that_lacks_what_lies_elsewhere_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (elsewhere / f"{name}-ubyte").write_bytes(b"")
    monkeypatch.setenv("ANALOGJAX_DATA", str(elsewhere))
    assert main(["train", "--dataset", "MNIST", "--root", "empty"]) == 2
    error = capsys.readouterr().err
    assert f"--root empty: MNIST is not there, and is in {elsewhere}" in error and os.listdir() == ["elsewhere"]


def test_options_are_read_without_jax() -> None:
    program = (
        "import sys; sys.argv = ['analogjax']; from analogjax.cli import _parser; "
        "from analogjax.train_options import options_of; "
        "options_of(_parser().parse_args(['train', '--seed', '3'])); sys.exit('jax' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
