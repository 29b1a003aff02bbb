"""Methods of users' tiles are called, or refused by name; what aihwkit has and we have not is said by name."""

import copy
import pickle

import pytest
import torch
from aihwkit.exceptions import ConfigError, TileError, TorchTileConfigError
from aihwkit.inference import PCMLikeNoiseModel
from aihwkit.nn import AnalogLinear
from aihwkit.optim import AnalogContext, AnalogSGD
from aihwkit.optim.weight_view import PlaceholderDataView
from aihwkit.simulator.configs import (
    ConstantStepDevice,
    FloatingPointRPUConfig,
    InferenceRPUConfig,
    IOParameters,
    SingleRPUConfig,
    TorchInferenceRPUConfig,
    TransferCompound,
)
from aihwkit.simulator.parameters.enums import AnalogContextDataViewMode, WeightClipType, WeightRemapType
from aihwkit.simulator.tiles import AnalogTile, FloatingPointTile, InferenceTile, TorchInferenceTile
from aihwkit.simulator.tiles.torch_tile import TorchSimulatorTile

# Tiles of users


def layer_with(tile_class, kind=FloatingPointRPUConfig):
    return AnalogLinear(3, 2, bias=False, rpu_config=kind(tile_class=tile_class))


def stepped(layer):
    optimizer = AnalogSGD(layer.parameters(), lr=0.5)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return layer.get_weights()[0]


class TwiceUpdated(FloatingPointTile):
    def update(self, x_input, d_input):
        super().update(2 * x_input, d_input)


class Resting(FloatingPointTile):
    rests = 0

    def post_update_step(self):
        self.rests += 1
        super().post_update_step()


def test_updates_and_rests_of_users_are_called():
    layer = layer_with(TwiceUpdated)
    before = layer.get_weights()[0]
    assert torch.allclose(stepped(layer), before - 1.0)
    layer = layer_with(Resting)
    before = layer.get_weights()[0]
    assert torch.allclose(stepped(layer), before - 0.5) and layer.analog_module.rests == 1
    layer.analog_module.update = lambda x, d: None
    assert torch.allclose(stepped(layer), before - 0.5) and layer.analog_module.rests == 2


class Loud(InferenceTile):
    def forward(self, x_input, tensor_view=None):
        return 3 * super().forward(x_input, tensor_view)


def test_a_forward_pass_of_users_is_called():
    layer = layer_with(Loud, InferenceRPUConfig)
    layer(torch.ones(1, 3)).sum().backward()
    assert torch.allclose(layer.analog_module.shared_weights.grad, torch.full((2, 3), 3.0))


@pytest.mark.parametrize("name", ["pre_forward", "post_forward", "joint_forward", "backward", "_create_simulator_tile",
                                  "get_forward_out_bound", "set_scales"])  # fmt: skip
@pytest.mark.parametrize("base", [AnalogTile, FloatingPointTile, InferenceTile, TorchInferenceTile])
def test_methods_that_would_never_be_called_are_refused(base, name):
    own = type("Own", (type("Between", (base,), {name: lambda self, *_: None}),), {})
    with pytest.raises(TileError, match=rf"Own has its own {name}\(\), which is never called here"):
        own(2, 3, InferenceRPUConfig() if base is InferenceTile else TorchInferenceRPUConfig())


def test_methods_set_on_a_tile_are_refused_when_it_is_used(monkeypatch):
    layer = AnalogLinear(3, 2)
    layer.analog_module.post_forward = lambda x: x
    with pytest.raises(TileError, match=r"AnalogTile has its own post_forward\(\)"):
        layer(torch.ones(1, 3))
    monkeypatch.setattr(InferenceTile, "pre_forward", lambda self, x: x, raising=False)
    with pytest.raises(TileError, match=r"InferenceTile has its own pre_forward\(\)"):
        AnalogLinear(3, 2, rpu_config=InferenceRPUConfig())


def test_an_update_of_an_inference_tile_makes_no_gradient():
    own = type("Own", (InferenceTile,), {"update": lambda self, x, d: None})
    with pytest.raises(TileError, match=r"Own has its own update\(\)"):
        layer_with(own, InferenceRPUConfig)
    by_hand = type("ByHand", (TorchInferenceTile,), {"update": lambda self, x, d: 7})
    assert layer_with(by_hand, TorchInferenceRPUConfig).analog_module.update(1, 2) == 7


@pytest.mark.parametrize("name", ["set_weights", "get_weights", "get_x_size"])
def test_simulator_tiles_of_users_are_refused_or_asked(name):
    own = type("Own", (TorchSimulatorTile,), {name: lambda self, *_, **__: None})
    with pytest.raises(TorchTileConfigError, match=rf"simulator_tile_class=Own has its own {name}\(\)"):
        AnalogLinear(3, 2, rpu_config=TorchInferenceRPUConfig(simulator_tile_class=own))

    class Strict(TorchSimulatorTile):
        @classmethod
        def check_rpu_config_support(cls, rpu_config):
            raise TorchTileConfigError("too strict")

    with pytest.raises(TorchTileConfigError, match="too strict"):
        AnalogLinear(3, 2, rpu_config=TorchInferenceRPUConfig(simulator_tile_class=Strict))


def test_steps_of_a_simulator_tile_of_users_are_called():
    class Own(TorchSimulatorTile):
        @staticmethod
        def modify_weight(inp_weight, modifier, batch_size):
            return batch_size * inp_weight

        def clip_weights(self, clip):
            super().clip_weights(clip)
            self.weight.data *= 2

        def remap_weights(self, remap, scales):
            return super().remap_weights(remap, scales) * torch.tensor([1.0, 3.0])

    config = TorchInferenceRPUConfig(simulator_tile_class=Own)
    config.forward.is_perfect = True
    config.clip.type, config.clip.fixed_value = WeightClipType.FIXED_VALUE, 0.25
    config.remap.type = WeightRemapType.CHANNELWISE_SYMMETRIC
    layer = AnalogLinear(2, 2, bias=False, rpu_config=config)
    layer.set_weights(torch.tensor([[1.0, -0.125], [0.25, 0.0]]))
    assert isinstance(layer.analog_module.tile, Own) and layer.analog_module.tile.get_x_size() == 2
    layer(torch.ones(4, 2)).sum().backward()
    assert torch.equal(layer.analog_module.tile.weight.grad, torch.full((2, 2), 16.0))
    layer.analog_module.post_update_step()
    assert torch.allclose(layer.get_weights()[0], torch.tensor([[0.5, -0.25], [1.5, 0.0]]))
    assert torch.allclose(layer.analog_module.tile.get_weights(), torch.tensor([[1.0, -0.5], [1.0, 0.0]]))


def test_bindings_of_users_are_refused():
    class Bound(ConstantStepDevice):
        def as_bindings(self, data_type):
            return None

    with pytest.raises(ConfigError, match="Bound has its own as_bindings, which is never asked for"):
        AnalogLinear(3, 2, rpu_config=SingleRPUConfig(device=Bound()))
    io = IOParameters()
    io.as_bindings = lambda data_type: None
    with pytest.raises(ConfigError, match="IOParameters has its own as_bindings"):
        AnalogLinear(3, 2, rpu_config=SingleRPUConfig(forward=io))


@pytest.mark.parametrize("base", [ConstantStepDevice, TransferCompound])
def test_what_devices_of_users_say_of_themselves_is_refused(base):
    own = type("Own", (base,), {"requires_decay": lambda self: True})
    with pytest.raises(ConfigError, match=r"Own has its own requires_decay\(\), which is never called"):
        own().to_native()


# What is not there


def test_what_is_to_come_is_said_by_name():
    training = AnalogLinear(3, 2)
    for thing, name in ((training.analog_module, "drift_baseline"), (training.analog_module, "set_delta_weights")):
        assert not hasattr(thing, name)
        with pytest.raises(
            AttributeError, match=rf"{type(thing).__name__}\.{name}.* is not part of analogjax's compat"
        ):
            getattr(thing, name)
    for thing in (training, training.analog_module, SingleRPUConfig(), PCMLikeNoiseModel()):
        with pytest.raises(AttributeError, match=rf"'{type(thing).__name__}' object has no attribute 'qwertz'"):
            _ = thing.qwertz
    assert copy.deepcopy(SingleRPUConfig()) == pickle.loads(pickle.dumps(SingleRPUConfig()))


# Analog contexts


def context_of(**given):
    layer = AnalogLinear(3, 2, rpu_config=SingleRPUConfig(), **given)
    return layer, layer.analog_module.analog_ctx


def test_a_context_has_a_size_and_no_values():
    layer, context = context_of()
    assert (context.numel(), context.nelement(), len(context), context.dim()) == (6, 6, 2, 2)
    assert context.size() == context.shape == (2, 3) and context.dtype is torch.float32 and context.is_leaf
    assert sum(p.numel() for p in layer.parameters()) == 8
    assert isinstance(context.data, PlaceholderDataView) and isinstance(context.detach(), AnalogContext)
    for read in (
        torch.norm, torch.sum, torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.item, torch.clone, lambda c: c + 1,
        lambda c: c[0], lambda c: c.T, lambda c: c.data.pow(2), lambda c: c.detach().mean(), lambda c: c == c,
        lambda c: torch.stack([c, c]), lambda c: c.double().abs(), lambda c: c.get_data(),
        lambda c: torch.nn.utils.parameters_to_vector([c]),
    ):  # fmt: skip
        with pytest.raises(
            RuntimeError, match=r"(placeholder mode|only stands for the weights).*tile\.get_weights\(\)"
        ):
            read(context)


def test_nobody_writes_to_a_context():
    _, context = context_of()

    def replace(c):
        c.data = torch.ones(2, 3)

    for write in (torch.nn.init.zeros_, lambda c: c.data.fill_(1.0), lambda c: c.add_(1), replace,
                  lambda c: torch.nn.utils.vector_to_parameters(torch.zeros(6), [c]),
                  lambda c: c.__setitem__(0, 1.0)):  # fmt: skip
        for seen in (context.enable_placeholder(), context.enable_data_view()):
            with torch.no_grad(), pytest.raises((TileError, RuntimeError), match=r"tile\.set_weights\("):
                write(seen)


def test_a_context_shows_the_weights_on_request():
    layer, context = context_of(bias=False)
    context.enable_data_view()
    weight = layer.get_weights()[0]
    assert torch.equal(context.norm(), weight.norm()) and torch.equal(context.T, weight.T)
    assert torch.equal(context.data.sum(), weight.sum()) and torch.equal(context.get_data(), weight)
    assert torch.equal(torch.stack([context, context])[1], weight)
    with torch.no_grad(), pytest.raises(TileError, match="add"):
        torch.add(weight, 1.0, out=context)
    layer.set_weights(torch.zeros(2, 3))
    assert not context.norm()
    context.data_view_mode = "placeholder"
    assert context.data_view_mode is AnalogContextDataViewMode.PLACEHOLDER
    with pytest.raises(ValueError, match="window"):
        context.data_view_mode = "window"


def test_a_buffer_of_a_context_is_no_weight():
    layer, context = context_of(bias=False)
    before = layer.get_weights()[0]
    with torch.no_grad():
        context.enable_buffer().add_(2.0)
    for twin in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert float(twin.analog_module.analog_ctx.sum()) == 12.0
    assert torch.equal(layer.get_weights()[0], before)
    context.enable_buffer()
    assert not context.sum()


def test_what_torch_does_to_parameters_it_still_does():
    layer, context = context_of()
    layer.double().float().to("cpu").requires_grad_(False).requires_grad_(True)
    context.register_hook(lambda g: g)
    assert dict(layer.named_parameters())["analog_module.analog_ctx"] is context and "numel" in dir(context)
    optimizer = AnalogSGD(layer.parameters(), lr=0.1, momentum=0.9)
    optimizer.load_state_dict(optimizer.state_dict())
    layer(torch.ones(1, 3)).sum().backward()
    assert torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0) > 0
    optimizer.step()
    assert list(layer.state_dict()) == ["analog_module.bias", "analog_module.analog_tile_state"]
