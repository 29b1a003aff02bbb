"""Recurrent networks: layers of cells on top of each other."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from compat.aihwkit.nn.modules.container import AnalogContainerBase
from compat.aihwkit.nn.modules.linear import AnalogLinear
from compat.aihwkit.nn.modules.rnn.layers import AnalogBidirRNNLayer, AnalogRNNLayer
from compat.torch_package import torch

__all__ = ["AnalogRNN"]


class ModularRNN(torch.nn.Module):
    """`num_layers` layers of the class `layer`, with dropout between them."""

    layers: Any

    def __init__(
        self, num_layers: int, layer: Any, dropout: float, first_layer_args: Sequence[Any],
        other_layer_args: Sequence[Any],
    ) -> None:  # fmt: skip
        super().__init__()
        self.layers = self.init_stacked_analog_lstm(num_layers, layer, first_layer_args, other_layer_args)
        self.num_layers = num_layers
        if num_layers == 1 and dropout > 0:
            warnings.warn(f"dropout={dropout} is between layers, and there is only one (num_layers=1).", stacklevel=2)
        self.dropout_layer = torch.nn.Dropout(dropout) if dropout > 0.0 else None

    @staticmethod
    def init_stacked_analog_lstm(
        num_layers: int, layer: Any, first_layer_args: Sequence[Any], other_layer_args: Sequence[Any]
    ) -> Any:
        """The layers, of any kind, as a `ModuleList`."""
        others = [layer(*other_layer_args) for _ in range(num_layers - 1)]
        return torch.nn.ModuleList([layer(*first_layer_args), *others])

    def get_zero_state(self, batch_size: int) -> list[Any]:
        """One state for each layer."""
        return [layer.get_zero_state(batch_size) for layer in self.layers]

    def forward(self, input: Any, states: Any) -> tuple[Any, list[Any]]:
        """Outputs of the last layer, and the last state of each."""
        y, after = input, []
        for k, layer in enumerate(self.layers):
            y, state = layer(y, states[k])
            if k < self.num_layers - 1 and self.dropout_layer is not None:
                y = self.dropout_layer(y)
            after.append(state)
        return y, after


class AnalogRNN(AnalogContainerBase, torch.nn.Module):  # type: ignore[misc]
    """A recurrent network on chips, for sequences `[T, B, I]`.

    `cell` is a class of cells, `AnalogLSTMCell` or one of a program's own, that is made of `(input_size, hidden_size,
    bias, rpu_config, tile_module_class)` and has `get_zero_state`. Weights and biases of all linear layers start
    uniformly in +-1/sqrt(`hidden_size`); with `xavier`, by torch's `xavier_uniform_`, and biases are 0.
    """

    def __init__(
        self, cell: Any, input_size: int, hidden_size: int, bias: bool = True, rpu_config: Any = None,
        tile_module_class: type | None = None, xavier: bool = False, num_layers: int = 1, bidir: bool = False,
        dropout: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__()
        layer, directions = (AnalogBidirRNNLayer, 2) if bidir else (AnalogRNNLayer, 1)
        rest = [hidden_size, bias, rpu_config, tile_module_class]
        first, others = [cell, input_size, *rest], [cell, directions * hidden_size, *rest]
        self.rnn = ModularRNN(num_layers, layer, dropout, first, others)
        self.hidden_size, self.num_layers = hidden_size, num_layers
        self.reset_parameters(xavier)

    @torch.no_grad()
    def init_layers(self, weight_init_fn: Callable, bias_init_fn: Callable | None = None) -> None:
        """Set weights and biases of all linear layers by functions that fill a tensor.

        `weight_init_fn` is for biases as well where `bias_init_fn` is not given.
        """

        def fill(weight: Any, bias: Any) -> None:
            weight_init_fn(weight.data)
            if bias is not None:
                (bias_init_fn or weight_init_fn)(bias.data)

        for module in self.modules():
            if isinstance(module, AnalogLinear):
                weight, bias = module.get_weights()
                fill(weight, bias)
                module.set_weights(weight, bias)
            elif isinstance(module, torch.nn.Linear):
                fill(module.weight, module.bias)

    def reset_parameters(self, xavier: bool = False) -> None:
        """Draw weights and biases anew."""
        if xavier:
            self.init_layers(torch.nn.init.xavier_uniform_, torch.nn.init.zeros_)
        else:
            bound = 1.0 / math.sqrt(self.hidden_size)
            self.init_layers(lambda values: values.uniform_(-bound, bound))

    def get_zero_state(self, batch_size: int) -> list[Any]:
        """One state for each layer, as its cell has it."""
        return self.rnn.get_zero_state(batch_size)

    def forward(self, input: Any, states: Any = None) -> tuple[Any, list[Any]]:
        """Outputs `[T, B, H]` (`[T, B, 2 H]` in both directions), and the last state of each layer."""
        return self.rnn(input, self.get_zero_state(input.shape[1]) if states is None else states)
