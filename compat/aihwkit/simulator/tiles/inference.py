"""Tile modules of chips that are trained in torch, programmed once, and then drift.

The trained weights are an ordinary parameter, and stay what they are; what a programmed and drifted chip answers with
is kept in addition, and read in evaluation mode until the weights change. Going back to training forgets it.
"""

import copy
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp

from compat import tile_weights
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import ConfigError, TileError, TileModuleError
from compat.aihwkit.optim.context import rests_with
from compat.aihwkit.simulator.parameters.enums import WeightRemapType
from compat.aihwkit.simulator.tiles.analog import AnalogTile
from compat.aihwkit.simulator.tiles.array import TileModuleArray
from compat.aihwkit.simulator.tiles.inference_step import step, with_scale_of_each_output
from compat.aihwkit.simulator.tiles.module import CompiledTile
from compat.aihwkit.simulator.tiles.programming import programmed, restored
from compat.aihwkit.simulator.tiles.protocol import refuse_own_update
from compat.aihwkit.simulator.tiles.saved import key_of, saved_key
from compat.aihwkit.simulator.tiles.tile_module import STATE
from compat.torch_package import torch

_WEIGHT = "shared_weights"
_HELD = "state.w"  # the name of the weights among the arrays of a tile


class DenseGradient(torch.autograd.Function):
    """The product of chips `[B, I] -> [B, O]`; going back, the weights get the exact gradient `d^T x`."""

    @staticmethod
    def forward(ctx: Any, trained: Any, reading: Any, leaves: Any, x: Any, weight: Any) -> Any:
        n = reading.next_use()
        y, ctx.passes = reading.program.forward(leaves, reading.root, n, bridge.lent(x))
        reading.passes = ctx.passes
        ctx.save_for_backward(x)
        ctx.trained, ctx.program, ctx.use = trained, reading.program, (leaves, reading.root, n)
        return bridge.to_torch(y)

    @staticmethod
    @bridge.once_differentiable
    def backward(ctx: Any, d: Any) -> Any:
        (x,) = ctx.saved_tensors
        error, dx, dw = bridge.lent(d, "the gradient"), None, None
        if ctx.needs_input_grad[3]:
            dx = bridge.to_torch(ctx.program.backward(*ctx.use, ctx.passes, error))
        if ctx.needs_input_grad[4]:
            dw = bridge.to_torch(ctx.trained.dense(bridge.lent(x), error))
        return None, None, None, dx, dw


@dataclass
class Written:
    """Chips after programming, and what was to be written to them."""

    chips: Any
    weights: Any  # the trained ones, as they were then
    writes: int
    shown: Any  # the `bridge.Chips` that answer
    target: Any


@dataclass
class Disturbed:
    """A disturbed copy of the weights `[O, I]`, in units of the device, and when it was drawn."""

    weights: Any
    writes: int


class InferenceTileWithPeriphery:
    """What is added to a tile module. Keys are those of the tile's other uses, so one seed decides everything."""

    rpu_config: Any
    shared_weights: Any
    training: bool
    supports_ddp = True
    _written: Written | None = None
    _disturbed: Disturbed | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._aware()  # what is wrong with it is said now
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
        if self.rpu_config.remap.type is not WeightRemapType.NONE:
            chips.widen = with_scale_of_each_output
            chips.tile = chips.tile
        self._chips = chips

    @property
    def reading(self) -> bridge.Chips:
        """The chips that answer: in evaluation mode the programmed or drifted ones, if the weights are still theirs."""
        written = None if self.training else self._still_written()
        return self.chips if written is None else written.shown

    @property
    def _has_own_step(self) -> bool:
        return not getattr(type(self).post_update_step, "__module__", "").startswith("compat.")

    def _still_written(self) -> Written | None:
        written = self._written
        # values are compared, since torch does not count writes through `.data`; scales change by `writes` only
        if written is not None and not (
            written.writes == self._chips.writes
            and torch.equal(written.weights.to(self.shared_weights.dtype), self.shared_weights)
        ):
            self._written = None
        return self._written

    def product(self, x: Any) -> Any:
        """`[B, I] -> [B, O]`: what the chips answer, added up, in logical units."""
        chips, reading = self.chips, self.reading
        held = self._held_disturbed() if reading is chips else None
        leaves = reading.leaves if held is None else chips.holding(held)
        return DenseGradient.apply(chips, reading, leaves, x, self.shared_weights)

    def _held_disturbed(self) -> Any:
        """The disturbed copy of the weights that answers instead of them, `[O, I]` in units of the device, if any."""
        return self._held_copy() if self.training or self.rpu_config.modifier.enable_during_test else None

    def _held_copy(self) -> Any:
        drawn = self._disturbed
        if drawn is not None and drawn.writes != self._chips.writes:  # the copy is of weights that were there before
            self._disturbed = drawn = None
        return None if drawn is None else drawn.weights

    def _aware(self) -> tuple[Any, Any, Any]:
        """What a step does to the weights: clip, remap and modifier, each native or `None`."""
        config = self.rpu_config
        return config.clip.to_native(), config.remap.to_native(), config.modifier.to_native()

    @torch.no_grad()
    def post_update_step(self) -> None:
        """Diffusion and decay, clip, remap, and a new disturbed copy of the weights."""
        super().post_update_step()  # type: ignore[misc]
        clip, remap, modifier = self._aware()
        self.settle(clip, remap)
        if modifier is not None:
            chips = self.chips
            drawn = step(chips.structure, None, None, modifier).disturb(chips.leaves, chips.root, chips.next_use())
            self._disturbed = Disturbed(bridge.copied(drawn), chips.writes)

    @torch.no_grad()
    def settle(self, clip: Any, remap: Any) -> None:
        """Clip and remap the weights of each chip, natively; `None`: not."""
        if clip is None and remap is None:
            return
        chips, alpha = self.chips, self.out_scaling_alpha if remap is not None else None  # type: ignore[attr-defined]
        act = step(chips.structure, clip, remap, None).settle
        learned = None if alpha is None else bridge.lent(bridge.widened(alpha))
        chips.leaves = act(chips.leaves, learned)
        if alpha is not None:
            alpha.fill_(1.0)

    def train(self, mode: bool = True) -> Any:
        """To training mode, which forgets what was programmed, or to evaluation mode."""
        if mode:
            self._written = None
        return super().train(mode)  # type: ignore[misc]

    def forward(self, x_input: Any, tensor_view: Any = None) -> Any:
        """As any tile's."""
        if self.training and (self._chips.needs_rest or self.rpu_config.steps_aware or self._has_own_step):
            rests_with(self.shared_weights, self)
        return super().forward(x_input, tensor_view)  # type: ignore[misc]

    @torch.no_grad()
    def program_weights(self, from_reference: bool = True, noise_model: Any = None) -> None:
        """Write the trained weights to a fresh chip, with the noise of the configuration's model.

        `noise_model` replaces that of the configuration, for good. Without `from_reference` the target is what the chip
        returns now, with drift. In training mode, what is on the chip then is what is trained from there on.
        """
        if noise_model is not None:
            self._replace_noise_model(noise_model)
        target = self.chips.tile
        if not from_reference:
            seen = self.reading
            target = tile_weights.put_in(target, seen.program.raw(seen.leaves))
        chips, wanted = programmed(target, self.rpu_config, self._key()), bridge.copied(tile_weights.raw(target))
        if self.training:
            self.shared_weights.copy_(bridge.copied(tile_weights.raw(chips.tile)))
        self._show(chips, bridge.Chips(chips.tile, self._key()), wanted)

    def read_by(self, p: Any) -> None:
        """Read the chips by another native periphery from now on, programmed ones too; what is on them stays."""
        super().read_by(p)  # type: ignore[misc]
        if (written := self._written) is not None:
            written.shown.read_by(p)
            written.chips.read_by(p)

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
        self._show(chips, bridge.Chips(tile, self._key()), self._written.target)

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

    @property
    def alpha(self) -> Any:
        """The factors of drift compensation, `[]` or `[O]`; `[1]`, a 1, where nothing has drifted."""
        written = self._still_written()
        return torch.ones(1) if written is None else bridge.copied(written.shown.tile.scale / self._chips.tile.scale)

    @property
    def reference_combined_weights(self) -> Any:
        """What was to be written to the chips, `[O, I]` in units of the device; `None` before anything was."""
        written = self._still_written()
        return None if written is None else written.target.clone()

    @property
    def programmed_weights(self) -> Any:
        """What was written to the chips, `[O, I]` in units of the device; `None` before anything was."""
        written = self._still_written()
        return None if written is None else bridge.copied(tile_weights.raw(written.chips.tile))

    @property
    def drift_baseline(self) -> Any:
        """What the compensation read right after programming; `None` where nothing was read."""
        written = self._still_written()
        return None if written is None else written.chips.baseline

    @property
    def drift_noise_parameters(self) -> Any:
        """What was drawn for the drift of each device; `None` before anything was programmed."""
        written = self._still_written()
        return None if written is None else written.chips.exponents

    @property
    def drift_readout_tensor(self) -> Any:
        """The inputs that a compensation asks a chip with; `None` without one."""
        compensation = self.rpu_config.drift_compensation
        return None if compensation is None else compensation.get_readout_tensor(self._chips.tile.shape[1])

    def _key(self) -> Any:
        return jax.random.fold_in(self.chips.root, self.chips.next_use())

    def _show(self, chips: Any, shown: bridge.Chips, target: Any) -> None:
        self._written = Written(chips, self.shared_weights.detach().clone(), self._chips.writes, shown, target)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)  # type: ignore[misc]
        state = destination[prefix + STATE]
        state["arrays"].pop(_HELD)
        state["analog_tile_weights"] = self.shared_weights.detach()  # the same memory: it is saved once
        if (held := self._held_copy()) is not None:
            state["disturbed"] = held.clone()
        written = self._still_written()
        if written is not None:
            shown = written.shown
            state["programmed"] = written.chips.saved() | {
                "target": written.target,
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
        if len(error_msgs) > errors or (given is None and state is not None):
            return
        if prefix + _WEIGHT in missing_keys:  # a state dict from before there was such a parameter
            missing_keys.remove(prefix + _WEIGHT)
        self._written, held = None, given.get("disturbed") if isinstance(given, dict) else None
        self._disturbed = None if held is None else Disturbed(held.clone(), self._chips.writes)
        if isinstance(given, dict) and "programmed" in given:
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
        scale = jax.ShapeDtypeStruct(tuple(state["answers"]["scale"].shape), jnp.float32)
        answers = bridge.filled(replace(tile, scale=scale), state["answers"], "the programmed chip")
        target = state.get("target", self.shared_weights)  # which are the same, but for programming while training
        shown = bridge.Chips(answers, key_of(state["answers_key"]), state["answers_uses"])
        self._show(chips, shown, target.detach().clone())


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
    return {**state, "arrays": {**state["arrays"], _HELD: bridge.copied(tile.state.w)}}


class InferenceTile(InferenceTileWithPeriphery, AnalogTile):  # type: ignore[misc]
    """A chip that is programmed once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        refuse_own_update(self, CompiledTile.update)
        super().__init__(*args, **kwargs)


InferenceTileArray = TileModuleArray  # its name in configurations that compat 0.1.0 saved
