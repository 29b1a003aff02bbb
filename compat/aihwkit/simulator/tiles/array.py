"""A matrix that is cut over several tile modules: each is a chip with everything that is its own."""

from collections.abc import Sequence
from typing import Any

from compat.aihwkit.exceptions import TileError
from compat.aihwkit.simulator.digital_low_precision.base_quantized_classes import QuantizedActivation
from compat.aihwkit.simulator.tiles.base import AnalogTileStateNames, TileModuleBase
from compat.aihwkit.simulator.tiles.periphery_quantizer import PeripheryQuantizer
from compat.torch_package import torch
from compat.whole_tensors import tensor_of


def split_sizes(size: int, limit: int) -> list[int]:
    """Nearly equal parts of at most `limit` (0 or less: no limit), larger ones first."""
    if limit <= 0:
        return [size]
    base, extra = divmod(size, parts := -(-size // limit))
    return [base + (n < extra) for n in range(parts)]


def grid_of_tiles(kind: Any, out_sizes: Sequence[int], in_sizes: Sequence[int], rpu_config: Any, **options: Any) -> Any:
    """Tile modules of these sizes without bias, as `[column][row]`."""
    columns = [[kind(o, i, rpu_config, bias=False, **options) for o in out_sizes] for i in in_sizes]
    return torch.nn.ModuleList(torch.nn.ModuleList(column) for column in columns)


@torch.no_grad()
def write_grid(grid: Any, weight: Any, **options: Any) -> None:
    """Write the parts of a matrix `[O, I]` to the tile modules of a grid."""
    for column, part in zip(grid, weight.split([column[0].in_size for column in grid], 1), strict=True):
        for tile, own in zip(column, part.split([tile.out_size for tile in column]), strict=True):
            tile.set_weights(own, None, **options)


@torch.no_grad()
def read_grid(grid: Any, **options: Any) -> Any:
    """The matrix `[O, I]` that the tile modules of a grid hold (a copy)."""
    return torch.cat([torch.cat([tile.get_weights(**options)[0] for tile in column]) for column in grid], 1)


def sum_of_grid(grid: Any, x: Any, **options: Any) -> Any:
    """`[..., I] -> [..., O]`: the outputs of the tile modules of a grid, added up over its columns.

    Raises `TileError` for inputs of another size.
    """
    sizes, total = [column[0].in_size for column in grid], None
    if x.ndim == 0 or x.shape[-1] != sum(sizes):
        raise TileError(
            f"an input of shape {tuple(x.shape)} for chips of {' + '.join(map(str, sizes))} inputs; the last axis must "
            f"be {sum(sizes)}."
        )
    for column, part in zip(grid, x.split(sizes, -1), strict=True):
        y = torch.cat([tile(part, **options) for tile in column], -1)
        total = y if total is None else total + y
    return total


class TileModuleArray(TileModuleBase, torch.nn.Module):
    """Tile modules `array[column][row]`, whose outputs are added up; the bias is added to the sum, never on a chip.

    They are of the class and the configuration of `rpu_config`, cut by the limits of its mapping; with limits of 0 the
    array is of one chip. `options` go to each.
    """

    supports_indexed = False
    array: Any
    bias: Any

    def __init__(self, out_size: int, in_size: int, rpu_config: Any, bias: bool = False, **options: Any) -> None:
        super().__init__()
        self.in_size, self.out_size = in_size, out_size
        self.in_sizes = self.get_split_sizes(in_size, rpu_config.mapping.max_input_size)
        self.out_sizes = self.get_split_sizes(out_size, rpu_config.mapping.max_output_size)
        self.analog_tile_count = len(self.in_sizes) * len(self.out_sizes)
        self.array = grid_of_tiles(rpu_config.tile_class, self.out_sizes, self.in_sizes, rpu_config, **options)
        dtype = self.array[0][0].get_dtype()
        self.register_parameter("bias", torch.nn.Parameter(torch.zeros(out_size, dtype=dtype)) if bias else None)

    def get_split_sizes(self, size: int, split_max_size: int) -> list[int]:
        """Sizes of the parts of so many rows or columns."""
        return split_sizes(size, split_max_size)

    @torch.no_grad()
    def set_weights(self, weight: Any, bias: Any = None, **kwargs: Any) -> None:
        """Write logical weights `[O, I]` and the bias; other arguments are those of the tile modules."""
        weight = tensor_of(weight)
        if weight.numel() != self.out_size * self.in_size:
            raise TileError(f"weights of shape {tuple(weight.shape)} for an array of {self.out_size} x {self.in_size}.")
        write_grid(self.array, weight.reshape(self.out_size, self.in_size), **kwargs)
        if self.bias is not None and bias is not None:
            self.bias.copy_(tensor_of(bias))

    def get_weights(self, **kwargs: Any) -> tuple[Any, Any]:
        """The logical weights and the bias (copies); arguments are those of the tile modules."""
        return read_grid(self.array, **kwargs), None if self.bias is None else self.bias.detach().clone()

    def forward(self, x_input: Any, tensor_view: Any = None) -> Any:
        """`[..., I] -> [..., O]`."""
        return self.biased(sum_of_grid(self.array, x_input), tensor_view)

    def biased(self, y: Any, tensor_view: Any = None) -> Any:
        """`y` and the bias, whose shape is `tensor_view` for it (default: along the last axis)."""
        if self.bias is None:
            return y
        return y + (self.bias if tensor_view is None else self.bias.view(*tensor_view))

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: list,
        unexpected_keys: list, error_msgs: list,
    ) -> None:  # fmt: skip
        if prefix + AnalogTileStateNames.ANALOG_STATE_NAME in state_dict:
            error_msgs.append(
                f"{prefix[:-1]}: is one tile in the checkpoint, and {self.analog_tile_count} in the model, each with a "
                "state of its own. Checkpoints of compat 0.1.0 with matrices on several chips have to be read there: "
                "hand weights over by get_weights() and set_weights()."
            )
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )


class QuantizedTileModuleArray(TileModuleArray):
    """Tile modules with quantised surroundings, whose sum is rounded once more, after the rounded bias was added."""

    module_out_quantizer: Any
    bias_quantizer: Any

    def __init__(self, out_size: int, in_size: int, rpu_config: Any, bias: bool = False, **options: Any) -> None:
        super().__init__(out_size, in_size, rpu_config, bias, **options)
        several = self.analog_tile_count > 1  # one alone has rounded its output itself
        self.module_out_quantizer = QuantizedActivation.of(rpu_config.act_quant_config) if several else None
        periphery = rpu_config.pre_post.periph_quant
        self.bias_quantizer = PeripheryQuantizer.of(periphery) if bias else None
        self.register_parameter("bias_quant_update_idx", PeripheryQuantizer.counter(periphery) if bias else None)

    def forward(self, x_input: Any, tensor_view: Any = None) -> Any:
        """`[..., I] -> [..., O]`."""
        y = super().forward(x_input, tensor_view)
        return y if self.module_out_quantizer is None else self.module_out_quantizer(y)

    def biased(self, y: Any, tensor_view: Any = None) -> Any:
        """`y` and the rounded bias."""
        if self.bias_quantizer is None:
            return super().biased(y, tensor_view)
        bias = self.bias_quantizer(self.bias, self.bias_quant_update_idx)
        return y + (bias if tensor_view is None else bias.view(*tensor_view))
