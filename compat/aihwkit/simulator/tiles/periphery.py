"""The digital surroundings of the chips of a tile module: range of the inputs, and scales of the outputs."""

from typing import Any

import jax.numpy as jnp

from analogjax.tile import TileArray
from compat import tile_weights
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import ConfigError, TileError
from compat.aihwkit.simulator.parameters.enums import RPUDataType, WeightRemapType
from compat.aihwkit.simulator.tiles.input_range import Call, Enter, Leave, entering, from_data
from compat.torch_package import torch

# aihwkit's names of what is drawn for each output when a chip is made
_FORWARD = {
    "out_noise_values": "out_noise", "v_offset": "v_offset", "w_asymmetry": "read_asymmetry",
    "out_nonlinearity": "out_nonlinearity",
}  # fmt: skip


class TileWithPeriphery:
    """Added to a tile module.

    Attributes:
        input_range: The range of the inputs `[1]`, a parameter or (if it is not learned) a buffer; `None`: none.
        input_range_update_idx: Batches `[1]` that it was taken from so far.
    """

    supports_manage_output_clipping = True
    in_trans = out_trans = False
    non_blocking = False
    rpu_config: Any
    chips: Any
    reading: Any
    training: bool
    out_size: int
    in_size: int
    analog_bias: bool
    out_scaling_alpha: Any
    input_range: Any
    input_range_update_idx: Any
    _unclipped: Any = None

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

    def within_range(self, x: Any) -> Any:
        """`[B, I] -> [B, O]`: what the chips answer, added up, to inputs of which the range takes what is beyond it."""
        if self.input_range is None:
            return self.product(self.with_bias(x))
        law, call = self._law, Call()
        if self.training:
            self._follow(law, x)
        self._unclipped = self.with_bias(x.detach())  # for an update: the range may have moved until then
        y = self.product(self.with_bias(Enter.apply(law, call, x, self.input_range)))
        self._unclipped = None
        if law.manage_output_clipping:
            call.passes = self.reading.passes
        return Leave.apply(y, self.input_range)

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

    @torch.no_grad()
    def entered(self, x: Any) -> Any:
        """`[B, I]` (with the bias column, if analog): what the chips see of inputs, in units of the range."""
        if self.input_range is None:
            return x
        inside = bridge.to_torch(entering(self._law)(bridge.to_jax(x), bridge.to_jax(self.input_range)))
        if self.analog_bias:
            inside[:, -1] = x[:, -1]
        return inside

    def with_bias(self, x: Any) -> Any:
        """`[B, I]` and, where the bias is on the chip, a column of ones."""
        return torch.cat([x, x.new_ones(x.shape[0], 1)], dim=1) if self.analog_bias else x

    def product(self, x: Any) -> Any:
        """`[B, I] -> [B, O]`: what the chips answer, added up, in logical units."""
        raise NotImplementedError

    # the scales of outputs

    @property
    def mapping_scales(self) -> Any:
        """The scale of the mapping, `[1]` or `[O]`, of each chip; `None` where weights are on the chip as they are."""
        mapped = self.rpu_config.mapping.weight_scaling_omega > 0
        remap = getattr(self.rpu_config, "remap", None)
        tile = self.chips.tile
        scale = tile_weights.chip_of(tile).scale
        plain = not mapped and (remap is None or remap.type is WeightRemapType.NONE)
        if plain and bool(jnp.all(scale == 1)):
            return None
        copied = bridge.copied(scale)
        return copied.reshape(1) if copied.ndim == 0 else copied

    def get_mapping_scales(self) -> Any:
        """The same."""
        return self.mapping_scales

    @torch.no_grad()
    def set_mapping_scales(self, mapping_scales: Any) -> None:
        """Set the scale of the mapping, one or one for each output (`None`: 1), and leave what is on the chip."""
        given = torch.ones(1) if mapping_scales is None else torch.as_tensor(mapping_scales).detach().float()
        given = given.reshape(-1)
        if given.numel() not in (1, self.out_size):
            raise TileError(f"{given.numel()} scales for {self.out_size} outputs; give one, or one for each.")
        self.chips.tile = _with_scales(self.chips.tile, jnp.array(given.numpy()))

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

    @property
    def mapping_lr_scale(self) -> float:
        """The factor of the learning rate that makes up for the scale of the mapping."""
        if not self.rpu_config.mapping.weight_scaling_lr_compensation:
            return 1.0
        return 1.0 / float(jnp.mean(tile_weights.chip_of(self.chips.tile).scale))

    # the passes alone

    def joint_forward(self, x_input: Any, is_test: bool = False, ctx: Any = None) -> Any:
        """`[B, I] -> [B, O]`: what the chips answer in training or in test, without learned scale and bias."""
        trains, self.training = self.training, not is_test
        try:
            return self.within_range(x_input)
        finally:
            self.training = trains

    @torch.no_grad()
    def backward(self, d_input: Any, ctx: Any = None) -> Any:
        """`[B, O] -> [B, I]`: the errors as they come back through the chips, for outputs of which none was clipped."""
        chips = self.reading
        d = bridge.to_jax(d_input, "the error")
        return bridge.to_torch(chips.program.backward(chips.leaves, chips.root, chips.next_use(), None, d))

    # what is around

    def read_by(self, p: Any) -> None:
        """Read the chips by another native periphery from now on; what is on them stays."""
        self.chips.read_by(p)

    def get_runtime(self) -> Any:
        """How the simulation runs."""
        return self.rpu_config.runtime

    def get_data_type(self) -> RPUDataType:
        """The number type of the chips."""
        return RPUDataType.FLOAT

    def is_indexed(self) -> bool:
        """Whether the tile gathers the patches of a convolution itself, which changes no result: never here."""
        return False

    def get_forward_parameters(self) -> dict[str, Any]:
        """What was drawn for the outputs when the chips were made, by aihwkit's names (copies)."""
        frozen = tile_weights.chip_of(self.chips.tile).frozen_forward
        return {name: bridge.copied(frozen[ours]) for name, ours in _FORWARD.items() if ours in frozen}

    def get_backward_parameters(self) -> dict[str, Any]:
        """What was drawn for the inputs, which are read when errors come back, by aihwkit's names (copies)."""
        frozen = tile_weights.chip_of(self.chips.tile).frozen_backward
        return {name: bridge.copied(frozen[ours]) for name, ours in _FORWARD.items() if ours in frozen}

    @torch.no_grad()
    def set_forward_parameters(self, dic: Any = None, **kwargs: Any) -> None:
        """Set what `get_forward_parameters` gave. Raises `TileError` for other names or shapes."""
        given, known = kwargs if dic is None else dic, self.get_forward_parameters()
        for name, value in given.items():
            if name not in known or tuple(value.shape) != tuple(known[name].shape):
                shapes = {key: tuple(one.shape) for key, one in known.items()}
                raise TileError(
                    f"set_forward_parameters: {name} {tuple(value.shape)} does not fit; there are {shapes}."
                )
        chip = tile_weights.chip_of(self.chips.tile)
        new = {_FORWARD[name]: jnp.array(value.detach().float().numpy()) for name, value in given.items()}
        self.chips.tile = tile_weights.with_chip(self.chips.tile, frozen_forward={**chip.frozen_forward, **new})


def _with_scales(tile: Any, scales: Any) -> Any:
    """The tile, or array of tiles, with the output scales `[1]` or `[O]`."""
    old = tile_weights.chip_of(tile).scale
    each = scales.shape[0] > 1 or old.ndim > (2 if isinstance(tile, TileArray) else 0)
    if not isinstance(tile, TileArray):
        new = jnp.broadcast_to(scales, (tile.shape[0],)) if each else scales[0]
    elif each:
        new = tile._along_rows(jnp.broadcast_to(scales, (tile.outputs,))[None])[:, :, 0]
    else:
        new = jnp.broadcast_to(scales[0], old.shape)
    return tile_weights.with_chip(tile, scale=new)
