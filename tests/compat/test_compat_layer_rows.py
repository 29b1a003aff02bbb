"""The rows of the native table of layers, in torch: the class of that name computes the same and travels as it says."""

import inspect
import pickle

import jax
import numpy as np
import pytest
import torch
from aihwkit.cloud.converter.v1 import i_mappings
from aihwkit.cloud.converter.v1.mappings import Mappings
from aihwkit.exceptions import ConfigError
from aihwkit.experiments import BasicTraining
from aihwkit.experiments.runners import LocalRunner
from aihwkit.nn import AnalogConv1d, AnalogConv3d, AnalogLinear, AnalogSequential
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.optim import AnalogSGD
from aihwkit.simulator import configs as c
from aihwkit.simulator.presets import IdealizedPreset

from analogjax import nn
from analogjax.cloud import layers as described
from analogjax.cloud.wire import schema
from analogjax.cloud.wire.training import layer_of
from analogjax.nn.table import LAYERS, Message
from compat.aihwkit.experiments import convert
from compat.aihwkit.nn.table import CLASSES
from tests.compat.test_compat_experiments import Digits, OwnLoop
from tests.contracts.test_layer_rows import ANALOG as NATIVE_ANALOG
from tests.contracts.test_layer_rows import BATCH, CASES, complete
from tests.contracts.test_layer_rows import ROWS as NATIVE_ROWS

# aihwkit has no transposed convolutions
ROWS = {name: row for name, row in NATIVE_ROWS.items() if not name.startswith("AnalogConvTranspose")}
ANALOG = [name for name in NATIVE_ANALOG if name in ROWS]
CONVOLUTIONS = ("Conv1d", "Conv2d", "Conv3d")
# arguments of torch's convolutions, with the shape of a batch that they take
WIDE = {
    "Conv1d": ({"kernel_size": 4, "stride": 3, "padding": 2, "dilation": 2}, (4, 2, 15)),
    "Conv2d": (
        {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0), "dilation": (1, 3), "bias": False},
        (4, 2, 7, 8),
    ),
    "Conv3d": (
        {"kernel_size": (2, 3, 1), "stride": (1, 2, 2), "padding": (1, 1, 0), "dilation": (2, 1, 1)},
        (4, 2, 4, 5, 3),
    ),
}


def torch_words(name):
    given = {key: tuple(v) if isinstance(v, list) else v for key, v in CASES[name][0].items()}
    if name == "GELU":
        given["approximate"] = {False: "none", True: "tanh"}[given["approximate"]]
    return given | ({"dim": 1} if name == "Unflatten" else {})


def module(name, config=None):
    """torch's or aihwkit's module of a case."""
    given = {} if config is None else {"rpu_config": config}
    return CLASSES[name](**torch_words(name), **given)


@pytest.mark.parametrize("name", ROWS)
def test_a_module_and_its_native_form_compute_the_same(name):
    there = module(name, c.FloatingPointRPUConfig() if name in ANALOG else None)
    layers = list(convert.layers_of(torch.nn.Sequential(there)))
    x = torch.randn(BATCH, *complete(name)[1])
    model = nn.Sequential(*(layer.call for layer in layers))
    y = jax.jit(lambda x: nn.apply(model, convert.taken(layers), x, key=jax.random.key(0)))(x.numpy())
    np.testing.assert_allclose(y, there(x).detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [row.name for row in LAYERS if row.simulated and row.message is not None])
def test_a_module_travels_as_its_row_says(name):
    """What the client writes is what the service reads."""
    m, row = schema.training(), ROWS[name]
    table = Mappings.layers if row.message is Message.LAYER else Mappings.activation_functions
    there = module(name, IdealizedPreset() if row.analog else None)
    item = m.LayerOrActivationFunction()
    made = getattr(item, row.message.value)
    made.CopyFrom(table[type(there)].to_proto(there, type(made)))

    def config(preset, omega, where):
        return {"preset": preset}

    read = described.check_layer(layer_of(item, "here", config), "here")
    expected = complete(name)[0] | ({"config": {"preset": "IdealizedPreset"}} if row.analog else {})
    assert read == (name, expected)
    again = table[type(there)].from_proto(made, type(there))
    assert type(again) is type(there) and table[type(there)].to_proto(again, type(made)) == made


@pytest.mark.parametrize("name", ANALOG)
def test_mapped_twins_are_known_wherever_their_layer_is(name):
    twin = CLASSES[f"{name}Mapped"]
    layer = twin(**torch_words(name), rpu_config=c.FloatingPointRPUConfig())
    assert isinstance(layer, CLASSES[name]) and i_mappings.Mappings.layers[twin].id_ == f"{name}Mapped"
    assert type(next(convert.layers_of(torch.nn.Sequential(layer))).call) is ROWS[name].module
    assert next(layer.analog_tiles()).analog_bias is False and twin.__doc__.startswith(f"`{name}`")
    assert pickle.loads(pickle.dumps(twin)) is twin
    assert list(inspect.signature(twin).parameters) == list(inspect.signature(CLASSES[name]).parameters)


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_an_exact_convolution_is_torchs(kind):
    given, shape = WIDE[kind]
    plain = getattr(torch.nn, kind)(2, 3, **given)
    digital = torch.nn.Sequential(plain, torch.nn.Tanh())
    analog = convert_to_analog(digital, c.FloatingPointRPUConfig())
    layer = analog[0]
    assert type(layer) is CLASSES[f"Analog{kind}"]
    assert isinstance(layer, torch.nn.modules.conv._ConvNd) and not isinstance(layer, type(plain))  # as in aihwkit
    by_gradient, pulsed = torch.optim.SGD(digital.parameters(), 0.1), AnalogSGD(analog.parameters(), 0.1)
    pulsed.regroup_param_groups(analog)
    x, outputs, slopes = torch.randn(*shape), [], []
    for model, optimizer in ((digital, by_gradient), (analog, pulsed)):
        own = x.clone().requires_grad_()
        for _ in range(2):
            optimizer.zero_grad()
            outputs.append(model(own))
            outputs[-1].square().sum().backward()
            optimizer.step()
        slopes.append(own.grad)
    assert torch.allclose(outputs[1], outputs[3], atol=1e-4) and torch.allclose(*slopes, atol=1e-4)
    weight, bias = layer.get_weights()
    assert torch.allclose(weight, plain.weight.reshape(3, -1), atol=1e-4)
    assert bias is None if plain.bias is None else torch.allclose(bias, plain.bias, atol=1e-4)
    back = type(layer).to_digital(layer)
    assert type(back) is type(plain) and torch.allclose(back(x), layer(x), atol=1e-5)
    assert torch.equal(layer(x)[2], layer(x[2]))  # one item without a batch


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_it_starts_as_torchs_layer_does_and_is_saved_and_loaded(kind, tmp_path):
    given = {key: value for key, value in WIDE[kind][0].items() if key != "bias"}
    torch.manual_seed(3)
    digital = getattr(torch.nn, kind)(2, 3, **given)
    torch.manual_seed(3)
    layer = CLASSES[f"Analog{kind}"](2, 3, rpu_config=c.FloatingPointRPUConfig(), **given)
    assert torch.equal(layer.get_weights()[0], digital.weight.reshape(3, -1))
    assert torch.equal(layer.get_weights()[1], digital.bias)
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    other = CLASSES[f"Analog{kind}"](2, 3, rpu_config=c.FloatingPointRPUConfig(), **given)
    other.load_state_dict(torch.load(tmp_path / "layer.pt"))
    assert torch.equal(other.get_weights()[0], layer.get_weights()[0])
    assert f"{digital.kernel_size}" in repr(layer) and "FloatingPointRPUConfig" in repr(layer)


@pytest.mark.parametrize("kind", [AnalogConv1d, AnalogConv3d])
@pytest.mark.parametrize("given", [{"groups": 2}, {"padding_mode": "circular"}, {"padding": "same"}, {"rpu_config": 1}])
def test_what_it_can_not_do_is_refused(kind, given):
    with pytest.raises(ConfigError, match=kind.__name__):
        kind(2, 2, 3, **given)


def sequences(config=c.FloatingPointRPUConfig):
    return AnalogSequential(
        torch.nn.Flatten(), torch.nn.Unflatten(1, (1, 64)), AnalogConv1d(1, 3, 5, stride=3, rpu_config=config()),
        torch.nn.GELU(), torch.nn.Flatten(),
        AnalogLinear(60, 10, rpu_config=config()), torch.nn.LogSoftmax(dim=1),
    )  # fmt: skip


def test_a_model_over_sequences_is_compiled_and_does_what_torch_does():
    losses, weights = [], []
    for kind in (BasicTraining, OwnLoop):
        torch.manual_seed(1)
        model = sequences()
        results = LocalRunner().run(kind(Digits, model, batch_size=2000, epochs=2, learning_rate=0.1))
        losses.append([entry["train_loss"] for entry in results])
        weights.append([layer.get_weights()[0].numpy() for layer in model.analog_layers()])
    assert np.allclose(*losses, atol=1e-4)
    for one, other in zip(*weights, strict=True):
        assert np.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (lambda: torch.nn.Flatten(2), r"Flatten\(start_dim=2\) has no native form"),
        (lambda: torch.nn.Unflatten(-1, (2, 2)), r"Unflatten\.dim: '-1' is not 1"),
        (lambda: torch.nn.Softmax(), r"Softmax\.dim: 'None' is not the number of an axis"),
        (lambda: torch.nn.Dropout(0.5), "Dropout has no native form"),
        (lambda: torch.nn.Conv1d(1, 1, 2), "Conv1d has no native form"),
    ],
)
def test_modules_without_a_native_form_run_in_torch(kind, told):
    with pytest.raises(convert.Obstacle, match=told):
        list(convert.layers_of(torch.nn.Sequential(kind())))
