"""Torch tiles of half precision: what is stored and handed on is rounded, and computed in float32."""

import pytest
import torch
from aihwkit.exceptions import ConfigError, InputTypeError
from aihwkit.nn import AnalogConv2d, AnalogLinear, AnalogSequential
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.optim import AnalogSGD
from aihwkit.simulator.configs import InferenceRPUConfig, SingleRPUConfig, TorchInferenceRPUConfig
from aihwkit.simulator.parameters import IOParameters
from aihwkit.simulator.parameters.enums import RPUDataType


def config(data_type=RPUDataType.HALF, perfect=True):
    made = TorchInferenceRPUConfig()
    made.runtime.data_type = data_type
    if perfect:
        made.forward = IOParameters(is_perfect=True)
    return made


def test_a_layer_is_of_half_precision_and_its_products_are_rounded_ones():
    layer = AnalogLinear(5, 3, rpu_config=config())
    assert {one.dtype for one in layer.parameters()} == {torch.float16}
    assert layer.analog_module.get_data_type() is RPUDataType.HALF
    weight, bias = layer.get_weights()
    assert weight.dtype == bias.dtype == torch.float16
    x = torch.randn(4, 5).half().requires_grad_()
    y = layer(x)
    assert torch.equal(y, (x.float() @ weight.float().T).half() + bias)
    y.float().sum().backward()
    assert x.grad.dtype == torch.float16
    torch.testing.assert_close(x.grad, weight.float().sum(0).half().expand(4, 5), rtol=2e-3, atol=2e-3)
    grad = layer.analog_module.shared_weights.grad
    torch.testing.assert_close(grad, x.detach().float().sum(0).half().expand(3, 5), rtol=2e-3, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_model_that_is_moved_to_it_learns(dtype):
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(8, 2))
    made = config(perfect=False)
    made.pre_post.input_range.enable = True
    made.pre_post.input_range.init_from_data = 2
    model = convert_to_analog(model, made).to(dtype=dtype)
    assert {one.dtype for one in model.parameters()} == {dtype}
    x, target = torch.randn(6, 1, 4, 4).to(dtype), torch.tensor([0, 1, 0, 1, 0, 1])
    optimizer, losses = AnalogSGD(model.parameters(), lr=0.2), []
    for _ in range(30):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x).float(), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    assert {one.dtype for one in model.parameters()} == {dtype}


def test_programmed_chips_answer_in_it_and_travel():
    model = AnalogSequential(AnalogLinear(4, 3, rpu_config=config(perfect=False))).eval()
    x = torch.randn(2, 4).half()
    model.program_analog_weights()
    model.drift_analog_weights(1e4)
    assert model(x).dtype == torch.float16
    other = AnalogSequential(AnalogLinear(4, 3, rpu_config=config(perfect=False))).eval()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), model(x))


def test_under_autocast_numbers_may_be_mixed():
    layer = AnalogConv2d(1, 2, 2, rpu_config=config(RPUDataType.FLOAT))
    x = torch.randn(1, 1, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.float32 and layer(x.bfloat16()).shape == (1, 2, 2, 2)
    with pytest.raises(InputTypeError, match=r"torch.bfloat16, and the weights of this tile are torch.float32"):
        layer(x.bfloat16())


def test_other_tiles_and_other_types_are_refused():
    for kind, data_type in (
        (SingleRPUConfig, RPUDataType.HALF),
        (InferenceRPUConfig, RPUDataType.HALF),
        (TorchInferenceRPUConfig, RPUDataType.DOUBLE),
    ):
        made = kind()
        made.runtime.data_type = data_type
        with pytest.raises(ConfigError, match=rf"data_type={data_type}\) is not supported.*these tiles know RPUData"):
            AnalogLinear(4, 3, rpu_config=made)
