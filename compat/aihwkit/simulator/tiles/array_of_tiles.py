"""A matrix that is cut over several tile modules, each with a simulator tile of its own."""

from typing import Any

from compat.aihwkit.simulator.tiles.base import TileModuleBase
from compat.torch_package import torch
from compat.whole_tensors import tensor_of


def split_sizes(size: int, limit: int) -> list[int]:
    """Nearly equal parts of at most `limit` (0: no limit), larger ones first."""
    if limit <= 0:
        return [size]
    return [len(part) for part in torch.arange(size).tensor_split(-(-size // limit))]


class TileGrid(TileModuleBase, torch.nn.Module):
    """Tile modules `array[column][row]`, whose outputs are added up; the bias is at the digital sum."""

    array: Any
    bias: Any

    def __init__(self, out_size: int, in_size: int, rpu_config: Any, bias: bool = False) -> None:
        super().__init__()
        mapping = rpu_config.mapping
        self.rpu_config, self.in_size, self.out_size, self.use_bias = rpu_config, in_size, out_size, bool(bias)
        self.in_sizes = self.get_split_sizes(in_size, mapping.max_input_size)
        self.out_sizes = self.get_split_sizes(out_size, mapping.max_output_size)
        self.register_parameter("bias", torch.nn.Parameter(torch.zeros(out_size)) if bias else None)
        columns = [[rpu_config.tile_class(o, i, rpu_config, False) for o in self.out_sizes] for i in self.in_sizes]
        self.array = torch.nn.ModuleList(torch.nn.ModuleList(column) for column in columns)

    def get_split_sizes(self, size: int, split_max_size: int) -> list[int]:
        """Sizes of the parts of so many rows or columns."""
        return split_sizes(size, split_max_size)

    @property
    def analog_tile_count(self) -> int:
        """The number of tiles."""
        return len(self.in_sizes) * len(self.out_sizes)

    @torch.no_grad()
    def set_weights(self, weight: Any, bias: Any = None, **kwargs: Any) -> None:
        """Write logical weights `[O, I]` and the bias."""
        whole = tensor_of(weight).reshape(self.out_size, self.in_size)
        for column, part in zip(self.array, whole.split(self.in_sizes, 1), strict=True):
            for tile, own in zip(column, part.split(self.out_sizes), strict=True):
                tile.set_weights(own, None, **kwargs)
        if self.bias is not None and bias is not None:
            self.bias.copy_(tensor_of(bias))

    @torch.no_grad()
    def get_weights(self, **kwargs: Any) -> tuple[Any, Any]:
        """The logical weights and bias (copies)."""
        columns = [torch.cat([tile.get_weights(**kwargs)[0] for tile in column]) for column in self.array]
        return torch.cat(columns, 1), None if self.bias is None else self.bias.detach().clone()

    def forward(self, x_input: Any, tensor_view: Any = None) -> Any:
        """`[..., I] -> [..., O]`."""
        parts = x_input.split(self.in_sizes, -1)
        total: Any = 0
        for column, x in zip(self.array, parts, strict=True):
            total = total + torch.cat([tile(x) for tile in column], -1)
        return total if self.bias is None else total + self.bias
