"""Standard cells are run as few compiled calls: what comes out is what the modules give, step by step."""

import copy

import pytest
import torch
from aihwkit import nn
from aihwkit.exceptions import TileError
from aihwkit.nn.modules.rnn.layers import AnalogReverseRNNLayer, AnalogRNNLayer
from aihwkit.optim import AnalogSGD
from aihwkit.simulator import configs as c

from compat.aihwkit.nn.modules.rnn import whole_sequence

STEPS, ITEMS, INPUTS, UNITS = 19, 2, 3, 4  # one whole piece, and one that is filled up
CELLS = [nn.AnalogVanillaRNNCell, nn.AnalogLSTMCell, nn.AnalogLSTMCellCombinedWeight, nn.AnalogGRUCell]
NOISY = c.IOParameters(inp_res=-1, out_res=-1)  # noise without steps, which the last digit of a number could cross


def pulsed(**mapping):
    return c.SingleRPUConfig(
        device=c.ConstantStepDevice(), forward=copy.deepcopy(NOISY), backward=copy.deepcopy(NOISY),
        mapping=c.MappingParameter(**mapping),
    )  # fmt: skip


def aware(**mapping):
    made = c.InferenceRPUConfig(forward=copy.deepcopy(NOISY), mapping=c.MappingParameter(**mapping))
    made.modifier.type, made.modifier.std_dev = c.WeightModifierType.ADD_NORMAL, 0.1
    return made


CONFIGS = {
    "pulsed": pulsed,
    "pulsed, analog bias, learned scales": lambda: pulsed(digital_bias=False, learn_out_scaling=True),
    "exact": c.FloatingPointRPUConfig,
    "aware": lambda: aware(weight_scaling_omega=0.6, learn_out_scaling=True, out_scaling_columnwise=True),
    "aware, analog bias": lambda: aware(digital_bias=False),
}


def inputs(steps=STEPS):
    return torch.randn(steps, ITEMS, INPUTS, generator=torch.Generator().manual_seed(1)).requires_grad_()


def outcome(layer, x, steps=2):
    """Everything that a few steps of training leave."""
    optimizer = AnalogSGD(layer.parameters(), lr=0.1)
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        x.grad = None
        state = layer.get_zero_state(ITEMS)
        state = tuple(torch.full_like(one, 0.3) for one in state) if isinstance(state, tuple) else state + 0.3
        y, last = layer(x, state)
        (y.sin().sum() + (last[0] if isinstance(last, tuple) else last).sum()).backward()
        found += [y.detach(), *(last if isinstance(last, tuple) else [last]), x.grad.clone()]
        found += [p.grad.clone() for name, p in layer.named_parameters() if not name.endswith("analog_ctx")]
        for tile in layer.modules():
            if hasattr(tile, "analog_ctx") and tile.analog_ctx.has_gradient():
                found += [torch.cat(tile.analog_ctx.analog_input), torch.cat(tile.analog_ctx.analog_grad_output)]
        optimizer.step()
    uses = [tile.chips.uses for tile in layer.modules() if hasattr(tile, "chips")]
    return found, uses


QUICK = ("exact", "pulsed")
PAIRS = [
    *(("exact", cell) for cell in CELLS),
    ("pulsed", nn.AnalogLSTMCell),
    *(pytest.param(config, nn.AnalogLSTMCell, marks=pytest.mark.slow) for config in CONFIGS if config not in QUICK),
    *(pytest.param(config, nn.AnalogGRUCell, marks=pytest.mark.slow) for config in ("pulsed", "aware")),
]  # fmt: skip


@pytest.mark.parametrize(("config", "cell"), PAIRS)
def test_it_is_what_the_modules_give(config, cell, monkeypatch):
    kind = AnalogReverseRNNLayer if cell is nn.AnalogGRUCell else AnalogRNNLayer
    torch.manual_seed(3)
    layer = kind(cell, INPUTS, UNITS, True, CONFIGS[config]())
    other = copy.deepcopy(layer)
    assert whole_sequence.can_run(layer.cell, inputs(), layer.get_zero_state(ITEMS))
    # the second step of pulsed devices may differ by pulses that the last digit decides
    steps = 2 if config.startswith(("exact", "aware")) else 1
    found, uses = outcome(layer, inputs(), steps)
    monkeypatch.setattr(whole_sequence, "can_run", lambda *_: False)
    expected, expected_uses = outcome(other, inputs(), steps)
    assert uses == expected_uses and len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_matrix_on_several_chips_is_called_step_by_step():
    layer = AnalogRNNLayer(nn.AnalogLSTMCell, INPUTS, UNITS, True, pulsed(max_input_size=2, max_output_size=5))
    assert not whole_sequence.can_run(layer.cell, inputs(), layer.get_zero_state(ITEMS))
    y, _ = layer(inputs(), layer.get_zero_state(ITEMS))
    y.sum().backward()
    tiles = [module for module in layer.modules() if hasattr(module, "analog_ctx")]
    assert len(tiles) == 16 and all(len(tile.analog_ctx.analog_input) == STEPS for tile in tiles)


def test_one_program_serves_sequences_of_all_lengths(monkeypatch):
    made = []
    make = whole_sequence._program

    def noted(*given):
        made.append(make(*given))
        return made[-1]

    monkeypatch.setattr(whole_sequence, "_program", noted)
    layer = AnalogRNNLayer(nn.AnalogVanillaRNNCell, INPUTS, UNITS + 1, True, c.FloatingPointRPUConfig())
    sizes = []
    for steps in (5, 16, 40):
        y, _ = layer(inputs(steps), layer.get_zero_state(ITEMS))
        assert y.shape == (steps, ITEMS, UNITS + 1)
        y.sum().backward()
        sizes.append((made[-1].derive._cache_size(), made[-1].back._cache_size()))
    assert len(set(made)) == 1 and len(set(sizes)) == 1


def test_programmed_chips_are_read(monkeypatch):
    torch.manual_seed(3)
    layer = nn.AnalogRNN(nn.AnalogGRUCell, INPUTS, UNITS, True, aware()).eval()
    layer.drift_analog_weights(1e6)
    other = copy.deepcopy(layer)
    with torch.no_grad():
        y, _ = layer(inputs())
        monkeypatch.setattr(whole_sequence, "can_run", lambda *_: False)
        torch.testing.assert_close(y, other(inputs())[0], rtol=1e-4, atol=1e-5)
    assert not y.requires_grad


def runs(cell, x=None, state=None):
    x = inputs() if x is None else x
    return whole_sequence.can_run(cell, x, cell.get_zero_state(x.shape[1]) if state is None else state)


class Own(nn.AnalogGRUCell):
    """A cell of a program's own."""


class OwnTile(pulsed().tile_class):
    """A tile of a program's own."""


def test_what_programs_change_is_run_step_by_step():
    def fresh(config=None, cell=nn.AnalogGRUCell):
        return cell(INPUTS, UNITS, True, config or pulsed())

    assert runs(fresh())
    assert not runs(fresh(cell=Own))
    assert not runs(nn.AnalogGRUCell(INPUTS, UNITS, True, pulsed(), OwnTile))
    assert not runs(nn.AnalogVanillaRNNCell(INPUTS, UNITS, True))
    assert not runs(fresh(c.TorchInferenceRPUConfig()))
    ranged = c.InferenceRPUConfig()
    ranged.pre_post.input_range.enable = True
    assert not runs(fresh(ranged))
    replaced = fresh()
    replaced.weight_hh = torch.nn.Linear(UNITS, 3 * UNITS)
    assert not runs(replaced)
    patched = fresh()
    patched.weight_ih.forward = lambda x: torch.zeros(len(x), 3 * UNITS)
    assert not runs(patched)
    patched = fresh()
    patched.weight_ih.analog_module.backward = lambda *_: None
    with pytest.raises(TileError, match="backward"):
        runs(patched)


def test_hooks_are_called_at_every_step():
    cell = nn.AnalogGRUCell(INPUTS, UNITS, True, pulsed())
    layer = AnalogRNNLayer(lambda: cell)
    seen = []
    for module in (cell, cell.weight_ih, cell.weight_hh.analog_module):
        hook = module.register_forward_hook(lambda *_: seen.append(1))
        layer(inputs(5), layer.get_zero_state(ITEMS))
        hook.remove()
    everywhere = torch.nn.modules.module.register_module_forward_hook(
        lambda module, *_: seen.append(1) if module is cell else None
    )
    layer(inputs(5), layer.get_zero_state(ITEMS))
    everywhere.remove()
    assert len(seen) == 4 * 5 and runs(cell)


def test_inputs_and_states_that_do_not_fit_come_to_the_modules():
    cell = nn.AnalogLSTMCell(INPUTS, UNITS, True, pulsed())
    good = cell.get_zero_state(ITEMS)
    assert runs(cell) and not runs(cell, inputs(3))
    for x, state in (
        (inputs()[..., :2], good), (inputs().double(), good), (inputs()[0], good), (inputs(), good[0]),
        (inputs(), (good[0], good[1][:1])), (inputs(), (good[0], None)), (inputs(), (*good, good[0])),
    ):  # fmt: skip
        assert not runs(cell, x, state)
    with pytest.raises(TileError, match="3 inputs"):
        AnalogRNNLayer(lambda: cell)(inputs()[..., :2], good)


def test_inputs_may_be_written_to_afterwards():
    torch.manual_seed(3)
    layer = AnalogRNNLayer(nn.AnalogLSTMCell, INPUTS, UNITS, True, c.FloatingPointRPUConfig())
    other, x, h = copy.deepcopy(layer), inputs().detach(), torch.zeros(ITEMS, UNITS)
    y, _ = layer(x, (h, h))
    x.fill_(7.0)
    h.fill_(7.0)
    y.sum().backward()
    again, _ = other(inputs().detach(), other.get_zero_state(ITEMS))
    again.sum().backward()
    for ours, theirs in zip(layer.modules(), other.modules(), strict=True):
        if hasattr(ours, "analog_ctx"):
            pairs = (ours.analog_ctx, theirs.analog_ctx)
            assert torch.equal(*(torch.cat(one.analog_input) for one in pairs))
            assert torch.equal(*(torch.cat(one.analog_grad_output) for one in pairs))


def test_a_state_that_is_cut_off_ends_the_way_back():
    layer = AnalogRNNLayer(nn.AnalogGRUCell, INPUTS, UNITS, True, c.FloatingPointRPUConfig())
    _, between = layer(inputs(), layer.get_zero_state(ITEMS))
    x = inputs()
    y, _ = layer(x, between.detach())
    y.sum().backward()
    ctx = layer.cell.weight_ih.analog_module.analog_ctx
    assert sum(len(one) for one in ctx.analog_input) == STEPS * ITEMS and x.grad.abs().sum() > 0
