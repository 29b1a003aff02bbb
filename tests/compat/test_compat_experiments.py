"""Experiments: the compiled path and the torch path tell the same story."""

import logging

import numpy as np
import pytest
import torch
from aihwkit.experiments import BasicTraining, Signals
from aihwkit.experiments.runners import LocalRunner
from aihwkit.nn import AnalogLinear, AnalogSequential
from aihwkit.simulator import configs as c

import compat.torchvision as vision
from analogjax import data
from compat.torchvision.transforms import Compose, Lambda, Normalize, ToTensor

KEYS = {"epoch", "time_epoch", "accuracy", "train_loss", "valid_loss"}


class Digits(torch.utils.data.Dataset):
    """The dataset that comes with analogjax, in torchvision's manner."""

    def __init__(self, root, train=True, transform=None, target_transform=None, download=False):
        split = data.Digits.load(train=train)
        self.images, self.labels, self.transform = split.images, split.labels, transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(self.images[index]), int(self.labels[index])


class OwnLoop(BasicTraining):
    """The same steps, but overridden: only the torch path may run it."""

    def training_step(self, *arguments):
        super().training_step(*arguments)


def exact():
    perfect = c.IOParameters(is_perfect=True, out_bound=0.0)
    return c.SingleRPUConfig(device=c.IdealDevice(), forward=perfect, backward=c.IOParameters(is_perfect=True))


def network(config=exact):
    return AnalogSequential(
        torch.nn.Flatten(),
        AnalogLinear(64, 12, rpu_config=config()),
        torch.nn.Sequential(torch.nn.Sigmoid(), torch.nn.Linear(12, 12), torch.nn.Dropout(0.0)),
        AnalogLinear(12, 10, rpu_config=config()),
        torch.nn.LogSoftmax(dim=1),
    )


def judged(model, items=None):
    model.eval()
    split = data.Digits.load(train=False).head(items or 0)
    with torch.no_grad():
        outputs = model(torch.from_numpy(split.images[:, None].astype(np.float32) / 255))
    return float((outputs.argmax(1).numpy() == split.labels).mean())


def test_compiled_training_writes_back_what_it_learnt(caplog):
    model = network()
    chips = model[1].analog_module
    experiment = BasicTraining(Digits, model, batch_size=8, epochs=2, learning_rate=0.3)
    with caplog.at_level(logging.WARNING, "compat"):
        results = LocalRunner().run(experiment, stdout=False)
    assert not caplog.records
    assert [set(entry) for entry in results] == [KEYS, KEYS] and experiment.results is results
    assert results[1]["train_loss"] < results[0]["train_loss"]
    assert experiment.model is model and model[1].analog_module is chips and not model.training
    assert abs(judged(model) - results[-1]["accuracy"]) < 1e-6


def test_one_batch_per_epoch_is_the_same_on_both_paths():
    """A whole split in one batch has no order, and exact tiles no noise: the paths must agree."""
    losses, weights = [], []
    for kind in (BasicTraining, OwnLoop):
        torch.manual_seed(4)
        model = network()
        experiment = kind(Digits, model, batch_size=50, epochs=3, learning_rate=0.3)
        results = LocalRunner().run(experiment, max_elements_train=50)
        losses.append([[entry["train_loss"], entry["valid_loss"], entry["accuracy"]] for entry in results])
        weights.append([*model.get_weights()["1.analog_module"], model[2][1].weight.detach()])
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-4)
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_compiled_runs_repeat_with_the_seed():
    results = []
    for _ in range(2):
        torch.manual_seed(9)
        tiles = AnalogLinear(64, 10, rpu_config=c.SingleRPUConfig())
        model = AnalogSequential(torch.nn.Flatten(), tiles, torch.nn.LogSoftmax(dim=1))
        run = LocalRunner().run(BasicTraining(Digits, model, batch_size=32, epochs=1), max_elements_train=64)
        results.append((run[0]["train_loss"], run[0]["accuracy"], model.get_weights()["1.analog_module"][0]))
    assert results[0][:2] == results[1][:2] and torch.equal(results[0][2], results[1][2])


class Frozen(torch.nn.Linear):
    """Not a module that we know."""


@pytest.mark.parametrize(("change", "reason"), [
    (lambda e: setattr(e, "__class__", OwnLoop), "OwnLoop has its own training_step"),
    (lambda e: setattr(e, "loss_function", torch.nn.MultiMarginLoss), "MultiMarginLoss has no native form"),
    (lambda e: e.model.append(Frozen(10, 10)), "the module Frozen has no native form"),
    (lambda e: e.model[3].analog_module.analog_ctx.requires_grad_(False), "frozen"),
    (lambda e: e.model[1].register_forward_hook(lambda *_: None), "AnalogLinear has hooks"),
    (lambda e: e.model.append(e.model[0]), "used twice"),
])  # fmt: skip
def test_what_cannot_be_compiled_runs_in_torch_and_says_why(change, reason, caplog):
    experiment = BasicTraining(Digits, network(), batch_size=4, epochs=1)
    change(experiment)
    with caplog.at_level(logging.WARNING, "compat"):
        results = LocalRunner().run(experiment, max_elements_train=8)
    assert len(caplog.records) == 1 and reason in caplog.text
    assert set(results[0]) == KEYS


def test_printing(capsys):
    for kind in (BasicTraining, OwnLoop):
        experiment = kind(Digits, network(), batch_size=32, epochs=1)
        entry = LocalRunner().run(experiment, max_elements_train=64, stdout=True)[0]
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == f"Epoch: 0, loss: {entry['train_loss']:.8f}"
        assert lines[1].startswith("Number of images: 64, accuracy: ") and "validation loss: " in lines[1]
        assert lines[2].startswith("Time for epoch 0: ")
    LocalRunner().run(experiment, max_elements_train=8)
    assert capsys.readouterr().out == ""


def test_str_and_hooks():
    experiment = BasicTraining(vision.datasets.FashionMNIST, torch.nn.Linear(2, 1), batch_size=8, epochs=2)
    assert str(experiment) == (
        "BasicTraining(dataset=FashionMNIST, batch_size=8, loss_function=NLLLoss, epochs=2, learning_rate=0.05, "
        "model=Linear(in_features=2, out_features=1, bias=True))"
    )
    experiment.add_hook(Signals.EPOCH_END, lambda: {"a": 1})
    experiment.add_hook(Signals.EPOCH_END, lambda: {"b": 2})
    assert experiment._call_hook(Signals.EPOCH_END) == {"a": 1, "b": 2}
    experiment.clear_hooks()
    assert experiment._call_hook(Signals.EPOCH_END) == {}
    assert experiment.get_dataset_arguments(vision.datasets.SVHN) == ({"split": "train"}, {"split": "test"})
    transform = experiment.get_dataset_transform(vision.datasets.FashionMNIST)
    image = np.full((28, 28), 255, np.uint8)
    assert torch.allclose(transform(image), torch.full((1, 28, 28), (1 - 0.2860) / 0.3205))
    assert len(experiment.get_dataset_transform(Digits).transforms) == 1


def test_transforms():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    both = Compose([ToTensor(), Normalize([0.1, 0.2, 0.3], [1.0, 2.0, 4.0]), Lambda(lambda t: t * 2)])
    expected = 2 * (image / 255 - [0.1, 0.2, 0.3]) / [1.0, 2.0, 4.0]
    np.testing.assert_allclose(both(image), expected.transpose(2, 0, 1), atol=1e-6)
    pil = pytest.importorskip("PIL.Image").fromarray(image)
    assert torch.equal(ToTensor()(pil), ToTensor()(image))
    assert ToTensor()(np.ones((2, 2), np.float32)).max() == 1.0
    with pytest.raises(ValueError, match="2 or 3 axes"):
        ToTensor()(np.zeros(3))


@pytest.mark.skipif(data.FashionMNIST.find() is None, reason="the files of FashionMNIST are not on this machine")
def test_fashion_mnist_as_torchvision_offers_it(tmp_path):
    dataset = vision.datasets.FashionMNIST(tmp_path, train=False, transform=ToTensor())
    image, label = dataset[0]
    assert len(dataset) == 10_000 and image.shape == (1, 28, 28) and label == int(dataset.targets[0]) == 9
    assert dataset.data.shape == (10_000, 28, 28) and dataset.data.dtype == torch.uint8
    assert dataset.classes[label] == "Ankle boot"


def test_svhn_asks_for_a_split(tmp_path):
    with pytest.raises(ValueError, match="'train' or 'test'"):
        vision.datasets.SVHN(tmp_path, split="extra")
