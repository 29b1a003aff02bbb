"""Experiments as data: what they keep, and what is refused, with the list of what is known."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import pytest

from analogjax import AnalogLinear, BasicTraining, FashionMNIST, Sequential, TileConfig, nn
from analogjax.cloud.configuration import config_from_json, config_to_json
from analogjax.cloud.description import Description
from analogjax.cloud.errors import DescriptionError
from analogjax.data import Split
from analogjax.experiments import Arrays
from analogjax.physics import ADC, ConstantStep, Drift, Periphery, SoftBounds, UpdatePolicy, Vector
from analogjax.tile.presets import PRESETS, preset
from tests.cloud.experiments import described, training


def lenet(**given):
    config = preset("EcRamPreset")
    return BasicTraining(
        dataset=FashionMNIST,
        model=Sequential(
            nn.AnalogConv2d(4, config, kernel_size=(5, 5)), jnp.tanh, partial(nn.max_pool, window=(2, 2)), nn.flatten,
            AnalogLinear(10, config), partial(jax.nn.log_softmax, axis=-1),
        ),
        **given,
    )  # fmt: skip


@pytest.mark.parametrize("experiment", [training(), lenet()])
def test_there_and_back(experiment):
    made = Description.of(experiment, seed=3, max_elements=7)
    again = Description.from_json(json.loads(made.text()))
    assert again == made and again.text() == made.text()
    built = again.experiment()
    assert (built.epochs, built.batch_size, built.learning_rate) == (
        experiment.epochs, experiment.batch_size, experiment.learning_rate,
    )  # fmt: skip
    x = again.sample()
    shapes = [
        jax.eval_shape(lambda key, m=model: nn.init(m, x, key), jax.random.key(0))
        for model in (experiment.model, built.model)
    ]
    assert jax.tree.map(lambda a: (a.shape, a.dtype), shapes[0]) == jax.tree.map(
        lambda a: (a.shape, a.dtype), shapes[1]
    )


@pytest.mark.parametrize(
    "config",
    [
        TileConfig(),
        TileConfig(
            device=SoftBounds(dw_min=0.002, drift=Drift(nu=0.1)),
            forward=Periphery(adc=ADC(bound=5.0), noise_management=None),
        ),
        TileConfig(
            device=Vector(devices=(ConstantStep(), SoftBounds()), update_policy=UpdatePolicy.ALL, gamma_vec=(0.5, 1.0))
        ),
        *map(preset, PRESETS),
    ],
)
def test_configurations_there_and_back(config):
    value = json.loads(json.dumps(config_to_json(config)))
    assert config_from_json(value) == config


def test_presets_travel_by_name():
    assert config_to_json(preset("CapacitorPreset")) == {"preset": "CapacitorPreset"}


def test_arrays_do_not_travel_in_a_configuration():
    with pytest.raises(DescriptionError, match=r"config\.device\.dw_min"):
        config_to_json(TileConfig(device=ConstantStep(dw_min=jnp.ones(3))))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"class": "os.system"}, "known are .*ConstantStep"),
        (
            {"class": "TileConfig", "device": {"class": "ConstantStep", "dw_mn": 1}},
            "has no field 'dw_mn'; it has dw_min",
        ),
        ({"class": "TileConfig", "device": {"class": "ConstantStep", "dw_min": "1"}}, "needs a finite number"),
        ({"class": "TileConfig", "device": {"class": "ConstantStep", "dw_min": float("nan")}}, "needs a finite number"),
        ({"class": "TileConfig", "device": {"class": "ConstantStep", "perfect_bias": 1}}, "true or false"),
        ({"class": "TileConfig", "update": {"class": "Pulses", "desired_bl": 1.5}}, "whole number"),
        ({"class": "TileConfig", "update": {"class": "Pulses", "pulse_type": "??"}}, "choose one of"),
        ({"class": "TileConfig", "device": {"class": "Periphery"}}, "a Periphery does not fit there"),
        ({"class": "TileConfig", "device": [1]}, "a list does not fit"),
        (
            {"class": "TileConfig", "device": {"class": "Vector", "devices": [{"class": "Pulses"}]}},
            "does not fit there",
        ),
        ({"preset": "TikiTakaUnobtainiumPreset"}, "known are .*CapacitorPreset"),
        ({"class": "ConstantStep"}, "give a TileConfig"),
        ([], "give {"),
        ({"class": {}}, "give {"),
    ],
)
def test_configurations_that_are_refused(value, told):
    layer = {"type": "AnalogLinear", "out_features": 10, "config": value}
    with pytest.raises(DescriptionError, match=told):
        Description.from_json(described() | {"layers": [{"type": "Flatten"}, layer]})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": "other"}, 'needs "format"'),
        ({"dataset": "ImageNet"}, "known are .*FashionMNIST"),
        ({"dataset": ["x"]}, "unknown"),
        ({"loss_function": "MSELoss"}, "known are NLLLoss"),
        ({"layers": []}, "1 to 200"),
        ({"layers": [{"type": "Flatten"}] * 201}, "1 to 200"),
        ({"layers": [{"type": "Transformer"}]}, "known are AnalogConv1d, AnalogConv2d"),
        ({"layers": [{"type": "BatchNorm2d", "num_features": 3}]}, "part of the protocol but not simulated"),
        ({"layers": [{"type": "Flatten", "axis": 1}]}, "no argument 'axis'"),
        ({"layers": [{"type": "AnalogLinear", "out_features": 10}]}, "put Flatten before it"),
        ({"layers": [{"type": "Flatten"}, {"type": "AnalogLinear"}]}, "needs out_features"),
        ({"layers": [{"type": "Flatten"}, {"type": "Linear", "in_features": 7, "out_features": 10}]}, "in_features=7"),
        ({"layers": [{"type": "Flatten"}, {"type": "Linear", "out_features": 9}]}, "Digits needs 10 numbers"),
        ({"layers": [{"type": "Flatten"}, {"type": "Linear", "out_features": 10**9}]}, "whole number from 1 to"),
        ({"layers": [{"type": "Flatten"}, *[{"type": "Linear", "out_features": 2**20}] * 2]}, "larger than 50000000"),
        ({"layers": [{"type": "MaxPool2d", "kernel_size": 9}]}, "leaves nothing"),
        ({"layers": [{"type": "MaxPool2d", "kernel_size": 2, "dilation": 2}]}, "can't be trained"),
        ({"layers": [{"type": "Softmax"}]}, "flat items only"),
        ({"layers": "Flatten"}, "give a list"),
        ({"layers": [None]}, "is no layer"),
        ({"batch_size": 0}, "whole number from 1"),
        ({"batch_size": True}, "whole number from 1"),
        ({"epochs": -1}, "whole number from 0"),
        ({"epochs": 2.5}, "whole number from 0"),
        ({"learning_rate": float("inf")}, "finite number"),
        ({"seed": -1}, "whole number"),
        ({"channels_first": 1}, "true or false"),
        ({"kind": "magic"}, "known are training, inference"),
        ({"pickle": "gASV"}, "is no part of a description"),
    ],
)
def test_descriptions_that_are_refused(change, told):
    with pytest.raises(DescriptionError, match=told):
        Description.from_json(described() | change)


def test_what_is_code_does_not_travel():
    import optax

    with pytest.raises(DescriptionError, match="LocalRunner"):
        Description.of(training(optimizer=optax.adam(0.1)))
    with pytest.raises(DescriptionError, match="schedule"):
        Description.of(training(learning_rate=optax.constant_schedule(0.1)))
    with pytest.raises(DescriptionError, match="known are NLLLoss"):
        Description.of(training(loss_function=lambda outputs, labels: outputs[:, 0]))
    with pytest.raises(DescriptionError, match="layer 1 of the model, <lambda>"):
        Description.of(training(model=Sequential(nn.flatten, lambda x: x)))
    split = Split(jnp.zeros((4, 8, 8)), jnp.zeros(4, int))
    with pytest.raises(DescriptionError, match="custom data"):
        Description.of(training(dataset=Arrays(split, split)))


@pytest.mark.parametrize("given", [{"param_dtype": jnp.bfloat16}, {"dtype": jnp.float16}, {"name": "mine"}])
def test_a_layer_is_not_described_as_another_one(given):
    ((field, _),) = given.items()
    for layer in (AnalogLinear(10, **given), nn.AnalogConv1d(2, **given)):
        with pytest.raises(DescriptionError, match=rf"layer 1 of the model, {type(layer).__name__}\({field}="):
            Description.of(training(model=Sequential(nn.flatten, layer)))
    with pytest.raises(DescriptionError, match="layer 0 of the model, max_pool"):
        Description.of(training(model=Sequential(partial(nn.max_pool, (2, 2)), nn.flatten, AnalogLinear(10))))
