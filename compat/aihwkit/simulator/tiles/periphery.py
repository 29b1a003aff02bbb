"""The digital surroundings of a tile: range of the inputs, and scales of the outputs."""

from typing import Any

from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import ConfigError, TileError
from compat.aihwkit.simulator.parameters.enums import RPUDataType
from compat.aihwkit.simulator.tiles.base import BaseTile
from compat.aihwkit.simulator.tiles.input_range import Call, from_data, gradient
from compat.torch_package import torch


class TileWithPeriphery(BaseTile):
    """Added to a tile module, whose `tile` is in units of the chip.

    Attributes:
        input_range: The range of the inputs `[1]`, a parameter or (if it is not learned) a buffer; `None`: none.
        input_range_update_idx: Batches `[1]` that it was taken from so far.
    """

    supports_manage_output_clipping = True
    in_trans: Any = False
    out_trans: Any = False
    non_blocking = False
    rpu_config: Any
    tile: Any
    training: bool
    out_size: int
    in_size: int
    analog_bias: bool
    digital_bias: bool
    out_scaling_alpha: Any
    mapping_scales: Any
    mapping_lr_scale: float
    input_range: Any
    input_range_update_idx: Any

    def __init__(self) -> None:
        """After the constructor of a `SimulatorTileWrapper`: bias, scales and range."""
        module: Any = self
        module.register_parameter("bias", torch.nn.Parameter(torch.zeros(self.out_size)) if self.digital_bias else None)
        mapping, each = self.rpu_config.mapping, self.out_size
        columns = each if mapping.weight_scaling_columnwise else 1
        module.register_buffer("mapping_scales", torch.ones(columns) if mapping.weight_scaling_omega > 0 else None)
        columns = each if mapping.out_scaling_columnwise else 1
        learned = torch.nn.Parameter(torch.ones(columns)) if mapping.learn_out_scaling else None
        module.out_scaling_alpha = learned  # a plain attribute where none is learned, which may be set
        self.init_input_processing()

    # the range of inputs

    @torch.no_grad()
    def init_input_processing(self) -> bool:
        """Make the range of the inputs anew, as the configuration has it now; whether there is one."""
        module: Any = self
        for name in ("input_range", "input_range_update_idx"):
            module._parameters.pop(name, None)
            module._buffers.pop(name, None)
            vars(module).pop(name, None)
        p = self.rpu_config.pre_post.input_range
        start = torch.full((1,), float(abs(p.init_value)))
        if not p.enable:
            module.input_range = None
        elif p.learn_input_range:
            module.input_range = torch.nn.Parameter(start)
        else:
            module.register_buffer("input_range", start)
        if p.enable:
            self._check_output_clipping(p)
            module.input_range_update_idx = torch.nn.Parameter(torch.zeros(1), requires_grad=False)
        return p.enable

    def _check_output_clipping(self, p: Any) -> None:
        if p.manage_output_clipping and not (
            self.supports_manage_output_clipping and p.supports_manage_output_clipping(self.rpu_config)
        ):
            raise ConfigError(
                f"InputRangeParameter(manage_output_clipping=True): {type(self).__name__} can't tell which of its "
                "outputs were clipped. Needed are a forward with noise_management and bound_management NONE and "
                "is_perfect=False, and a configuration that is not for torch tiles."
            )

    @torch.no_grad()
    def set_input_range(self, value: Any) -> None:
        """Set the range to a number, or to the first of a tensor, without its sign."""
        if self.input_range is None:
            raise ConfigError("set_input_range: there is no input range; set pre_post.input_range.enable=True.")
        first = value.reshape(-1)[0] if isinstance(value, torch.Tensor) else value
        self.input_range.data[0] = abs(float(first))

    @torch.no_grad()
    def apply_input_range(self, values: Any, update_from_data: bool = False) -> Any:
        """Values within the range; `update_from_data`: which follows them first, during the first batches."""
        if self.input_range is None:
            return values
        if update_from_data:
            self._follow(self._law, values.reshape(-1, values.shape[-1]))
        r = float(self.input_range.abs())
        return values.clamp(-r, r)

    @property
    def _law(self) -> Any:
        return self.rpu_config.pre_post.input_range.to_native()

    @torch.no_grad()
    def _follow(self, law: Any, x: Any) -> None:
        """The first batches of a training set the range."""
        if float(self.input_range_update_idx) >= law.init_from_data:
            return
        r, seen = from_data(law)(
            *(bridge.to_jax(bridge.widened(one)) for one in (x, self.input_range, self.input_range_update_idx))
        )
        # new tensors: an earlier call may still need the old ones for its gradient
        dtype = self.input_range.dtype
        self.input_range.data, self.input_range_update_idx.data = (bridge.copied(one).to(dtype) for one in (r, seen))

    # the scales of outputs

    def get_mapping_scales(self) -> Any:
        """The scale of the mapping, `[1]` or `[O]`; `None`: none."""
        return self.mapping_scales

    def init_mapping_scales(self) -> None:
        """Nothing: scales are made with the chips, and by `set_weights`."""

    def get_learned_out_scales(self) -> Any:
        """The learned scale, `[1]` or `[O]`; `None` where none is learned."""
        return self.out_scaling_alpha

    @torch.no_grad()
    def set_learned_out_scales(self, alpha: Any) -> None:
        """Set the learned scale, if there is one."""
        if self.out_scaling_alpha is not None:
            self.out_scaling_alpha.copy_(torch.as_tensor(alpha).float().reshape(-1).expand_as(self.out_scaling_alpha))

    def get_scales(self) -> Any:
        """All scales together; `None` where there is none."""
        mapped, learned = self.mapping_scales, self.out_scaling_alpha
        if mapped is None or learned is None:
            return learned if mapped is None else mapped
        return mapped * learned.detach()

    def set_scales(self, scales: Any) -> None:
        """Set the scale of the mapping, and the learned one to 1."""
        self.set_mapping_scales(scales)
        self.set_learned_out_scales(1.0)

    def apply_out_scaling(self, values: Any, tensor_view: Any = None) -> Any:
        """Values `[..., O]` times the learned scale."""
        if self.out_scaling_alpha is None:
            return values
        return values * self.out_scaling_alpha.view(*(tensor_view or self.get_tensor_view(values.dim())))

    def get_tensor_view(self, ndim: int, dim: int | None = None) -> tuple[int, ...]:
        """A shape with -1 at `dim` (default: the last) and 1 elsewhere."""
        view = [1] * ndim
        view[ndim - 1 if dim is None else dim] = -1
        return tuple(view)

    # the passes, step by step

    def pre_forward(self, x_input: Any, dim: int, is_test: bool = False, ctx: Any = None) -> Any:
        """Inputs within the range, in units of it."""
        if self.input_range is None:
            return x_input
        return self.apply_input_range(x_input, not is_test) / self.input_range

    def post_forward(self, x_output: Any, dim: int, is_test: bool = False, ctx: Any = None) -> Any:
        """Outputs of the chip with the scales of the range and of the mapping."""
        scale = self._scale_of_range(self._mapping_view(x_output, dim))
        return x_output if scale is None else x_output * scale

    def _scale_of_range(self, mapped: Any) -> Any:
        if self.input_range is None:
            return mapped
        return self.input_range if mapped is None else mapped * self.input_range

    def _mapping_view(self, values: Any, dim: int) -> Any:
        scales = self.mapping_scales
        return None if scales is None else scales.view(self.get_tensor_view(values.dim(), dim))

    def pre_backward(self, d_input: Any, dim: int, ctx: Any = None) -> Any:
        """Errors in units of the chip."""
        scales = self._mapping_view(d_input, dim)
        return d_input if scales is None else d_input * scales

    def post_backward(self, d_output: Any, dim: int, ctx: Any = None) -> Any:
        """Errors as they leave the tile; the range of the inputs gets its gradient."""
        if self.input_range is not None and ctx is not None:
            x = bridge.to_jax(ctx.saved_analog_tensors[0].contiguous())
            unclipped = Call().unclipped(d_output.numel())
            r = self.input_range
            grad = bridge.to_torch(gradient(self._law)(x, bridge.to_jax(d_output), bridge.to_jax(r), unclipped))
            r.grad = grad if r.grad is None else r.grad + grad
        return d_output

    def pre_update(self, x_input: Any, x_dim: int, d_input: Any, d_dim: int) -> tuple[Any, Any]:
        """Inputs and errors as the chip sees them in an update."""
        scales = self._mapping_view(d_input, d_dim)
        x = self.pre_forward(x_input, x_dim, is_test=True)
        return x, d_input if scales is None else d_input / (scales * self.mapping_lr_scale)

    def get_forward_out_bound(self) -> float | None:
        """The output of the chip from which on it counts as clipped; `None`: there is no bound."""
        io = getattr(self.rpu_config, "forward", None)
        return None if io is None or io.out_bound <= 0 else io.out_scale * io.out_bound * 0.999

    # what is around

    def get_runtime(self) -> Any:
        """How the simulation runs."""
        return self.rpu_config.runtime

    def get_data_type(self) -> RPUDataType:
        """The number type of the chips."""
        return RPUDataType.FLOAT

    # patches of a convolution, gathered by the tile

    image_sizes: Any = ()
    analog_ctx: Any
    set_mapping_scales: Any

    def is_indexed(self) -> bool:
        """Whether the tile gathers the patches of a convolution itself, which changes no result."""
        return bool(self.analog_ctx.use_indexed)

    def set_indexed(self, indices: Any, image_sizes: Any) -> None:
        """Take whole images from now on: `indices` say what each column sees of them, for each place of the kernel.

        `image_sizes` are `[C, (D), H, (W), ...]` of the images, and then the sizes of the outputs without channels.
        """
        if not hasattr(self.tile, "set_matrix_indices"):
            raise TileError(f"{type(self.tile).__name__} gathers no patches; only simulator tiles of rpu_base do.")
        if len(image_sizes) not in (3, 5, 7):
            raise TileError(f"image_sizes={list(image_sizes)}: needs 3, 5 or 7 sizes, of an image and its output.")
        self.tile.set_matrix_indices(indices)
        self.image_sizes = tuple(int(size) for size in image_sizes)
        self.analog_ctx.use_indexed = True

    @torch.no_grad()
    def joint_forward_indexed(self, x_input: Any, is_test: bool = False, ctx: Any = None) -> Any:
        """Images `[N, C, ...] -> [N, O, ...]`."""
        x = self.pre_forward(x_input, 1, is_test, ctx)
        out = x.new_empty((len(x), self.out_size, *self.image_sizes[1 + len(self.image_sizes) // 2 :]))
        return self.post_forward(self.tile.forward_indexed(x, out, is_test, self.non_blocking), 1, is_test, ctx)

    def backward_indexed(self, d_input: Any, ctx: Any = None) -> Any:
        """Errors `[N, O, ...]` `->` those of the images `[N, C, ...]`."""
        d = self.pre_backward(d_input, 1, ctx)
        x = d.new_empty((len(d), *self.image_sizes[: 1 + len(self.image_sizes) // 2]))
        return self.post_backward(self.tile.backward_indexed(d, x, self.non_blocking), 1, ctx)

    @torch.no_grad()
    def update_indexed(self, x_input: Any, d_input: Any) -> Any:
        """Change the weights by images and errors."""
        x, d = self.pre_update(x_input, 1, d_input, 1)
        return self.tile.update_indexed(x, d, self.non_blocking)
