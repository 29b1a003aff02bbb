"""What compiled chips add to the digital surroundings of any tile: scales are native, passes are compiled."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from analogjax.tile import Tile
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import ArgumentError, TileError
from compat.aihwkit.simulator.parameters.enums import WeightRemapType
from compat.aihwkit.simulator.tiles import extra
from compat.aihwkit.simulator.tiles.input_range import Call, Enter, Leave, entering
from compat.aihwkit.simulator.tiles.periphery import TileWithPeriphery
from compat.torch_package import torch


class ChipsWithPeriphery(TileWithPeriphery):
    """Added to a tile module whose chips are compiled."""

    chips: Any
    reading: Any
    _unclipped: Any = None

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

    @property
    def mapping_scales(self) -> Any:
        """The scale of the mapping, `[1]` or `[O]`; `None` where weights are on the chip as they are."""
        mapped = self.rpu_config.mapping.weight_scaling_omega > 0
        remap = getattr(self.rpu_config, "remap", None)
        tile = self.chips.tile
        scale = tile.scale
        plain = not mapped and (remap is None or remap.type is WeightRemapType.NONE)
        if plain and bool(jnp.all(scale == 1)):
            return None
        copied = bridge.copied(scale)
        return copied.reshape(1) if copied.ndim == 0 else copied

    @torch.no_grad()
    def set_mapping_scales(self, mapping_scales: Any) -> None:
        """Set the scale of the mapping, one or one for each output (`None`: 1), and leave what is on the chip."""
        given = torch.ones(1) if mapping_scales is None else torch.as_tensor(mapping_scales).detach().float()
        given = given.reshape(-1)
        if given.numel() not in (1, self.out_size):
            raise TileError(f"{given.numel()} scales for {self.out_size} outputs; give one, or one for each.")
        self.chips.tile = _with_scales(self.chips.tile, jnp.array(given.numpy()))

    @property
    def mapping_lr_scale(self) -> float:  # type: ignore[override]
        """The factor of the learning rate that makes up for the scale of the mapping."""
        if not self.rpu_config.mapping.weight_scaling_lr_compensation:
            return 1.0
        return 1.0 / float(jnp.mean(self.chips.tile.scale))

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
        """`[..., O] -> [..., I]`: the errors as they come back, for outputs of which none was clipped."""
        chips, d = self.reading, d_input.reshape(-1, self.out_size)
        x = chips.program.backward(chips.leaves, chips.root, chips.next_use(), None, bridge.to_jax(d, "the error"))
        found = bridge.to_torch(x)
        return (found[:, :-1] if self.analog_bias else found).reshape(*d_input.shape[:-1], self.in_size)

    # what is around

    def read_by(self, p: Any) -> None:
        """Read the chips by another native periphery from now on; what is on them stays."""
        self.chips.read_by(p)

    def get_forward_parameters(self) -> dict[str, Any]:
        """What was drawn for the outputs when the chips were made, by aihwkit's names (copies)."""
        return self._drawn("frozen_forward")

    def get_backward_parameters(self) -> dict[str, Any]:
        """What was drawn for the inputs, which are read when errors come back, by aihwkit's names (copies)."""
        return self._drawn("frozen_backward")

    def _drawn(self, part: str) -> dict[str, Any]:
        frozen = getattr(self.chips.tile, part)
        return {name: bridge.copied(frozen[ours]) for name, ours in extra.FROZEN.items() if ours in frozen}

    def set_forward_parameters(self, dic: Any = None, **kwargs: Any) -> None:
        """Set what `get_forward_parameters` gave. Raises `ArgumentError` for other names or shapes."""
        self._set_drawn("frozen_forward", kwargs if dic is None else dic)

    def set_backward_parameters(self, dic: Any = None, **kwargs: Any) -> None:
        """Set what `get_backward_parameters` gave. Raises `ArgumentError` for other names or shapes."""
        self._set_drawn("frozen_backward", kwargs if dic is None else dic)

    @torch.no_grad()
    def _set_drawn(self, part: str, given: Any) -> None:
        known = self._drawn(part)
        for name, value in given.items():
            if name not in known or tuple(value.shape) != tuple(known[name].shape):
                shapes = {key: tuple(one.shape) for key, one in known.items()}
                raise ArgumentError(f"{part}: {name} {tuple(value.shape)} does not fit; there are {shapes}.")
        new = {extra.FROZEN[name]: jnp.array(value.detach().float().numpy()) for name, value in given.items()}
        frozen = {**getattr(self.chips.tile, part), **new}
        self.chips.tile = replace(self.chips.tile, **{part: frozen})


def _with_scales(tile: Tile, scales: Any) -> Tile:
    """The tile with the output scales `[1]` or `[O]`."""
    each = scales.shape[0] > 1 or tile.scale.ndim > 0
    return replace(tile, scale=jnp.broadcast_to(scales, (tile.shape[0],)) if each else scales[0])
