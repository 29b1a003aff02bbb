"""What is on a chip once it is programmed, and how it drifts.

`Compiled` is for materials and compensations whose methods are ours. Where a user has methods of their own, `Own` calls
them, as aihwkit does: with torch tensors, in units of the device.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analogjax._typing import Array, Key
from analogjax.tile import drift, program
from compat import tile_weights
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import ConfigError, TileModuleError
from compat.overrides import is_plain
from compat.torch_package import torch


def programmed(tile: Any, rpu_config: Any, key: Key) -> "Compiled | Own":
    """The chip of `tile`, programmed with the noise model of `rpu_config`. Consumes `key`."""
    if is_compiled(rpu_config):
        return Compiled(program(tile, *native_parts(rpu_config), key))
    own = Own(rpu_config, Chip.of(tile, rpu_config))
    own.program(tile, key)
    return own


def is_compiled(rpu_config: Any) -> bool:
    """Whether noise model, converter and compensation all have a compiled form."""
    model, compensation = rpu_config.noise_model, rpu_config.drift_compensation
    parts = [model, getattr(model, "g_converter", None)] + ([] if compensation is None else [compensation])
    return all(is_plain(part) for part in parts)


@dataclass
class Compiled:
    """Chips that one compiled function has programmed."""

    chips: Any

    @property
    def tile(self) -> Any:
        """The tile right after programming."""
        return self.chips.tile

    @property
    def baseline(self) -> Any:
        """What the compensation read, of each chip; `None` without one."""
        return None if self.chips.baseline is None else bridge.copied(self.chips.baseline)

    @property
    def exponents(self) -> Any:
        """What was drawn for the drift, one tensor for each conductance of a weight; `None` of materials without it."""
        memory = self.chips.programmed.memory
        if memory is None:
            return None
        nu = bridge.copied(memory)
        return list(nu.unbind(nu.ndim - 3))

    def read_by(self, p: Any) -> None:
        """Read the chips by another periphery from now on."""
        self.chips = replace(self.chips, tile=tile_weights.read_by(self.chips.tile, p))

    def drifted(self, rpu_config: Any, t: float, key: Key) -> Any:
        """The tile `t` seconds later, by the models of today. Consumes `key`."""
        if not is_compiled(rpu_config):
            raise _program_anew("a noise model, converter or compensation had no methods of its own")
        rpu_config.noise_model._check_time(t)
        model, compensation = native_parts(rpu_config)
        if compensation is not None and self.chips.baseline is None:
            raise _program_anew("there was no compensation, which needs a baseline,")
        return drift(replace(self.chips, noise_model=model, compensation=compensation), t, key)

    def saved(self) -> dict[str, Any]:
        """Plain tensors for a state dict."""
        return {"kind": "compiled", "arrays": bridge.named(self.chips)}

    @classmethod
    def restored(cls, tile: Any, rpu_config: Any, state: dict[str, Any]) -> "Compiled":
        """What was `saved` from a chip like `tile`. Raises `TileModuleError`."""
        parts = native_parts(rpu_config)
        shape = jax.eval_shape(lambda tile, key: program(tile, *parts, key), tile, bridge.random.key(0))
        return cls(bridge.filled(shape, state["arrays"], "the programmed chip"))


@dataclass(eq=False)
class Chip:
    """A chip as methods of users see it: what aihwkit's tiles show of it, by the same names."""

    rpu_config: Any
    reference_combined_weights: Any
    programmed_weights: Any = None
    drift_noise_parameters: Any = None
    drift_baseline: Any = None
    drift_readout_tensor: Any = None
    alpha: Any = field(default_factory=lambda: torch.ones(1))
    answers: Callable | None = None  # `[N, I] -> [N, O]`, while the chip is asked

    @classmethod
    def of(cls, tile: Any, rpu_config: Any) -> "Chip":
        """The chip of a tile, which is to hold what it holds."""
        return cls(rpu_config, torch.from_numpy(np.array(tile_weights.raw(tile))))

    @property
    def out_size(self) -> int:
        """Rows."""
        return int(self.reference_combined_weights.shape[0])

    @property
    def in_size(self) -> int:
        """Columns, with that of an analog bias."""
        return int(self.reference_combined_weights.shape[1])

    @property
    def tile(self) -> "Chip":
        """The simulator of the chip, which is not apart from it here."""
        return self

    def get_x_size(self) -> int:
        """Columns."""
        return self.in_size

    def get_d_size(self) -> int:
        """Rows."""
        return self.out_size

    def get_weights(self) -> Any:
        """What is programmed, or is to be."""
        return self.reference_combined_weights if self.programmed_weights is None else self.programmed_weights

    def _forward_drift_readout_tensor(self, reset_if: bool = False, exact_reference: bool = False) -> Any:
        """The answers to the readout tensor of the compensation; `exact_reference`: those of what was to be written."""
        if self.drift_readout_tensor is None or reset_if:
            self.drift_readout_tensor = self.rpu_config.drift_compensation.get_readout_tensor(self.in_size).detach()
        if exact_reference:
            return self.drift_readout_tensor @ self.reference_combined_weights.T
        assert self.answers is not None
        return self.answers(self.drift_readout_tensor)


@dataclass
class Own:
    """A chip that methods of users have programmed."""

    rpu_config: Any
    chip: Chip
    tile: Any = None  # right after programming

    @torch.no_grad()
    def program(self, tile: Any, key: Key) -> None:
        """Write what the chip is to hold, and read the baseline. Consumes `key`."""
        model, compensation, chip = self.rpu_config.noise_model, self.rpu_config.drift_compensation, self.chip
        w, chip.drift_noise_parameters = model.apply_programming_noise(chip.reference_combined_weights.clone())
        chip.programmed_weights = _checked(w, chip, f"{type(model).__name__}.apply_programming_noise()")
        self.tile = _holding(tile, chip.programmed_weights)
        if compensation is not None:
            with _asked(self.tile, chip, key):
                chip.drift_baseline = compensation.init_baseline(chip)

    @property
    def baseline(self) -> Any:
        """What the compensation read; `None` without one."""
        return self.chip.drift_baseline

    @property
    def exponents(self) -> Any:
        """What the noise model drew for the drift."""
        return self.chip.drift_noise_parameters

    def read_by(self, p: Any) -> None:
        """Read the chip by another periphery from now on."""
        self.tile = tile_weights.read_by(self.tile, p)

    @torch.no_grad()
    def drifted(self, rpu_config: Any, t: float, key: Key) -> Any:
        """The tile `t` seconds later, by the models of today. Consumes `key`."""
        self.rpu_config = rpu_config
        if not t >= 0:
            raise ConfigError(f"drift_weights({t!r}): needs a time in seconds after programming, 0 or more.")
        model, compensation, chip = rpu_config.noise_model, rpu_config.drift_compensation, self.chip
        if compensation is not None and chip.drift_baseline is None:
            raise _program_anew("there was no compensation, which needs a baseline,")
        w = model.apply_drift_noise(chip.programmed_weights.clone(), chip.drift_noise_parameters, t)
        tile = _holding(self.tile, _checked(w, chip, f"{type(model).__name__}.apply_drift_noise()"))
        if compensation is None:
            return tile
        with _asked(tile, chip, key):
            answers = chip._forward_drift_readout_tensor()
        chip.alpha = torch.as_tensor(compensation.apply(answers, chip.drift_baseline)).detach().float()
        return replace(tile, scale=tile.scale * _factor(chip, compensation))

    def saved(self) -> dict[str, Any]:
        """Tensors, and whatever the methods have drawn, for a state dict."""
        kept = ("programmed_weights", "drift_noise_parameters", "drift_baseline", "drift_readout_tensor", "alpha")
        return {"kind": "own", "chips": [{name: getattr(self.chip, name) for name in kept}]}

    @classmethod
    def restored(cls, tile: Any, rpu_config: Any, state: dict[str, Any]) -> "Own":
        """What was `saved` from a chip like `tile`. Raises `TileModuleError`."""
        if len(state["chips"]) != 1:
            raise TileModuleError(f"the checkpoint has {len(state['chips'])} programmed chips, the tile one.")
        own = cls(rpu_config, Chip.of(tile, rpu_config))
        for name, value in state["chips"][0].items():
            setattr(own.chip, name, value)
        own.tile = _holding(tile, own.chip.programmed_weights)
        return own


def restored(tile: Any, rpu_config: Any, state: dict[str, Any]) -> Compiled | Own:
    """What either kind has `saved`. Raises `TileModuleError` where the noise model is of the other kind."""
    kind = Compiled if is_compiled(rpu_config) else Own
    if state["kind"] != kind.__name__.lower():
        raise TileModuleError(
            "its chip was programmed by a noise model, converter or compensation with methods of its own, and those of "
            "the model have none, or the other way round. Make the model with the configuration it was saved with."
        )
    return kind.restored(tile, rpu_config, state)


def native_parts(rpu_config: Any) -> tuple[Any, Any]:
    """The native noise model and compensation (or `None`) of a configuration. Raises `ConfigError`."""
    compensation = rpu_config.drift_compensation
    return rpu_config.noise_model.to_native(), None if compensation is None else compensation.to_native()


def _program_anew(what: str) -> ConfigError:
    return ConfigError(f"drift_weights: {what} when the chip was programmed; program it anew: program_weights().")


@contextmanager
def _asked(tile: Any, chip: Chip, key: Key) -> Iterator[None]:
    """While the chip can be asked with `[N, I]`, before its scales."""
    unscaled = replace(tile, scale=jnp.ones(()))

    def ask(x: Any) -> Any:
        given: Array = jnp.asarray(x.detach().numpy())
        if given.ndim != 2 or given.shape[1] != chip.in_size:
            raise ConfigError(f"a readout tensor of shape {given.shape} for a chip of {chip.in_size} inputs.")
        return bridge.copied(unscaled.forward(given, key)[0])

    chip.answers = ask
    try:
        yield
    finally:
        chip.answers = None


def _holding(tile: Any, w: Any) -> Any:
    return tile_weights.put_in(tile, jnp.array(w.numpy()))


def _checked(w: Any, chip: Chip, what: str) -> Any:
    wanted = tuple(chip.reference_combined_weights.shape)
    if not isinstance(w, torch.Tensor) or tuple(w.shape) != wanted:
        given = tuple(w.shape) if isinstance(w, torch.Tensor) else type(w).__name__
        raise ConfigError(f"{what} gave {given}; it must give a tensor of weights of shape {wanted}.")
    return w.detach().float()


def _factor(chip: Chip, compensation: Any) -> Any:
    """The factor of a chip: a number, or one for each output."""
    if chip.alpha.numel() not in (1, chip.out_size):
        raise ConfigError(
            f"{type(compensation).__name__}.apply() gave {chip.alpha.numel()} factors; needs one, or one for each of "
            f"the {chip.out_size} outputs."
        )
    return chip.alpha.reshape(-1).numpy() if chip.alpha.numel() > 1 else float(chip.alpha)
