"""Checkpoints that the real aihwkit 1.2.0 wrote, with the answers of its models, both in aihwkit_checkpoints.json."""

import json
from pathlib import Path

import pytest
import torch

from compat.aihwkit.nn import AnalogLinear, AnalogSequential
from compat.aihwkit.simulator.configs import (
    InferenceRPUConfig,
    IOParameters,
    MappingParameter,
    SingleRPUConfig,
    SoftBoundsDevice,
    TorchInferenceRPUConfig,
    TransferCompound,
    UnitCellRPUConfig,
)

FOUND = json.loads((Path(__file__).parent / "aihwkit_checkpoints.json").read_text())


def tensors(value):
    if isinstance(value, dict) and set(value) == {"shape", "values"}:
        return torch.tensor(value["values"]).reshape(value["shape"])
    return {name: tensors(one) for name, one in value.items()} if isinstance(value, dict) else value


def config(kind):
    scaled = {"weight_scaling_omega": 0.7}
    made = {
        "single": lambda: SingleRPUConfig(device=SoftBoundsDevice()),
        "inf": lambda: InferenceRPUConfig(mapping=MappingParameter(weight_scaling_columnwise=True, **scaled)),
        "torch": lambda: TorchInferenceRPUConfig(mapping=MappingParameter(learn_out_scaling=True, **scaled)),
        "array": lambda: InferenceRPUConfig(
            mapping=MappingParameter(max_input_size=5, max_output_size=2, weight_scaling_omega=0.6)
        ),
        "tiki": lambda: UnitCellRPUConfig(
            device=TransferCompound(unit_cell_devices=[SoftBoundsDevice(), SoftBoundsDevice()], gamma=0.1)
        ),
    }[kind]()
    made.forward = IOParameters(is_perfect=True)
    return made


def model(kind):
    return AnalogSequential(AnalogLinear(8, 3, rpu_config=config(kind))).eval()


@pytest.mark.parametrize("kind", list(FOUND["kinds"]))
def test_a_model_answers_as_the_one_that_was_saved(kind):
    ours, saved = model(kind), tensors(FOUND["kinds"][kind])
    ours.load_state_dict(saved["state"])
    torch.testing.assert_close(ours(tensors(FOUND["x"])), saved["y"], rtol=1e-5, atol=1e-6)
    again = model(kind)  # and from then on it is a model of ours
    again.load_state_dict(ours.state_dict())
    torch.testing.assert_close(again(tensors(FOUND["x"])), saved["y"], rtol=1e-5, atol=1e-6)


def test_constants_of_devices_are_taken():
    ours, state = model("single"), tensors(FOUND["kinds"]["single"]["state"])
    ours.load_state_dict(state)
    theirs = state["0.analog_module.analog_tile_state"]
    found = next(ours.analog_tiles()).get_hidden_parameters()
    assert list(found) == theirs["analog_tile_hidden_parameter_names"]
    torch.testing.assert_close(torch.stack(list(found.values())), theirs["analog_tile_hidden_parameters"])


def test_what_does_not_fit_is_told_and_drifted_weights_too():
    state = tensors(FOUND["kinds"]["array"]["state"])
    with pytest.raises(RuntimeError, match="4 chips, and the model 1"):
        model("inf").load_state_dict(state)
    with pytest.raises(RuntimeError, match="its devices have"):
        model("single").load_state_dict(tensors(FOUND["kinds"]["inf"]["state"]))
    state = tensors(FOUND["kinds"]["inf"]["state"])
    state["0.analog_module.alpha"] = torch.tensor([1.5])
    with pytest.raises(RuntimeError, match="had drifted"):
        model("inf").load_state_dict(state)


def test_what_each_chip_has_for_itself_there_is_told():
    state = tensors(FOUND["kinds"]["array"]["state"])
    for place in ("0.0", "0.1", "1.0", "1.1"):
        state[f"0.analog_module.array.{place}.input_range"] = torch.ones(1)
    with pytest.raises(RuntimeError, match="its own input_range"):
        model("array").load_state_dict(state)


def test_a_checkpoint_of_neither_kind_is_told():
    state = model("inf").state_dict()
    state["0.analog_module.analog_tile_state"] = {"some": "thing"}
    with pytest.raises(RuntimeError, match="no tile state"):
        model("inf").load_state_dict(state)
