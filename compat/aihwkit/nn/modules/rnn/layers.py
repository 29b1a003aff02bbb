"""Layers: one cell over a sequence `[T, B, I]`, in one direction or in both."""

from typing import Any

from compat.aihwkit.nn.modules.rnn import whole_sequence
from compat.torch_package import torch


def over_time(cell: Any, inputs: Any, state: Any) -> tuple[Any, Any]:
    """Outputs `[T, B, H]` of a cell for inputs `[T, B, I]`, and its last state."""
    if whole_sequence.can_run(cell, inputs, state):
        return whole_sequence.run(cell, inputs, state)
    outputs = []
    for x in inputs.unbind(0):
        y, state = cell(x, state)
        outputs.append(y)
    return torch.stack(outputs), state


class AnalogRNNLayer(torch.nn.Module):
    """A cell from the first time step to the last. `cell` is its class, or anything that makes one of `cell_args`."""

    def __init__(self, cell: Any, *cell_args: Any) -> None:
        super().__init__()
        self.cell = cell(*cell_args)

    def get_zero_state(self, batch_size: int) -> Any:
        """That of the cell."""
        return self.cell.get_zero_state(batch_size)

    def forward(self, input_: Any, state: Any) -> tuple[Any, Any]:
        """Outputs `[T, B, H]`, and the state after the last time step."""
        return over_time(self.cell, input_, state)


class AnalogReverseRNNLayer(torch.nn.Module):
    """A cell from the last time step to the first; its outputs are in the order of the inputs."""

    def __init__(self, cell: Any, *cell_args: Any) -> None:
        super().__init__()
        self.cell = cell(*cell_args)

    @staticmethod
    def reverse(lst: Any) -> Any:
        """A list (or tuple) from its end to its start."""
        return lst[::-1]

    def get_zero_state(self, batch_size: int) -> Any:
        """That of the cell."""
        return self.cell.get_zero_state(batch_size)

    def forward(self, input_: Any, state: Any) -> tuple[Any, Any]:
        """Outputs `[T, B, H]`, and the state after the first time step."""
        outputs, state = over_time(self.cell, input_.flip(0), state)
        return outputs.flip(0), state


class AnalogBidirRNNLayer(torch.nn.Module):
    """Two cells, one in each direction."""

    directions: Any

    def __init__(self, cell: Any, *cell_args: Any) -> None:
        super().__init__()
        both = [AnalogRNNLayer(cell, *cell_args), AnalogReverseRNNLayer(cell, *cell_args)]
        self.directions = torch.nn.ModuleList(both)

    def get_zero_state(self, batch_size: int) -> list[Any]:
        """One state for each direction."""
        return [direction.get_zero_state(batch_size) for direction in self.directions]

    def forward(self, input_: Any, states: Any) -> tuple[Any, list[Any]]:
        """Outputs `[T, B, 2 H]`, and the last state of each direction."""
        # states are paired with directions as far as both go, as in aihwkit
        found = [direction(input_, state) for direction, state in zip(self.directions, states, strict=False)]
        return torch.cat([outputs for outputs, _ in found], -1), [state for _, state in found]
