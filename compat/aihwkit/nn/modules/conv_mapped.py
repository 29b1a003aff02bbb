"""The analog convolutions on several chips, cut between kernels: a chip sees whole channels."""

from typing import Any, ClassVar

from compat.aihwkit.exceptions import AnalogBiasConfigError, ModuleError
from compat.aihwkit.nn.modules.chips import configuration_of
from compat.aihwkit.nn.modules.conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from compat.aihwkit.simulator.tiles.array import grid_of_tiles, read_grid, split_sizes, sum_of_grid, write_grid
from compat.torch_package import torch
from compat.whole_tensors import tensor_of

__all__ = ["AnalogConv1dMapped", "AnalogConv2dMapped", "AnalogConv3dMapped"]


class _CutBetweenKernels:
    """Added to a convolution: tile modules `array[column][row]` on the layer itself, which has the bias as well.

    `in_sizes` are channels, `out_sizes` rows.
    """

    array: Any
    bias: Any
    in_features: int
    in_channels: int
    out_channels: int
    _digital: ClassVar[Any]
    kernel_size: tuple[int, ...]
    unregister_parameter: Any

    def _move_to_chips(self, bias: bool, rpu_config: Any, tile_module_class: type | None) -> None:
        """Raises `AnalogBiasConfigError` for a bias on chips, `ModuleError` where a kernel is larger than a chip."""
        config, name = configuration_of(self, rpu_config), type(self).__name__
        if bias and not config.mapping.digital_bias:
            raise AnalogBiasConfigError(f"{name}: its bias is digital; set mapping.digital_bias=True, or use no bias.")
        kernel = self.in_features // self.in_channels
        self.in_sizes = self.get_split_sizes(self.in_features, config.mapping.max_input_size, kernel)
        self.out_sizes = self.get_split_sizes(self.out_channels, config.mapping.max_output_size)
        columns = [n * kernel for n in self.in_sizes]
        with torch.random.fork_rng(devices=[]):
            self.array = grid_of_tiles(tile_module_class or config.tile_class, self.out_sizes, columns, config)
        self.unregister_parameter("weight")
        if bias:
            self.bias = torch.nn.Parameter(self.bias.detach().to(self.array[0][0].get_dtype()))

    def get_split_sizes(self, size: int, split_max_size: int, group_size: int = 1) -> list[int]:
        """The parts of `size` values, of at most `split_max_size` each, counted in groups that stay together.

        Raises `ModuleError` where a group is larger than a part may be.
        """
        if 0 < split_max_size < group_size:
            raise ModuleError(
                f"{type(self).__name__}: a kernel has {group_size} values, and a chip takes {split_max_size}; "
                "set mapping.max_input_size to at least that, or to 0."
            )
        return split_sizes(size // group_size, max(split_max_size, 0) // group_size)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weights and bias as torch does, and write them."""
        if not hasattr(self, "array"):
            return  # called by torch's constructor
        drawn = self._digital(self.in_channels, self.out_channels, self.kernel_size, bias=self.bias is not None)
        self.set_weights(drawn.weight, drawn.bias)

    @torch.no_grad()
    def set_weights(self, weight: Any, bias: Any = None, **kwargs: Any) -> None:
        """Write weights, shaped as torch's or flat `[O, I]`, and bias; other arguments are those of the tiles."""
        write_grid(self.array, tensor_of(weight).reshape(self.out_channels, -1), **kwargs)
        if self.bias is not None and bias is not None:
            self.bias.copy_(tensor_of(bias))

    def get_weights(self, **kwargs: Any) -> Any:
        """Weights, flat `[O, I]`, and bias (copies); arguments are those of the tiles."""
        return read_grid(self.array, **kwargs), None if self.bias is None else self.bias.detach().clone()

    def _products(self, rows: Any) -> Any:
        """Patches `[B, places, I] -> [B, places, O]`."""
        y = sum_of_grid(self.array, rows)
        return y if self.bias is None else y + self.bias


class AnalogConv1dMapped(_CutBetweenKernels, AnalogConv1d):
    """`AnalogConv1d` on as many chips as the limits in its mapping ask for; the bias is digital."""


class AnalogConv2dMapped(_CutBetweenKernels, AnalogConv2d):
    """`AnalogConv2d` on as many chips as the limits in its mapping ask for; the bias is digital."""


class AnalogConv3dMapped(_CutBetweenKernels, AnalogConv3d):
    """`AnalogConv3d` on as many chips as the limits in its mapping ask for; the bias is digital."""
