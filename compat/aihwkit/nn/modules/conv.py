"""The analog convolutions over sequences, images and volumes."""

from typing import Any, ClassVar

from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.nn.modules.base import AnalogLayerBase
from compat.aihwkit.nn.modules.chips import move_to_chips
from compat.torch_package import torch

__all__ = ["AnalogConv1d", "AnalogConv2d", "AnalogConv3d"]

Sizes = tuple[int, ...]
_unfold: Any = torch.nn.functional.unfold
# not of Conv2d itself, as in aihwkit: a program that asks for it would fill `weight`, which is none here
_ConvNd: Any = torch.nn.modules.conv._ConvNd
_utils: Any = torch.nn.modules.utils


class _AnalogConv(AnalogLayerBase, _ConvNd):
    """What the convolutions share, whatever the number of axes of their kernel."""

    _digital: ClassVar[Any]  # torch's layer
    _each: ClassVar[Any]  # a size for each axis of its kernel
    padding: Sizes  # never one of torch's words

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", rpu_config: Any = None,
        tile_module_class: type | None = None, use_indexed: bool | None = None,
    ) -> None:  # fmt: skip
        if groups != 1 or padding_mode != "zeros" or isinstance(padding, str):
            raise ConfigError(
                f"{type(self).__name__}(groups={groups}, padding_mode={padding_mode!r}, padding={padding!r}): only one "
                "group, and a number of zeros on each side, are possible."
            )
        window = (self._each(sizes) for sizes in (kernel_size, stride, padding, dilation))
        _ConvNd.__init__(
            self, in_channels, out_channels, *window, False, self._each(0), groups, bias, padding_mode
        )  # fmt: skip
        self.in_features = self.get_tile_size(in_channels, groups, self.kernel_size)
        self.out_features = out_channels
        self._move_to_chips(bias, rpu_config, tile_module_class)
        self.reset_parameters()

    def _move_to_chips(self, bias: bool, rpu_config: Any, tile_module_class: type | None) -> None:
        move_to_chips(self, self.out_channels, self.in_features, bias, rpu_config, tile_module_class)

    def reset_parameters(self) -> None:
        """Draw weights and bias as torch does, and write them."""
        if not hasattr(self, "analog_module"):
            return  # called by torch's constructor: there is no tile to write to yet
        drawn = self._digital(self.in_channels, self.out_channels, self.kernel_size, bias=bool(self.bias))
        self.set_weights(drawn.weight, drawn.bias)

    def set_weights(self, weight: Any, bias: Any = None, **kwargs: Any) -> None:
        """Write weights, shaped as torch's or flat `[O, I]`, and bias."""
        super().set_weights(weight.reshape(self.out_channels, -1), bias, **kwargs)

    def forward(self, x_input: Any) -> Any:
        """`[B, C, ...] -> [B, O, ...]`, or one item without `B`."""
        batched = x_input.ndim == len(self.kernel_size) + 2
        items = x_input if batched else x_input[None]
        patches = _patches(items, self.kernel_size, self.stride, self.padding, self.dilation)
        # programs take views of what comes out, as they may of torch's layers
        y = self._products(patches.transpose(1, 2)).transpose(1, 2).contiguous()
        y = y.reshape(items.shape[0], self.out_channels, *self._places(items.shape[2:]))
        return y if batched else y[0]

    def _products(self, rows: Any) -> Any:
        """Patches `[B, places, I] -> [B, places, O]`."""
        return self.analog_module(rows)

    def _places(self, item: Any) -> list[int]:
        """The sizes of what comes out."""
        return [self.get_image_size(size, axis) for axis, size in enumerate(item)]

    def get_tile_size(self, in_channels: int, groups: int, kernel_size: Any) -> int:
        """Inputs of the tile: the values of a patch."""
        return in_channels // groups * int(torch.Size(kernel_size).numel())

    def get_image_size(self, size: int, i: int) -> int:
        """The size of what comes out along axis `i`, for items of size `size`."""
        return (size + 2 * self.padding[i] - self.dilation[i] * (self.kernel_size[i] - 1) - 1) // self.stride[i] + 1

    def extra_repr(self) -> str:
        """What torch shows, and the kind of configuration."""
        kind = type(next(self.analog_tiles()).rpu_config).__name__
        shown = _ConvNd.extra_repr(self)  # which says that there is no bias only where it is None
        return f"{shown}{', bias=False' if self.bias is False else ''}, {kind}"

    @classmethod
    def from_digital(cls, module: Any, rpu_config: Any, tile_module_class: type | None = None) -> Any:
        """An analog layer with the weights of a torch one."""
        layer = cls(
            module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding, module.dilation,
            module.groups, module.bias is not None, module.padding_mode, rpu_config, tile_module_class,
        )  # fmt: skip
        layer.set_weights(module.weight, module.bias)
        return layer

    @classmethod
    def to_digital(cls, module: Any, realistic: bool = False) -> Any:
        """A torch layer with the weights of an analog one."""
        weight, bias = module.get_weights(realistic=realistic)
        layer = cls._digital(
            module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding, module.dilation,
            bias=bias is not None,
        )  # fmt: skip
        layer.weight.data = weight.reshape(layer.weight.shape)
        if bias is not None:
            layer.bias.data = bias
        return layer


def _patches(x: Any, kernel: Sizes, stride: Sizes, padding: Sizes, dilation: Sizes) -> Any:
    """`[B, C, ...] -> [B, C x kernel, places]`, in the order of torch's `unfold`, which knows images alone."""
    if len(kernel) == 2:
        return _unfold(x, kernel, dilation, padding, stride)
    if len(kernel) == 1:
        return _unfold(x[:, :, None], (1, *kernel), (1, *dilation), (0, *padding), (1, *stride))
    (size, *kernels), (step, *steps), (pad, *pads), (apart, *aparts) = kernel, stride, padding, dilation
    x = torch.nn.functional.pad(x, (0, 0) * (x.ndim - 3) + (pad, pad))
    slabs = x.unfold(2, (size - 1) * apart + 1, step)[..., ::apart]  # [B, C, D', H, W, size]
    slabs = slabs.movedim((2, -1), (1, 3)).flatten(2, 3)  # [B, D', C x size, H, W]
    inner = _patches(slabs.flatten(0, 1), tuple(kernels), tuple(steps), tuple(pads), tuple(aparts))
    return inner.unflatten(0, slabs.shape[:2]).movedim(1, 2).flatten(2)


class AnalogConv1d(_AnalogConv):
    """A convolution over sequences, `[B, C, L] -> [B, O, L']` or without `B`, whose kernels live on analog chips.

    Each patch of a sequence is one vector for `analog_module`; the matrix is `[out_channels, in_channels * k]`. Weights
    start as those of torch's own layer would with the same `torch.manual_seed`. `use_indexed` changes no result and has
    nothing to do here. Raises `ConfigError` for groups, and for padding with anything but zeros.
    """

    _digital, _each = torch.nn.Conv1d, staticmethod(_utils._single)


class AnalogConv2d(_AnalogConv):
    """A convolution over images, `[B, C, H, W] -> [B, O, H', W']` or without `B`, whose kernels live on analog chips.

    Each patch of an image is one vector for `analog_module`; the matrix is `[out_channels, in_channels * kh * kw]`.
    Weights start as those of torch's own layer would with the same `torch.manual_seed`. `use_indexed` changes no result
    and has nothing to do here. Raises `ConfigError` for groups, and for padding with anything but zeros.
    """

    _digital, _each = torch.nn.Conv2d, staticmethod(_utils._pair)


class AnalogConv3d(_AnalogConv):
    """A convolution over volumes, `[B, C, D, H, W]` or without `B`, whose kernels live on analog chips.

    Each patch of a volume is one vector for `analog_module`; the matrix is `[out_channels, in_channels * kd kh kw]`.
    Weights start as those of torch's own layer would with the same `torch.manual_seed`. `use_indexed` changes no result
    and has nothing to do here. Raises `ConfigError` for groups, and for padding with anything but zeros.
    """

    _digital, _each = torch.nn.Conv3d, staticmethod(_utils._triple)
