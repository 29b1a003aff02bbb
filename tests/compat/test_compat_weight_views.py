"""What a context shows of the weights: views that are read, and placeholders."""

import copy
import pickle

import pytest
import torch
from aihwkit.exceptions import PlaceholderError
from aihwkit.nn import AnalogLinear
from aihwkit.optim.context import ReadOnlyWeightView
from aihwkit.optim.weight_view import (
    PlaceholderDataView,
    is_inplace_operation,
    raise_if_readonly_write_target,
    raise_readonly_error,
)
from aihwkit.simulator.configs import FloatingPointRPUConfig, InferenceRPUConfig, MappingParameter, SingleRPUConfig


@pytest.fixture
def layer():
    layer = AnalogLinear(3, 2, bias=False, rpu_config=FloatingPointRPUConfig())
    layer.set_weights(torch.arange(6.0).reshape(2, 3))
    return layer


def test_a_view_is_read_and_not_written():
    values = torch.arange(6.0).reshape(2, 3)
    view = ReadOnlyWeightView(values)
    assert ReadOnlyWeightView(view) is view and view.data_ptr() == values.data_ptr()
    total = view.sum() + (view * 2)[0, 1]
    assert type(total) is torch.Tensor and total == 17
    for write in (
        lambda: view.add_(1),
        lambda: view.__setitem__((0, 0), 9),
        lambda: torch.add(values, 1, out=view),
        lambda: torch.unbind_copy(torch.ones(1, 2, 3), out=[view]),
    ):
        with pytest.raises(RuntimeError, match="is not allowed on analog weights"):
            write()
    assert torch.equal(torch.empty(2, 3).copy_(view), values)


def test_a_placeholder_has_a_shape_alone():
    placeholder = PlaceholderDataView(torch.ones(2, 3))
    assert PlaceholderDataView(placeholder) is placeholder
    assert placeholder.shape == (2, 3) and placeholder.numel() == 6 and placeholder.is_floating_point()
    assert isinstance(placeholder.detach(), PlaceholderDataView)
    assert type(torch.zeros_like(placeholder)) is torch.Tensor
    assert repr(placeholder) == "PlaceholderDataView(shape=torch.Size([2, 3]), dtype=torch.float32, device=cpu)"
    for use in (
        lambda: placeholder.sum(),
        lambda: placeholder + 1,
        lambda: placeholder.mul_(2),
        lambda: placeholder.__setitem__(0, 1),
        lambda: torch.zeros_like(torch.ones(2, 3), out=placeholder),
    ):
        with pytest.raises((PlaceholderError, TypeError)):
            use()


def test_names_of_functions():
    assert is_inplace_operation("add_") and not is_inplace_operation("add") and not is_inplace_operation("__add__")
    with pytest.raises(RuntimeError, match="'mul_'"):
        raise_readonly_error("mul_")
    one, other = torch.ones(1), torch.zeros(1)
    raise_if_readonly_write_target("add_", (one, other), {}, lambda value: value is other)
    with pytest.raises(RuntimeError, match="'add_'"):
        raise_if_readonly_write_target("add_", (one, other), {}, lambda value: value is one)
    with pytest.raises(RuntimeError, match="'add'"):
        raise_if_readonly_write_target("add", (), {"out": (other, one)}, lambda value: value is one)


def test_the_data_of_a_context_follow_its_mode(layer):
    context = layer.analog_module.analog_ctx
    assert isinstance(context.data, PlaceholderDataView) and context.data.shape == (2, 3)
    context.enable_data_view()
    assert isinstance(context.data, ReadOnlyWeightView) and context.data.sum() == 15
    layer.set_weights(torch.ones(2, 3))
    assert context.data.sum() == 6
    with pytest.raises(RuntimeError, match="Direct replacement"):
        context.data = torch.zeros(2, 3)
    context.enable_buffer()
    assert type(context.data) is torch.Tensor and context.data.sum() == 0


def test_what_a_context_says_without_its_values(layer):
    context = layer.analog_module.analog_ctx
    assert context.is_contiguous() and context.stride() == (3, 1) and context.stride(1) == 1
    context.grad = torch.full((2, 3), 2.0)
    assert context.grad.sum() == 12
    context.enable_data_view()
    copied = torch.empty(2, 3).copy_(context)
    assert torch.equal(copied, layer.get_weights()[0])
    with pytest.raises(PlaceholderError):
        context.copy_(copied)
    with pytest.raises(PlaceholderError):
        torch.add(copied, 1, out=context)


def test_a_copy_is_used_as_the_first_one():
    for config, trained in ((InferenceRPUConfig(), True), (FloatingPointRPUConfig(), False)):
        tile = AnalogLinear(3, 2, rpu_config=config).analog_module
        tile.analog_ctx.set_indexed(not trained)
        for other in (copy.deepcopy(tile), pickle.loads(pickle.dumps(tile))):
            context = other.analog_ctx
            assert context is not tile.analog_ctx and context.use_torch_update is trained
            assert context.use_indexed is not trained and context.detach().use_torch_update is trained


def test_the_raw_weights_of_a_context_are_those_on_the_chip():
    """With the column of a bias, whatever functions of torch may see; they are a copy."""
    config = SingleRPUConfig(mapping=MappingParameter(digital_bias=False))
    layer = AnalogLinear(3, 2, rpu_config=config)
    context = layer.analog_module.analog_ctx
    weight, bias = layer.get_weights()
    raw = context._raw_data()
    assert torch.equal(raw, torch.cat([weight, bias[:, None]], 1))
    raw.zero_()
    assert torch.equal(layer.get_weights()[0], weight)
    context.set_indexed(True)
    assert context.use_indexed
