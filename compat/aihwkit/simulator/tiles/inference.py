"""Tile modules of chips that are trained in torch, programmed once, and then drift.

The trained weights are an ordinary parameter, and stay what they are; what a programmed and drifted chip answers with
is kept in addition, and read in evaluation mode until the weights change. Going back to training forgets it.
"""

import copy
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from compat import tile_weights
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import ConfigError, TileError, TileModuleError
from compat.aihwkit.optim.context import rests_with
from compat.aihwkit.simulator.tiles.analog import AnalogTile
from compat.aihwkit.simulator.tiles.array import TileModuleArray
from compat.aihwkit.simulator.tiles.module import STATE, TileModule
from compat.aihwkit.simulator.tiles.programming import programmed, restored
from compat.aihwkit.simulator.tiles.protocol import refuse_own_update
from compat.aihwkit.simulator.tiles.saved import key_of, saved_key
from compat.torch_package import torch

_WEIGHT = "shared_weights"


class DenseGradient(torch.autograd.Function):
    """The product of chips `[B, I] -> [B, O]`; going back, the weights get the exact gradient `d^T x`."""

    @staticmethod
    def forward(ctx: Any, trained: Any, reading: Any, x: Any, weight: Any) -> Any:
        n, leaves = reading.next_use(), reading.leaves
        y, ctx.passes = reading.program.forward(leaves, reading.root, n, bridge.to_jax(x))
        ctx.save_for_backward(x)
        ctx.trained, ctx.program, ctx.use = trained, reading.program, (leaves, reading.root, n)
        return bridge.to_torch(y)

    @staticmethod
    @bridge.once_differentiable
    def backward(ctx: Any, d: Any) -> Any:
        (x,) = ctx.saved_tensors
        error, dx, dw = bridge.to_jax(d, "the gradient"), None, None
        if ctx.needs_input_grad[2]:
            dx = bridge.to_torch(ctx.program.backward(*ctx.use, ctx.passes, error))
        if ctx.needs_input_grad[3]:
            dw = bridge.to_torch(ctx.trained.dense(bridge.to_jax(x), error))
        return None, None, dx, dw


@dataclass
class Written:
    """Chips after programming, and what was to be written to them."""

    chips: Any
    weights: Any
    writes: int
    shown: Any  # the `bridge.Chips` that answer


class Programmable:
    """What is added to a tile module. Keys are those of the tile's other uses, so one seed decides everything."""

    rpu_config: Any
    training: bool
    _written: Written | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # the weights are a parameter of their own: the context stands for nothing that an optimizer has to know
        self.__dict__["analog_ctx"] = self._parameters.pop("analog_ctx")  # type: ignore[attr-defined]
        self.analog_ctx.use_torch_update = True  # type: ignore[attr-defined]
        chips = self._chips
        self.shared_weights = torch.nn.Parameter(bridge.copied(chips.program.raw(chips.leaves)))

    @property
    def chips(self) -> bridge.Chips:
        """The chips, which hold `shared_weights`."""
        self._chips.weight = getattr(self, _WEIGHT, None)
        return self._chips

    @chips.setter
    def chips(self, chips: bridge.Chips) -> None:
        self._chips = chips

    @property
    def reading(self) -> bridge.Chips:
        """The chips that answer: in evaluation mode the programmed or drifted ones, if the weights are still theirs."""
        written = None if self.training else self._still_written()
        return self.chips if written is None else written.shown

    def _still_written(self) -> Written | None:
        written = self._written
        # values are compared, since torch does not count writes through `.data`; scales change by `writes` only
        if written is not None and not (
            written.writes == self._chips.writes and torch.equal(written.weights, self.shared_weights)
        ):
            self._written = None
        return self._written

    def product(self, x: Any) -> Any:
        """`[B, I] -> [B, O]`: what the chips answer, added up, in logical units."""
        return DenseGradient.apply(self.chips, self.reading, x, self.shared_weights)

    def train(self, mode: bool = True) -> Any:
        """To training mode, which forgets what was programmed, or to evaluation mode."""
        if mode:
            self._written = None
        return super().train(mode)  # type: ignore[misc]

    def forward(self, x_input: Any, tensor_view: Any = None) -> Any:
        """As any tile's. Raises `TileError` where hardware-aware training would change the weights first."""
        modifier = self.rpu_config.modifier
        if self.rpu_config.trains_aware and (self.training or modifier.enable_during_test):
            raise TileError(
                "Hardware-aware training (modifier, clip or remap of the configuration) is not simulated by this "
                "version of analogjax. Leave their type at NONE, or read the model in evaluation mode: model.eval()."
            )
        if self.training and self._chips.needs_rest:
            rests_with(self.shared_weights, self)
        return super().forward(x_input, tensor_view)  # type: ignore[misc]

    @torch.no_grad()
    def program_weights(self, from_reference: bool = True, noise_model: Any = None) -> None:
        """Write the trained weights to a fresh chip, with the noise of the configuration's model.

        `noise_model` replaces that of the configuration, for good. Without `from_reference` the target is what the chip
        returns now, with drift.
        """
        if self.training:
            raise TileError("Weights are programmed in evaluation mode only: call model.eval() first.")
        if noise_model is not None:
            self._replace_noise_model(noise_model)
        target = self.chips.tile
        if not from_reference:
            seen = self.reading
            target = tile_weights.put_in(target, seen.program.raw(seen.leaves))
        chips = programmed(target, self.rpu_config, self._key())
        self._show(chips, bridge.Chips(chips.tile, self._key()))

    def _replace_noise_model(self, noise_model: Any) -> None:
        if not callable(getattr(noise_model, "apply_programming_noise", None)):
            raise ConfigError(f"noise_model={noise_model!r} is no noise model, such as PCMLikeNoiseModel().")
        # the configuration may be that of other layers too
        self.rpu_config = copy.copy(self.rpu_config)
        self.rpu_config.noise_model = noise_model

    @torch.no_grad()
    def drift_weights(self, t_inference: float = 0.0) -> None:
        """What was programmed, `t_inference` seconds later; programs first what is not on the chip yet."""
        if self.training:
            raise TileError("Weights drift in evaluation mode only: call model.eval() first.")
        if self._still_written() is None:
            self.program_weights()
        assert self._written is not None
        chips = self._written.chips
        tile = chips.drifted(self.rpu_config, float(t_inference), self._key())
        self._show(chips, bridge.Chips(tile, self._key()))

    @torch.no_grad()
    def remap_weights(self, weight_scaling_omega: float = 1.0) -> None:
        """Write the weights to the chip again, the largest of each output (or of the matrix) as
        `weight_scaling_omega`.
        """
        self.rpu_config.mapping.weight_scaling_omega = float(weight_scaling_omega)
        weight, bias = self.get_weights()  # type: ignore[attr-defined]
        self.chips = self._made(self.rpu_config.to_native(self.in_size), 0)  # type: ignore[attr-defined]
        self.set_weights(weight, bias)  # type: ignore[attr-defined]
        self._written = None

    def _key(self) -> Any:
        return jax.random.fold_in(self.chips.root, self.chips.next_use())

    def _show(self, chips: Any, shown: bridge.Chips) -> None:
        self._written = Written(chips, self.shared_weights.detach().clone(), self._chips.writes, shown)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)  # type: ignore[misc]
        state = destination[prefix + STATE]
        state["arrays"].pop(_held(state["arrays"]))  # they are in `shared_weights`
        written = self._still_written()
        if written is not None:
            shown = written.shown
            state["programmed"] = written.chips.saved() | {
                "answers": bridge.named(shown.tile), "answers_key": saved_key(shown.root), "answers_uses": shown.uses,
            }  # fmt: skip

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, local_metadata: Any, strict: bool, missing_keys: list,
        unexpected_keys: list, error_msgs: list,
    ) -> None:  # fmt: skip
        state, errors = state_dict.get(prefix + STATE), len(error_msgs)
        given = _given(self, state, state_dict.get(prefix + _WEIGHT))
        super()._load_from_state_dict(  # type: ignore[misc]
            state_dict if given is None else {**state_dict, prefix + STATE: given}, prefix, local_metadata, strict,
            missing_keys, unexpected_keys, error_msgs,
        )  # fmt: skip
        if given is None or len(error_msgs) > errors:
            return
        if prefix + _WEIGHT in missing_keys:  # a state dict from before there was such a parameter
            missing_keys.remove(prefix + _WEIGHT)
        self._written = None
        if "programmed" in given:
            try:
                self._take_back(given["programmed"])
            except TileModuleError as error:
                error_msgs.append(f"{prefix + STATE}: {error}")

    @torch.no_grad()
    def _take_back(self, state: dict[str, Any]) -> None:
        """The programmed chip of a state dict."""
        tile = self.chips.tile
        chips = restored(tile, self.rpu_config, state)
        # a compensation may have given each output a scale of its own
        name = next(name for name in state["answers"] if name.endswith("scale"))
        scale = jax.ShapeDtypeStruct(tuple(state["answers"][name].shape), jnp.float32)
        answers = bridge.filled(tile_weights.with_chip(tile, scale=scale), state["answers"], "the programmed chip")
        self._show(chips, bridge.Chips(answers, key_of(state["answers_key"]), state["answers_uses"]))


def _held(arrays: dict[str, Any]) -> str:
    """The name of the weights among the arrays of a tile."""
    return next(name for name in arrays if name.endswith("state.w"))


def _given(module: Any, state: Any, weight: Any) -> Any:
    """The state of a tile with the weights of `shared_weights` among its arrays, where both are given and fit."""
    fits = isinstance(state, dict) and "arrays" in state
    if not fits or weight is None:
        return state
    if weight.shape != module.shared_weights.shape:
        return None  # torch says so
    # a copy: loading may make the given tensor the parameter itself
    w = jnp.array(weight.detach().float().cpu().numpy())
    tile = tile_weights.put_in(module.chips.tile, w)
    held = bridge.named(tile)
    return {**state, "arrays": {**state["arrays"], _held(held): held[_held(held)]}}


class InferenceTile(Programmable, AnalogTile):
    """Chips that are programmed once: one chip."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        refuse_own_update(self, TileModule.update)
        super().__init__(*args, **kwargs)


class InferenceTileArray(Programmable, TileModuleArray):
    """Chips that are programmed once: a matrix on several of them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        refuse_own_update(self, TileModule.update)
        super().__init__(*args, **kwargs)
