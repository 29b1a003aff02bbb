"""Mapping, a training step, splitting, convolutions, initial weights and programming against aihwkit, by compat.

Input ranges and their calibration, the other cases of the group, are in `test_hardware_aware`.
"""

import dataclasses
from enum import Enum
from typing import Any

import numpy as np
import pytest
import torch

from compat.aihwkit.nn import AnalogConv2d, AnalogLinear
from compat.aihwkit.optim import AnalogSGD
from compat.aihwkit.simulator import configs
from tests.golden.catalog import cases

GROUP = "periphery"
KINDS = ("mapping", "split", "conv2d", "linear", "program")
ELSEWHERE = ("input", "calibration")
NAMES = [name for name in cases(GROUP) if name.split("_")[0] in KINDS]
REPLAYED = 31  # of 50: 19 are replayed elsewhere


def made(config: dict[str, Any]) -> Any:
    """compat's view of a described configuration."""
    view = getattr(configs, config["class"])()
    fields = {field.name: getattr(view, field.name) for field in dataclasses.fields(view)}
    for name, value in config.items():
        if name in (
            "class",
            "noise_model",
            "drift_compensation",
        ):  # of programming of inference tiles, which these cases do not do
            continue
        if isinstance(value, dict):
            value = made(value)
        elif isinstance(fields[name], Enum):
            value = type(fields[name])(value)
        setattr(view, name, value)
    return view


def close(found: Any, expected: Any) -> None:
    """Equal but for the rounding of float32 (the golden tolerance: 1e-5 of the largest entry)."""
    found, expected = np.asarray(torch.as_tensor(found).detach()), np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(1.0, float(np.abs(expected).max())))


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("mapping")])
def test_a_step_with_mapping_scales(name):
    case = cases(GROUP)[name]
    given, seen = case["inputs"], case["observed"]
    w, bias, x, target = (
        None if given.get(key) is None else torch.tensor(given[key]) for key in ("W", "bias", "x", "target")
    )
    layer = AnalogLinear(w.shape[1], w.shape[0], bias=bias is not None, rpu_config=made(case["config"]))
    layer.set_weights(w, bias)
    optimizer = AnalogSGD(layer.parameters(), lr=given["learning_rate"])
    optimizer.regroup_param_groups(layer)
    x.requires_grad_(True)
    y = layer(x)
    (((y - target) ** 2).sum() / 2).backward()
    optimizer.step()
    close(y, seen["output"])
    close(x.grad, seen["grad_input"])
    new_w, new_bias = layer.get_weights()
    close(new_w, seen["logical_weight_after_step"])
    if bias is not None:
        close(new_bias, seen["bias_after_step"])


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("split")])
def test_large_layers_are_split(name):
    """Deterministic outputs; with noise, the standard deviation of the error within 4 standard errors and 1 %."""
    case = cases(GROUP)[name]
    given, seen = case["inputs"], case["observed"]
    generator = np.random.default_rng(given["seed"])
    w = generator.uniform(-0.1, 0.1, (given["out_size"], given["in_size"])).round(3).astype(np.float32)
    x = generator.uniform(-1, 1, (1, given["in_size"])).round(2).astype(np.float32)
    torch.manual_seed(0)
    layer = AnalogLinear(given["in_size"], given["out_size"], bias=False, rpu_config=made(case["config"]))
    layer.set_weights(torch.from_numpy(w))
    layer.eval()
    assert layer.analog_tile_count() == len(list(layer.analog_tiles())) == seen["n_tiles"]
    y = layer(torch.from_numpy(np.repeat(x, case["reps"], 0))).detach().numpy()
    error = y - x @ w.T
    # per output over the repetitions, then its mean over the outputs
    spread, expected = error.std(0, ddof=1), seen["error_std_over_outputs"]
    if expected["mean"] < 1e-6:
        close(y[0, :8], seen["ideal_first8"])
        return
    bound = 4 * np.hypot(spread.std(ddof=1) / len(spread) ** 0.5, expected["se_mean"]) + 0.01 * expected["mean"]
    assert abs(spread.mean() - expected["mean"]) < bound


def test_the_layout_of_a_convolution():
    case = cases(GROUP)["conv2d_layout"]
    given, seen = case["inputs"], case["observed"]
    w, bias, x, d = (torch.tensor(given[key]) for key in ("W", "bias", "x", "grad_output"))
    layer = AnalogConv2d(
        2, 3, 3, stride=given["stride"], padding=given["padding"], rpu_config=made(case["config"])
    )  # fmt: skip
    layer.set_weights(w.reshape(3, -1), bias)
    x.requires_grad_(True)
    y = layer(x)
    y.backward(d)
    close(y, seen["output"])
    close(x.grad, seen["grad_input"])


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("linear")])
def test_initial_weights(name):
    """Means and standard deviations within 4 standard errors, n = 131,072 weights and 512 biases."""
    case = cases(GROUP)[name]
    given, seen = case["inputs"], case["observed"]
    torch.manual_seed(1)
    layers = [
        AnalogLinear(given["in_size"], given["out_size"], rpu_config=made(case["config"])).get_weights()
        for _ in range(given["layers"])
    ]
    for found, key in zip(map(torch.stack, zip(*layers, strict=True)), ("weights", "bias"), strict=True):
        expected = seen[key]
        for value, error, told in (
            (found.mean(), "se_mean", expected["mean"]), (found.std(), "se_std", expected["std"]),
        ):  # fmt: skip
            assert abs(float(value) - told) < 4 * 2**0.5 * expected[error] + 0.01 * (error == "se_std") * told
        assert float(found.abs().max()) <= 1.0001 * max(abs(expected["min"]), abs(expected["max"]))


@pytest.mark.slow
def test_programming_of_a_training_tile_by_pulses():
    """Mean and standard deviation of both errors within 4 standard errors of the tiles, n = 40 chips."""
    case = cases(GROUP)["program_weights_constantstep"]
    w, seen = torch.tensor(case["inputs"]["W"]), case["observed"]
    torch.manual_seed(2)
    found: dict[str, list] = {"programming_error": [], "read_error": []}
    for _ in range(case["reps"]):
        tile = AnalogLinear(w.shape[1], w.shape[0], bias=False, rpu_config=made(case["config"])).analog_module
        tile.set_weights(w)
        tile.program_weights()
        stored = tile.get_weights()[0]
        found["programming_error"].append(stored - w)
        found["read_error"].append(tile.read_weights()[0] - stored)
    for name, expected in seen.items():
        error = torch.stack(found[name]).flatten(1)
        mean = (error.mean(1), expected["mean"], expected["se_mean"])
        variance = (error.var(1), expected["std"] ** 2, 2 * expected["std"] * expected["se_std"])
        for values, told, se in (mean, variance):
            own = float(values.std()) / len(values) ** 0.5
            assert abs(float(values.mean()) - told) < 4 * float(np.hypot(own, max(own, se))), name


def test_as_many_cases_are_replayed_as_before():
    others = [name for name in cases(GROUP) if name.split("_")[0] in ELSEWHERE]
    assert len(NAMES) == REPLAYED and len(NAMES) + len(others) == len(cases(GROUP))
