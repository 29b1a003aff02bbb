"""The analog convolution over images."""

from typing import Any

from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.nn.modules.base import AnalogLayerBase
from compat.aihwkit.simulator.configs.configs import SingleRPUConfig
from compat.aihwkit.simulator.parameters.base import RPUConfigBase
from compat.torch_package import torch

_Conv2d: Any = torch.nn.Conv2d
_unfold: Any = torch.nn.functional.unfold


class AnalogConv2d(AnalogLayerBase, torch.nn.Conv2d):  # type: ignore[misc]
    """A convolution whose kernels live on analog chips: each patch of an image is one vector for `analog_module`.

    The matrix is `[out_channels, in_channels * height * width of the kernel]`; weights start as those of torch's own
    layer would with the same `torch.manual_seed`. `use_indexed` changes no result and has nothing to do here. Raises
    `ConfigError` for groups, and for padding with anything but zeros.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", rpu_config: Any = None,
        tile_module_class: type | None = None, use_indexed: bool | None = None,
    ) -> None:  # fmt: skip
        if groups != 1 or padding_mode != "zeros" or isinstance(padding, str):
            raise ConfigError(
                f"AnalogConv2d(groups={groups}, padding_mode={padding_mode!r}, padding={padding!r}): only one group, "
                "and a number of zeros on each side, are possible."
            )
        torch.nn.Conv2d.__init__(self, in_channels, out_channels, kernel_size, stride, padding, dilation, bias=bias)
        rpu_config = SingleRPUConfig() if rpu_config is None else rpu_config
        if not isinstance(rpu_config, RPUConfigBase):
            raise ConfigError(
                f"AnalogConv2d(rpu_config={rpu_config!r}): give a configuration, such as SingleRPUConfig()."
            )
        self.in_features = in_channels * self.kernel_size[0] * self.kernel_size[1]
        kind = tile_module_class or rpu_config.get_default_tile_module_class(out_channels, self.in_features)
        # the key of the chips is drawn aside, so that weights are those of a digital layer with the same seed
        with torch.random.fork_rng(devices=[]):
            self.analog_module = kind(out_channels, self.in_features, rpu_config, bias, **self._tile_options)
        self.unregister_parameter("weight")
        self._parameters.pop("bias", None)
        self.bias = bias  # type: ignore[assignment]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and bias as torch does, and write them."""
        if not hasattr(self, "analog_module"):
            return  # called by torch's constructor: there is no tile to write to yet
        drawn = _Conv2d(self.in_channels, self.out_channels, self.kernel_size, bias=bool(self.bias))
        self.set_weights(drawn.weight, drawn.bias)

    def set_weights(self, weight: Any, bias: Any = None, **kwargs: Any) -> None:
        """Write weights, `[O, C, height, width]` or flat `[O, I]`, and bias."""
        super().set_weights(weight.reshape(self.out_channels, -1), bias, **kwargs)

    def forward(self, x_input: Any) -> Any:
        """`[B, C, H, W] -> [B, O, H', W']`, or one image without `B`."""
        images = x_input if x_input.ndim == 4 else x_input[None]
        patches = _unfold(images, self.kernel_size, self.dilation, self.padding, self.stride)
        y = self.analog_module(patches.transpose(1, 2)).transpose(1, 2)
        y = y.reshape(images.shape[0], self.out_channels, *self._places(images.shape[2:]))
        return y if x_input.ndim == 4 else y[0]

    def _places(self, image: Any) -> list[int]:
        """Height and width of what comes out."""
        pads: Any = self.padding
        sizes = zip(image, self.kernel_size, self.stride, pads, self.dilation, strict=True)
        return [(n + 2 * pad - dilation * (k - 1) - 1) // stride + 1 for n, k, stride, pad, dilation in sizes]

    def extra_repr(self) -> str:
        """What torch shows, and the kind of configuration."""
        kind = type(self.analog_module.rpu_config).__name__
        return f"{torch.nn.Conv2d.extra_repr(self)}{'' if self.bias else ', bias=False'}, {kind}"

    @classmethod
    def from_digital(cls, module: Any, rpu_config: Any, tile_module_class: type | None = None) -> "AnalogConv2d":
        """An analog layer with the weights of a torch one."""
        layer = cls(
            module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding, module.dilation,
            module.groups, module.bias is not None, module.padding_mode, rpu_config, tile_module_class,
        )  # fmt: skip
        layer.set_weights(module.weight, module.bias)
        return layer

    @classmethod
    def to_digital(cls, module: "AnalogConv2d", realistic: bool = False) -> Any:
        """A torch layer with the weights of an analog one."""
        weight, bias = module.get_weights(realistic=realistic)
        layer = _Conv2d(
            module.in_channels, module.out_channels, module.kernel_size, module.stride, module.padding, module.dilation,
            bias=bias is not None,
        )  # fmt: skip
        layer.weight.data = weight.reshape(layer.weight.shape)
        if bias is not None:
            layer.bias.data = bias
        return layer
