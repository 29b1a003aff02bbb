"""Four steps of hardware-aware training as aihwkit 1.2.0 takes them, where nothing is random: same numbers."""

import gzip
import json
from enum import Enum
from pathlib import Path

import pytest
import torch

from compat.aihwkit.nn import AnalogLinear
from compat.aihwkit.optim import AnalogSGD
from compat.aihwkit.simulator import configs

with gzip.open(Path(__file__).parent / "aihwkit_aware_training.json.gz", "rt") as file:
    MEASURED = json.load(file)
FAST = {
    "Inference-ird-map-lrn-clip-rc-disc", "Inference-abias-ir", "TorchInference-ird-map-lrn-clip-rc-disc",
    "FloatingPoint-abias-ir",
}  # fmt: skip


def built(case):
    config = getattr(configs, case["class"])()
    if hasattr(config, "drift_compensation"):
        config.drift_compensation = None
    for path, value in case["config"].items():
        *parts, name = path.split(".")
        place = config
        for part in parts:
            place = getattr(place, part)
        old = getattr(place, name)
        setattr(place, name, type(old)(value) if isinstance(old, Enum) else value)
    return config


def near(ours, theirs):
    """Equal but for the rounding of float32, which four steps add up."""
    ours, theirs = ours.detach().flatten(), torch.tensor(theirs)
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5 * max(1.0, float(theirs.abs().max())))


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case["name"], marks=() if case["name"] in FAST else pytest.mark.slow)
     for case in MEASURED["cases"]],
)  # fmt: skip
def test_steps_are_those_of_aihwkit(case):
    layer = AnalogLinear(6, 4, rpu_config=built(case))
    layer.set_weights(torch.tensor(MEASURED["weight"]), torch.tensor(MEASURED["bias"]))
    optimizer = AnalogSGD(layer.parameters(), lr=MEASURED["learning_rate"])
    optimizer.regroup_param_groups(layer)
    for x, target, seen in zip(MEASURED["x"], MEASURED["target"], case["steps"], strict=True):
        x = torch.tensor(x, requires_grad=True)
        optimizer.zero_grad()
        y = layer(x)
        ((y - torch.tensor(target)) ** 2).mean().backward()
        optimizer.step()
        near(y, seen["y"])
        near(x.grad, seen["dx"])
        if seen["range"]:
            near(layer.analog_module.input_range, seen["range"])
    weight, bias = layer.get_weights()
    near(weight, case["weight"])
    near(bias, case["bias"])
    near(layer.get_weights(apply_weight_scaling=False)[0], case["on_chip"])
    near(layer.eval()(torch.tensor(MEASURED["x"][0])), case["y_test"])
