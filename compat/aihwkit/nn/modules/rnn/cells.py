"""Cells: what a recurrent layer does at one time step, with its matrices on chips.

With `a = W_ih x + b_ih` and `b = W_hh h + b_hh`, for the gates in the order of the rows of the matrices:

    vanilla        h' = tanh(a + b)
    LSTM (ifgo)    c' = s(f) c + s(i) tanh(g),  h' = s(o) tanh(c'),  of the gates a + b
    GRU (rzn)      n = tanh(a_n + s(r) b_n),  h' = n + s(z) (h - n),  with r and z of a + b

`s` is the sigmoid function. Inputs are `[B, I]`, states `[B, H]`.
"""

from collections import namedtuple
from typing import Any

from compat.aihwkit.nn.modules.linear import AnalogLinear
from compat.aihwkit.simulator.configs.configs import InferenceRPUConfig
from compat.torch_package import torch

__all__ = ["AnalogGRUCell", "AnalogLSTMCell", "AnalogLSTMCellCombinedWeight", "AnalogVanillaRNNCell"]

# a tuple of two tensors `[B, H]`, by the names that programs know; `typing.NamedTuple` would fix their type
LSTMState = namedtuple("LSTMState", ["hx", "cx"])


def _matrix(inputs: int, outputs: int, bias: bool, rpu_config: Any, tile_module_class: type | None) -> Any:
    """A matrix on chips, or torch's own without a configuration."""
    if rpu_config is None:
        return torch.nn.Linear(inputs, outputs, bias)
    return AnalogLinear(inputs, outputs, bias, rpu_config, tile_module_class)


def _zeros(cell: Any, batch_size: int) -> Any:
    like = next(cell.parameters())
    return torch.zeros(batch_size, cell.hidden_size, device=like.device, dtype=like.dtype)


def lstm_step(gates: Any, c: Any) -> tuple[Any, Any]:
    """New `h` and `c` of an LSTM for the sums of its gates `[B, 4 H]`."""
    i, f, g, o = gates.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class AnalogVanillaRNNCell(torch.nn.Module):
    """A plain cell with tanh; without `rpu_config` its matrices are torch's."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, rpu_config: Any = None,
        tile_module_class: type | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_ih = _matrix(input_size, hidden_size, bias, rpu_config, tile_module_class)
        self.weight_hh = _matrix(hidden_size, hidden_size, bias, rpu_config, tile_module_class)

    def get_zero_state(self, batch_size: int) -> Any:
        """`h` of zeros."""
        return _zeros(self, batch_size)

    def forward(self, input_: Any, state: Any) -> tuple[Any, Any]:
        """The output and the new state, which are the same."""
        h = torch.tanh(self.weight_ih(input_) + self.weight_hh(state))
        return h, h


class AnalogLSTMCell(torch.nn.Module):
    """An LSTM cell; without `rpu_config` its matrices are torch's."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, rpu_config: Any = None,
        tile_module_class: type | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_ih = _matrix(input_size, 4 * hidden_size, bias, rpu_config, tile_module_class)
        self.weight_hh = _matrix(hidden_size, 4 * hidden_size, bias, rpu_config, tile_module_class)

    def get_zero_state(self, batch_size: int) -> LSTMState:
        """`h` and `c` of zeros."""
        return LSTMState(_zeros(self, batch_size), _zeros(self, batch_size))

    def forward(self, input_: Any, state: Any) -> tuple[Any, tuple[Any, Any]]:
        """The output `h`, and the new state `(h, c)`."""
        h, c = state
        h, c = lstm_step(self.weight_ih(input_) + self.weight_hh(h), c)
        return h, (h, c)


class AnalogLSTMCellCombinedWeight(torch.nn.Module):
    """An LSTM cell with one matrix for inputs and state, `[x, h]`; without `rpu_config` it is torch's."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, rpu_config: Any = None,
        tile_module_class: type | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight = _matrix(input_size + hidden_size, 4 * hidden_size, bias, rpu_config, tile_module_class)

    def get_zero_state(self, batch_size: int) -> LSTMState:
        """`h` and `c` of zeros."""
        return LSTMState(_zeros(self, batch_size), _zeros(self, batch_size))

    def forward(self, input_: Any, state: Any) -> tuple[Any, tuple[Any, Any]]:
        """The output `h`, and the new state `(h, c)`."""
        h, c = state
        h, c = lstm_step(self.weight(torch.cat((input_, h), 1)), c)
        return h, (h, c)


class AnalogGRUCell(torch.nn.Module):
    """A GRU cell; without `rpu_config` its chips are those of an `InferenceRPUConfig`."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, rpu_config: Any = None,
        tile_module_class: type | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        rpu_config = rpu_config or InferenceRPUConfig()
        self.weight_ih = AnalogLinear(input_size, 3 * hidden_size, bias, rpu_config, tile_module_class)
        self.weight_hh = AnalogLinear(hidden_size, 3 * hidden_size, bias, rpu_config, tile_module_class)

    def get_zero_state(self, batch_size: int) -> Any:
        """`h` of zeros."""
        return _zeros(self, batch_size)

    def forward(self, input_: Any, state: Any) -> tuple[Any, Any]:
        """The output and the new state, which are the same."""
        a_r, a_z, a_n = self.weight_ih(input_).chunk(3, 1)
        b_r, b_z, b_n = self.weight_hh(state).chunk(3, 1)
        n = torch.tanh(a_n + torch.sigmoid(a_r + b_r) * b_n)
        h = n + torch.sigmoid(a_z + b_z) * (state - n)
        return h, h
