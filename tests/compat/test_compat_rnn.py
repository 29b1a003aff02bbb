"""Recurrent layers in torch: torch's own mathematics on chips, and checkpoints that the real aihwkit 1.2.0 wrote."""

import copy
import json
from pathlib import Path

import pytest
import torch
from aihwkit import nn
from aihwkit.nn.modules.rnn.cells import LSTMState
from aihwkit.nn.modules.rnn.layers import AnalogReverseRNNLayer
from aihwkit.nn.modules.rnn.rnn import ModularRNN
from aihwkit.optim import AnalogContext, AnalogSGD
from aihwkit.simulator import configs as c

FOUND = json.loads((Path(__file__).parent / "aihwkit_recurrent_checkpoints.json").read_text())
KINDS = {
    "vanilla": (nn.AnalogVanillaRNNCell, torch.nn.RNN),
    "LSTM": (nn.AnalogLSTMCell, torch.nn.LSTM),
    "GRU": (nn.AnalogGRUCell, torch.nn.GRU),
}
STEPS, ITEMS, INPUTS, UNITS = 4, 2, 3, 2


def exact():
    perfect = c.IOParameters(is_perfect=True)
    return c.FloatingPointRPUConfig(), c.SingleRPUConfig(
        device=c.IdealDevice(), forward=perfect, backward=copy.deepcopy(perfect)
    )


def sequences():
    return torch.randn(STEPS, ITEMS, INPUTS, generator=torch.Generator().manual_seed(1))


def pair(kind, **more):
    """An analog network, and torch's own with the same weights."""
    cell, digital = KINDS[kind]
    ours = nn.AnalogRNN(cell, INPUTS, UNITS, True, exact()[0], **more)
    theirs = digital(INPUTS, UNITS, more.get("num_layers", 1), bidirectional=more.get("bidir", False))
    for name, (weight, bias) in ours.get_weights().items():
        for what, value in (("weight", weight), ("bias", bias)):
            getattr(theirs, torch_name(name, what)).data = value.clone()
    return ours, theirs


def torch_name(name, what):
    parts = name.split(".")  # rnn.layers.<k>.[directions.<d>.]cell.weight_<which>.analog_module
    back = "_reverse" if parts[3:5] == ["directions", "1"] else ""
    return f"{what}_{parts[-2].removeprefix('weight_')}_l{parts[2]}{back}"


def stepped(model, x, rate=0.3):
    optimizer = AnalogSGD(model.parameters(), lr=rate) if hasattr(model, "analog_tiles") else None
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=rate)
    x = x.clone().requires_grad_()
    y, state = model(x)
    (y.sin().sum()).backward()
    optimizer.step()
    return y.detach(), state, x.grad


@pytest.mark.parametrize("more", [{}, {"num_layers": 2}, {"num_layers": 2, "bidir": True}], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_gradients_and_a_step_are_those_of_torch(kind, more):
    torch.manual_seed(2)
    ours, theirs = pair(kind, **more)
    y, states, slope = stepped(ours, sequences())
    expected, last, expected_slope = stepped(theirs, sequences())
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(slope, expected_slope)
    h = last[0] if kind == "LSTM" else last
    flat = [state for layer in states for state in (layer if more.get("bidir") else [layer])]
    torch.testing.assert_close(torch.stack([s[0] if kind == "LSTM" else s for s in flat]), h)
    for name, (weight, bias) in ours.get_weights().items():
        torch.testing.assert_close(weight, getattr(theirs, torch_name(name, "weight")).data)
        torch.testing.assert_close(bias, getattr(theirs, torch_name(name, "bias")).data)


def test_the_combined_matrix_is_that_of_inputs_and_state():
    one = nn.AnalogLSTMCellCombinedWeight(INPUTS, UNITS, True, exact()[1])
    two = nn.AnalogLSTMCell(INPUTS, UNITS, True, exact()[1])
    weight, bias = one.weight.get_weights()
    two.weight_ih.set_weights(weight[:, :INPUTS], bias)
    two.weight_hh.set_weights(weight[:, INPUTS:], torch.zeros_like(bias))
    state = LSTMState(torch.randn(ITEMS, UNITS), torch.randn(ITEMS, UNITS))
    for ours, theirs in zip(one(sequences()[0], state)[1], two(sequences()[0], state)[1], strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("cell", ["AnalogLSTMCell", "AnalogLSTMCellCombinedWeight", "AnalogVanillaRNNCell"])
def test_without_a_configuration_the_matrices_are_torchs(cell):
    model = nn.AnalogRNN(getattr(nn, cell), INPUTS, UNITS)
    assert model.analog_tile_count() == 0 and model(sequences())[0].shape == (STEPS, ITEMS, UNITS)


def test_without_a_configuration_a_gru_has_chips_for_inference():
    cell = nn.AnalogGRUCell(INPUTS, UNITS, False)
    assert isinstance(cell.weight_hh.analog_module.rpu_config, c.InferenceRPUConfig)


def test_names_of_parameters_and_states_are_aihwkits():
    model = nn.AnalogRNN(nn.AnalogLSTMCell, INPUTS, UNITS, True, exact()[1], bidir=True)
    cells = [f"rnn.layers.0.directions.{d}.cell.weight_{which}.analog_module" for d in (0, 1) for which in ("ih", "hh")]
    named = dict(model.named_parameters())
    assert list(named) == [f"{cell}.{name}" for cell in cells for name in ("analog_ctx", "bias")]
    assert isinstance(named[f"{cells[0]}.analog_ctx"], AnalogContext)
    assert {f"{cell}.analog_tile_state" for cell in cells} < set(model.state_dict())
    assert [name for name, _ in model.named_analog_tiles()] == cells
    other = nn.AnalogRNN(nn.AnalogLSTMCell, INPUTS, UNITS, True, exact()[1], bidir=True)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other(sequences())[0], model(sequences())[0])


def test_weights_start_as_a_digital_network_with_the_same_seed():
    torch.manual_seed(5)
    model = nn.AnalogRNN(nn.AnalogLSTMCell, INPUTS, 64, True, exact()[0])
    torch.manual_seed(5)
    digital = nn.AnalogRNN(nn.AnalogLSTMCell, INPUTS, 64)
    for ours, theirs in zip(model.get_weights().values(), digital.rnn.layers[0].cell.children(), strict=True):
        assert torch.equal(ours[0], theirs.weight) and torch.equal(ours[1], theirs.bias)
        assert ours[0].abs().max() <= 1 / 8 and ours[0].abs().max() > 0.12


def test_xavier_weights_have_biases_of_zero():
    model = nn.AnalogRNN(nn.AnalogVanillaRNNCell, INPUTS, 20, True, exact()[0], xavier=True)
    weight, bias = model.rnn.layers[0].cell.weight_ih.get_weights()
    bound = (6 / (INPUTS + 20)) ** 0.5
    assert 0.9 * bound < weight.abs().max() <= bound and not bias.any()


def test_states_are_given_and_returned():
    model = nn.AnalogRNN(nn.AnalogLSTMCell, INPUTS, UNITS, True, exact()[0], num_layers=2)
    zero = model.get_zero_state(ITEMS)
    assert len(zero) == 2 and isinstance(zero[0], LSTMState) and zero[1].cx.shape == (ITEMS, UNITS)
    x = sequences()
    whole, last = model(x)
    first, between = model(x[:3])
    second, after = model(x[3:], between)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(after[1][1], last[1][1])


def test_the_reverse_layer_begins_at_the_end():
    torch.manual_seed(1)
    layer = AnalogReverseRNNLayer(nn.AnalogGRUCell, INPUTS, UNITS, True, exact()[0])
    x, h = sequences(), layer.get_zero_state(ITEMS)
    y, last = layer(x, h)
    for t in reversed(range(STEPS)):
        _, h = layer.cell(x[t], h)
        torch.testing.assert_close(y[t], h)
    torch.testing.assert_close(last, h)
    assert layer.reverse([1, 2, 3]) == [3, 2, 1]


def test_dropout_is_between_layers_and_in_training_only():
    model = nn.AnalogRNN(nn.AnalogVanillaRNNCell, INPUTS, 8, True, exact()[0], num_layers=2, dropout=0.5)
    x = sequences()
    assert not torch.equal(model(x)[0], model(x)[0])
    model.eval()
    assert torch.equal(model(x)[0], model(x)[0])
    with pytest.warns(UserWarning, match="there is only one"):
        ModularRNN(1, torch.nn.Identity, 0.5, [], [])


class Leaky(torch.nn.Module):
    """A cell of a program's own."""

    def __init__(self, input_size, hidden_size, bias, rpu_config=None, tile_module_class=None):
        super().__init__()
        self.both = nn.AnalogLinear(input_size + hidden_size, hidden_size, bias, rpu_config, tile_module_class)
        self.hidden_size = hidden_size

    def get_zero_state(self, batch_size):
        return torch.zeros(batch_size, self.hidden_size)

    def forward(self, x, h):
        h = 0.5 * h + 0.5 * torch.relu(self.both(torch.cat([x, h], 1)))
        return h, h


def test_a_cell_of_a_program_itself():
    model = nn.AnalogRNN(Leaky, INPUTS, 8, True, exact()[1], num_layers=2)
    y, states = model(sequences())
    assert y.shape == (STEPS, ITEMS, 8) and torch.equal(y[-1], states[-1])
    before = model.get_weights()
    stepped(model, sequences())
    assert all(not torch.equal(before[name][0], now[0]) for name, now in model.get_weights().items())


def test_pulses_come_as_the_errors_do_the_last_time_step_first():
    cell = nn.AnalogRNN(nn.AnalogVanillaRNNCell, INPUTS, UNITS, True, exact()[1]).rnn.layers[0]
    x = sequences()
    y, _ = cell(x, cell.get_zero_state(ITEMS))
    y.sum().backward()
    seen = torch.cat(cell.cell.weight_ih.analog_module.analog_ctx.analog_input)
    assert torch.equal(seen, x.flip(0).reshape(-1, INPUTS))


def test_programmed_networks_drift():
    model = nn.AnalogRNN(nn.AnalogGRUCell, INPUTS, UNITS, True, c.InferenceRPUConfig()).eval()
    model.program_analog_weights()
    x = sequences()
    model.drift_analog_weights(1.0)
    soon = model(x)[0]
    model.drift_analog_weights(1e7)
    assert not torch.equal(model(x)[0], soon)


def tensors(value):
    if isinstance(value, dict) and set(value) == {"shape", "values"}:
        return torch.tensor(value["values"]).reshape(value["shape"])
    return {name: tensors(one) for name, one in value.items()} if isinstance(value, dict) else value


def saved_model(kind):
    perfect = c.IOParameters(is_perfect=True)
    pulsed = c.SingleRPUConfig(device=c.SoftBoundsDevice(), forward=perfect)
    scaled = c.InferenceRPUConfig(forward=perfect, mapping=c.MappingParameter(weight_scaling_omega=0.7))
    cell, config, more = {
        "LSTM on pulsed devices": (nn.AnalogLSTMCell, pulsed, {}),
        "combined LSTM": (nn.AnalogLSTMCellCombinedWeight, scaled, {}),
        "GRU in both directions": (
            nn.AnalogGRUCell, c.InferenceRPUConfig(forward=perfect), {"num_layers": 2, "bidir": True},
        ),
    }[kind]  # fmt: skip
    return nn.AnalogRNN(cell, INPUTS, UNITS, True, config, **more).eval()


@pytest.mark.parametrize("kind", list(FOUND["kinds"]))
def test_a_network_answers_as_the_one_that_aihwkit_saved(kind):
    model, saved = saved_model(kind), tensors(FOUND["kinds"][kind])
    model.load_state_dict(saved["state"])
    torch.testing.assert_close(model(tensors(FOUND["x"]))[0], saved["y"], rtol=1e-5, atol=1e-6)
