"""Networks of the stand-in for torchvision: sizes and names are torchvision's, whose counts of parameters are known."""

import pytest
import torch
from aihwkit.nn import AnalogConv2d, AnalogLinear
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.simulator.configs import FloatingPointRPUConfig

from compat.torchvision import models


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (models.resnet18, 11_689_512), (models.resnet34, 21_797_672), (models.resnet50, 25_557_032),
        (models.alexnet, 61_100_840),
    ],
)  # fmt: skip
def test_as_many_parameters(make, parameters):
    with torch.device("meta"):
        assert sum(one.numel() for one in make().parameters()) == parameters


def test_names_and_places():
    names = models.resnet18(num_classes=3).state_dict()
    assert names["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1) and names["fc.bias"].shape == (3,)
    assert names["layer4.1.bn2.running_var"].shape == (512,) and "layer1.0.downsample.0.weight" not in names
    assert models.resnet18(num_classes=3).eval()(torch.zeros(2, 3, 33, 40)).shape == (2, 3)
    assert models.alexnet(num_classes=2).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 2)


def test_a_converted_network_computes_the_same():
    torch.manual_seed(1)
    model = models.ResNet(models.BasicBlock, [1, 1], num_classes=4)
    model.layer3 = model.layer4 = torch.nn.Identity()
    model.fc = torch.nn.Linear(128, 4)
    analog = convert_to_analog(model.eval(), FloatingPointRPUConfig())
    assert isinstance(analog.layer2[0].downsample[0], AnalogConv2d) and isinstance(analog.fc, AnalogLinear)
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(analog(x), model(x), rtol=1e-3, atol=1e-4)


def test_trained_weights_are_refused():
    with pytest.raises(ValueError, match=r"resnet50\(weights='DEFAULT'\).*Install torchvision"):
        models.resnet50(weights="DEFAULT")
