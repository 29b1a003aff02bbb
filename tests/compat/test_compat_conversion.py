"""Conversion of models whose classes share a name, or whose modules or weights occur twice."""

import copy
import pickle

import pytest
import torch
from aihwkit.exceptions import ArgumentError, ConfigError
from aihwkit.nn import AnalogLinear, AnalogSequential
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.nn.modules.container import AnalogWrapper
from aihwkit.optim import AnalogOptimizer, AnalogSGD
from aihwkit.simulator.configs import FloatingPointRPUConfig, InferenceRPUConfig
from torch import nn


def exact():
    config = InferenceRPUConfig()
    config.forward.is_perfect = True
    return config


def version(number):
    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, x):
            return self.linear(x) + number

    return Cell()


def test_a_class_that_is_defined_again_is_another_one():
    x = torch.rand(3, 2)
    digital = [version(number) for number in (0.0, 10.0)]
    analog = [convert_to_analog(model, exact()) for model in digital]
    for ours, theirs in zip(analog, digital, strict=True):
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)
        assert isinstance(ours, AnalogWrapper) and isinstance(ours, type(theirs))
    assert type(analog[0]) is not type(analog[1]) and type(analog[0]).__name__ == "AnalogWrapperCell"
    assert type(convert_to_analog(digital[0], exact())) is type(analog[0])


def test_optimizers_of_one_name_are_their_own():
    class SGD(torch.optim.SGD):
        def step(self, closure=None):
            raise RuntimeError("my step")

    layer = AnalogLinear(2, 2, rpu_config=exact())
    theirs = AnalogOptimizer(torch.optim.SGD, layer.parameters(), lr=0.1)
    own = AnalogOptimizer(SGD, layer.parameters(), lr=0.1)
    assert isinstance(own, SGD) and not isinstance(theirs, SGD) and type(own).__name__ == "AnalogOptimizerSGD"
    assert type(AnalogOptimizer(SGD, layer.parameters(), lr=0.2)) is type(own)
    with pytest.raises(RuntimeError, match="my step"):
        own.step()
    theirs.step()


class Shared(nn.Module):
    """One layer under three names, one activation at three places."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.again = self.first
        self.act = nn.Tanh()
        self.row = nn.Sequential(nn.Linear(3, 3), self.act, self.first, self.act)
        self.many = nn.ModuleList([self.row[0], self.act])

    def forward(self, x):
        return self.many[0](self.row(self.act(self.again(self.first(x)))))


def test_converted_models_are_copied_and_pickled():
    model, x = convert_to_analog(Shared(), exact()), torch.rand(2, 3)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert type(twin) is type(model) and twin.first is twin.row[2] is not model.first
        assert torch.equal(twin(x), model(x))
        nn.init.zeros_(twin.first.analog_module.shared_weights)
        assert not torch.equal(twin(x), model(x))


@pytest.mark.parametrize("config", [exact(), FloatingPointRPUConfig()], ids=["inference", "exact"])
def test_layers_that_occur_twice_stay_one_and_train_as_one(config):
    digital = Shared()
    analog = convert_to_analog(digital, config)
    assert analog.first is analog.again is analog.row[2] and analog.many[0] is analog.row[0]
    assert len(list(analog.analog_layers())) == 2 and isinstance(analog.row, AnalogSequential) and len(analog.row) == 4
    x = torch.rand(4, 3)
    for model, optimizer in ((analog, AnalogSGD(analog.parameters(), lr=0.2)),
                             (digital, torch.optim.SGD(digital.parameters(), lr=0.2))):  # fmt: skip
        for _ in range(3):
            optimizer.zero_grad()
            (model(x) - 1).pow(2).mean().backward()
            optimizer.step()
    assert torch.allclose(analog(x), digital(x), atol=1e-5)


def test_rows_with_one_module_at_several_places():
    act, linear = nn.ReLU(), nn.Linear(2, 2)
    x = torch.randn(6, 2)
    for row in (nn.Sequential(nn.Linear(2, 2), act, nn.Linear(2, 2), act), nn.Sequential(linear, nn.Tanh(), linear)):
        analog = convert_to_analog(row, exact())
        assert len(analog) == len(row) and torch.allclose(analog(x), row(x), atol=1e-5)
        assert torch.allclose(AnalogSequential.to_digital(analog)(x), row(x), atol=1e-5)


def test_names_of_one_module_are_excluded_together():
    names = ["first", "again", "row.2"]
    analog = convert_to_analog(Shared(), exact(), exclude_modules=names)
    assert type(analog.first) is type(analog.row[2]) is nn.Linear and analog.first is analog.row[2]
    with pytest.raises(ArgumentError, match=r"first and again and row\.2 are one module, and only again is excluded"):
        convert_to_analog(Shared(), exact(), exclude_modules=["again"])


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.out = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.out.weight = self.words.weight

    def forward(self, x):
        return self.out(self.words(x))


def test_tied_weights_that_would_come_apart_are_refused_before_anything_changes():
    model = Tied()
    with pytest.raises(ArgumentError, match=r"words\.weight and out\.weight are one tied parameter.*exclude_modules"):
        convert_to_analog(model, exact(), inplace=True)
    assert type(model.out) is nn.Linear
    assert type(convert_to_analog(model, exact(), exclude_modules=["out"]).out) is nn.Linear
    model.out.weight = nn.Parameter(model.words.weight.detach().clone())
    assert isinstance(convert_to_analog(model, exact()).out, AnalogLinear)


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (lambda: nn.Conv2d(4, 4, 3, groups=2), r"1 can't be AnalogConv2d: Conv2d\(groups=2\)"),
        (lambda: nn.Conv1d(4, 4, 3, padding_mode="circular"), r"AnalogConv1d: Conv1d\(padding_mode='circular'\)"),
        (lambda: nn.Conv3d(4, 4, 3, padding="same"), r"AnalogConv3d: Conv3d\.padding: 'same' is not three whole"),
    ],
)
def test_a_model_that_can_not_be_converted_stays_as_it_was(layer, told):
    model = nn.Sequential(nn.Linear(3, 4), layer())
    before = list(model)
    with pytest.raises(ConfigError, match=told):
        convert_to_analog(model, exact(), inplace=True)
    assert list(model) == before and type(model[0]) is nn.Linear
    assert type(convert_to_analog(model, exact(), exclude_modules=["1"])[1]) is type(before[1])
