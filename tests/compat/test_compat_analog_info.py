"""Summaries of analog models; the expected shapes are those that aihwkit 1.2.0 gives for the same models."""

import pytest
import torch
from aihwkit.exceptions import ArgumentError
from aihwkit.nn import AnalogConv2dMapped, AnalogLinear, AnalogLinearMapped, AnalogSequential
from aihwkit.nn.conversion import convert_to_analog
from aihwkit.simulator.configs import FloatingPointRPUConfig
from aihwkit.utils.analog_info import analog_summary


@pytest.fixture(scope="module")
def model():
    config = FloatingPointRPUConfig()
    config.mapping.max_input_size, config.mapping.max_output_size = 60, 7
    return AnalogSequential(
        AnalogConv2dMapped(2, 9, 3, stride=2, rpu_config=config), torch.nn.BatchNorm2d(9), torch.nn.Flatten(),
        AnalogLinearMapped(81, 16, rpu_config=config), torch.nn.Tanh(), AnalogLinear(16, 4, rpu_config=config),
    )  # fmt: skip


def test_layers_in_the_order_of_their_calls_with_shapes_tiles_and_uses(model):
    info = analog_summary(model, (3, 2, 8, 8))
    rows = [(one.name, one.input_size, one.output_size, one.num_tiles, one.reuse_factor) for one in info.layer_summary]
    assert rows == [
        ("AnalogConv2dMapped", [3, 2, 8, 8], [3, 9, 3, 3], 2, 27),
        ("BatchNorm2d", [3, 9, 3, 3], [3, 9, 3, 3], 0, 0),
        ("Flatten", [3, 9, 3, 3], [3, 81], 0, 0),
        ("AnalogLinearMapped", [3, 81], [3, 16], 6, 3),
        ("Tanh", [3, 16], [3, 16], 0, 0),
        ("AnalogLinear", [3, 16], [3, 4], 1, 3),
    ]
    assert (info.total_tile_number, info.total_nb_analog) == (9, 3)
    assert [layer.module for layer in info.layer_summary] == list(model)


def test_each_chip_has_its_part_of_the_matrix_and_of_the_room(model):
    first, _, _, cut, _, plain = analog_summary(model, (1, 2, 8, 8)).layer_summary
    assert [(tile.log_out_size, tile.log_in_size) for tile in first.tiles_info] == [(5, 18), (4, 18)]
    assert [tile.utilization for tile in first.tiles_info] == pytest.approx([5 * 18 / 4.2, 4 * 18 / 4.2])
    assert [(tile.log_out_size, tile.log_in_size) for tile in cut.tiles_info] == [
        (6, 41), (5, 41), (5, 41), (6, 40), (5, 40), (5, 40),
    ]  # fmt: skip
    assert plain.tiles_info[0].tile_summary_dict() == {
        "log_shape": "(4, 16)", "phys_shape": "N/A", "utilization": 100,
    }  # fmt: skip
    assert first.layer_summary_dict()["kernel_size"] == "(3, 3)"


def test_a_summary_leaves_the_model_as_it_was(model):
    model.train()
    before = {name: value.clone() for name, value in model.named_buffers()}
    analog_summary(model, (3, 2, 8, 8))
    assert model.training and all(torch.equal(value, before[name]) for name, value in model.named_buffers())
    assert not any(layer._forward_hooks for layer in model)


def test_a_table_with_a_row_for_each_layer_and_tile():
    digital = torch.nn.Sequential(torch.nn.Linear(5, 3), torch.nn.ReLU())
    lines = str(analog_summary(convert_to_analog(digital, FloatingPointRPUConfig()), (2, 4, 5))).splitlines()
    assert lines[1] == "Model Name: AnalogSequential"
    layer, tile, relu = (lines[n].split("  ") for n in (8, 9, 10))
    assert [cell.strip() for cell in layer if cell.strip()][:5] == [
        "AnalogLinear", "analog", "[2, 4, 5]", "[2, 4, 3]", "-",
    ]  # fmt: skip
    assert [cell.strip() for cell in tile if cell.strip()] == ["(3, 5)", "N/A", "100.00"]
    assert relu[0] == "ReLU" and lines[-1] == "Total number of analog layers: 1"


def test_an_input_is_needed(model):
    with pytest.raises(ArgumentError, match=r"give the shape of an input"):
        analog_summary(model)
