"""The stand-in for torchvision: sizes and names of networks are torchvision's, whose counts of parameters are known."""

import numpy as np
import pytest
import torch
from aihwkit.nn import AnalogConv2d, AnalogLinear
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.simulator.configs import FloatingPointRPUConfig

from compat.torchvision import models, transforms


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


@pytest.mark.slow
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


class TestTransforms:
    def test_a_flip_changes_left_and_right(self):
        image = np.arange(6, dtype=np.uint8).reshape(2, 3)
        assert np.array_equal(transforms.RandomHorizontalFlip(1.0)(image), image[:, ::-1])
        assert transforms.RandomHorizontalFlip(0.0)(image) is image
        tensor = torch.arange(12.0).reshape(2, 2, 3)
        assert torch.equal(transforms.RandomHorizontalFlip(1.0)(tensor), tensor.flip(2))
        flips = [np.array_equal(transforms.RandomHorizontalFlip()(image), image) for _ in range(200)]
        assert 60 < sum(flips) < 140  # 5.6 standard errors of 7.07

    def test_a_crop_is_a_part_of_the_padded_image(self):
        image, crop = np.arange(1, 13, dtype=np.uint8).reshape(3, 4), transforms.RandomCrop(3, padding=1)
        padded, seen = np.pad(image, 1), set()
        for _ in range(100):
            part = crop(image)
            places = [(r, c) for r in range(3) for c in range(4) if np.array_equal(padded[r : r + 3, c : c + 3], part)]
            assert len(places) == 1
            seen.update(places)
        assert len(seen) == 12  # each place: a miss of one has a probability of 2e-3
        assert crop(torch.ones(3, 5, 5)).shape == (3, 3, 3)
        with pytest.raises(ValueError, match=r"RandomCrop\(\(9, 9\)\): the image has \(3, 4\) pixels"):
            transforms.RandomCrop(9)(image)

    def test_pictures_stay_pictures(self):
        image = pytest.importorskip("PIL.Image").fromarray(np.zeros((4, 5, 3), np.uint8))
        both = transforms.Compose([transforms.RandomCrop((4, 4), padding=2), transforms.RandomHorizontalFlip(1.0)])
        assert type(both(image)) is type(image) and both(image).size == (4, 4)
