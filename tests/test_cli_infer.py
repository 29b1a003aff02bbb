"""`analogjax train --hardware-aware` and `analogjax infer`."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from analogjax.cli import main
from analogjax.devices_command import made_config
from analogjax.errors import ConfigError
from analogjax.physics.hardware_aware import AddNormal, GaussianClip, MultNormal
from analogjax.physics.inference import FreshChip
from analogjax.tile import HardwareAware
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
    "48",
]
AWARE = [*SMALL, "--hardware-aware", "--optimizer", "adam", "--lr", "0.01"]
FEW = ["--chips", "2", "--times", "1s,1y", "--max-elements", "60"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main([*arguments]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main([*arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("analogjax: ")
    return error


def test_a_hardware_aware_training_is_recorded_and_read_back(capsys):
    told(capsys, *AWARE, "--run", "runs/a", "--fresh-chips", "2", "--input-range")
    table = told(capsys, "infer", "runs/a", *FEW)
    assert "1 s" in table and "1 y" in table and "accuracy" in table
    rows = list(csv.DictReader(io.StringIO(told(capsys, "infer", "a", *FEW, "--output", "csv"))))
    assert [float(row["t_inference"]) for row in rows] == [1.0, 31_536_000.0] and rows[0]["chips"] == "2"
    found = json.loads(told(capsys, "infer", "runs/a", *FEW, "--output", "json"))
    accuracy = np.array(found["accuracy"])
    assert accuracy.shape == (2, 2)
    np.testing.assert_allclose([float(row["accuracy"]) for row in rows], accuracy.mean(0))
    np.testing.assert_allclose([float(row["accuracy_std"]) for row in rows], accuracy.std(0, ddof=1))
    assert json.loads(told(capsys, "infer", "runs/a", *FEW, "--output", "json")) == found  # the seed decides
    assert json.loads(told(capsys, "infer", "runs/a", *FEW, "--output", "json", "--seed", "1")) != found
    told(capsys, "infer", "runs/a", *FEW, "--plot", "drift.svg")
    assert "<svg" in Path("drift.svg").read_text()


def test_pulsed_trainings_are_read_too_and_materials_have_parameters(capsys):
    told(capsys, *SMALL, "--run", "runs/p", "--set", "dw_min=0.002")
    asked = ["infer", "runs/p", *FEW, "--output", "json", "--compensation", "none"]
    asked += ["--material", "stateindependent", "--set", "prog_noise_scale=0", "--set", "read_noise_scale=0"]

    def losses(nu):
        given = ["--set", f"drift_nu_mean={nu}", "--set", "drift_nu_std=0"]
        return [entry["loss"] for entry in json.loads(told(capsys, *asked, *given))["times"]]

    still, drifting = losses(0), losses(0.3)
    assert abs(still[0] - still[1]) < 0.3 * abs(drifting[0] - drifting[1])


def test_a_file_of_weights_is_read(capsys):
    generator = np.random.default_rng(0)
    w = [generator.normal(size=size).astype(np.float32) for size in ((6, 64), (10, 6))]
    torch_like = {"0.weight": w[0], "0.bias": np.ones(6, np.float32), "2.weight": w[1]}
    flax_like = {"a.kernel": w[0].T, "a.bias": np.ones(6, np.float32), "b.kernel": w[1].T}
    for name, arrays in (("t.npz", torch_like), ("f.npz", flax_like)):
        np.savez(name, **arrays)
    answers = [
        told(capsys, "infer", name, "--dataset", "Digits", "--activation", "tanh", *FEW) for name in ("t.npz", "f.npz")
    ]
    assert answers[0] == answers[1]
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file(torch_like, "s.safetensors")
    assert told(capsys, "infer", "s.safetensors", "--dataset", "Digits", "--activation", "tanh", *FEW) == answers[0]


def test_layers_of_a_safetensors_file_are_in_the_order_of_their_numbers(capsys):
    safetensors = pytest.importorskip("safetensors.numpy")
    generator = np.random.default_rng(1)
    w = [generator.normal(size=size).astype(np.float32) for size in ((64, 64), (64, 64), (10, 64))]
    arrays = {f"layers.{n}.weight": one for n, one in zip((2, 10, 11), w, strict=True)}
    np.savez("n.npz", **arrays)
    safetensors.save_file(arrays, "n.safetensors")
    one, other = (told(capsys, "infer", name, "--dataset", "Digits", *FEW) for name in ("n.npz", "n.safetensors"))
    assert one == other
    safetensors.save_file({"input.weight": w[0], "hidden.weight": w[1], "output.weight": w[2]}, "w.safetensors")
    assert "which layer comes first" in refused(capsys, "infer", "w.safetensors", "--dataset", "Digits")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"a.weight": np.zeros((6, 63)), "b.weight": np.zeros((10, 6))}, "63 inputs"),
        ({"a.weight": np.zeros((6, 64)), "b.weight": np.zeros((10, 7))}, "in order"),
        ({"a.weight": np.zeros((6, 1, 3, 3))}, "only linear layers"),
        ({"a": np.zeros((6, 64))}, "NAME.weight"),
        ({"a.weight": np.zeros((10, 64)), "a.bias": np.zeros((1, 10))}, "must be [10]"),
        ({"a.weight": np.full((10, 64), "x")}, "real numbers"),
        ({"a.weight": np.zeros((10, 64), complex)}, "real numbers"),
        ({"a.weight": np.zeros((10, 64)), "norm.scale": np.ones(64)}, "norm.scale belongs to no"),
    ],
)
def test_files_that_hold_no_such_network_are_refused(capsys, arrays, words):
    np.savez("w.npz", **arrays)
    assert words in refused(capsys, "infer", "w.npz", "--dataset", "Digits")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["runs/none"], "no run"),
        (["w.npz"], "--dataset"),
        (["w.npz", "--dataset", "Digits"], "can't be read"),
        (["w.npz", "--dataset", "Didgits"], "--dataset Didgits"),
        (["a", "--times", "soon"], "--times soon"),
        (["a", "--times", "-1"], "--times -1"),
        (["a", "--chips", "0"], "--chips 0"),
        (["a", "--seed", "x"], "--seed x"),
        (["a", "--material", "PCMlik"], "did you mean PCMLike"),
        (["a", "--set", "nu=1"], "--set nu: PCMLike has no such parameter"),
        (["a", "--set", "drift_scale=x"], "--set: drift_scale"),
        (["a", "--set", "exponents=3"], "only numbers"),
        (["a", "--set", "keeps_conductances=7"], "true or false"),
        (["a", "--plot", "none/p.png"], "no folder"),
    ],
)
def test_what_is_asked_wrongly_is_told(capsys, arguments, words):
    try:
        code = main(["infer", *arguments])
    except SystemExit as stopped:
        code = stopped.code
    assert code in (1, 2)
    assert words in capsys.readouterr().err


def test_a_run_has_its_own_data(capsys):
    told(capsys, *AWARE, "--run", "runs/a", "--epochs", "1")
    assert "has its own" in refused(capsys, "infer", "runs/a", "--dataset", "Digits")


def configured(**given):
    return made_config({name: option.default for name, option in OPTIONS.items()} | {"hardware_aware": True} | given)


def test_options_become_a_configuration():
    plain = configured()
    assert isinstance(plain, HardwareAware)
    assert plain.modifier == AddNormal(std_dev=0.05) and plain.clip == GaussianClip(sigma=2.5)
    assert plain.input_range is None and plain.fresh_chips == 0
    own = configured(modifier="mult-normal", weight_noise=0.2, weight_clip=0.0, input_range=True, fresh_chips=4)
    assert own.modifier == MultNormal(std_dev=0.2, assumed_wmax=1.0) and own.clip is None
    assert own.input_range is not None and own.fresh_chips == 4
    assert isinstance(configured(modifier="pcm").modifier, FreshChip) and configured(modifier="none").modifier is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"device": "SoftBounds"}, "--device"),
        ({"algorithm": "agad"}, "--algorithm"),
        ({"preset": "CapacitorPreset"}, "--preset"),
        ({"modifier": "pcm", "weight_noise": 0.1}, "--weight-noise"),
        ({"hardware_aware": False, "modifier": "add-normal"}, "--modifier"),
        ({"hardware_aware": False, "weight_noise": 0.0}, "--weight-noise"),
        ({"hardware_aware": False, "fresh_chips": 2}, "--fresh-chips"),
    ],
)
def test_options_of_the_other_kind_of_training_are_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        configured(**given)
