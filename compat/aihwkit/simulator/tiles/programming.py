"""What is on chips once they are programmed, and how they drift.

`Compiled` is for materials and compensations whose methods are ours. Where a user has methods of their own, `Own` calls
them, as aihwkit does: chip by chip, with torch tensors, in units of the device.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from analogjax._typing import Array, Key
from analogjax.tile import TileArray, drift, program
from compat import tile_weights
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import ConfigError, TileModuleError
from compat.overrides import is_plain
from compat.torch_package import torch


def programmed(tile: Any, rpu_config: Any, key: Key) -> "Compiled | Own":
    """The chips of `tile`, programmed with the noise model of `rpu_config`. Consumes `key`."""
    if is_compiled(rpu_config):
        return Compiled(program(tile, *native_parts(rpu_config), key))
    own = Own(rpu_config, list(chips_of(tile, rpu_config)))
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
        """What was `saved` from chips like `tile`. Raises `TileModuleError`."""
        shape = jax.eval_shape(
            lambda tile, key: programmed(tile, rpu_config, key).chips, tile, bridge.random.key(0)
        )  # fmt: skip
        return cls(bridge.filled(shape, state["arrays"], "the programmed chip"))


@dataclass(eq=False)
class Chip:
    """One chip as methods of users see it: what aihwkit's tiles show of it, by the same names."""

    rpu_config: Any
    rows: slice
    columns: slice
    place: tuple[int, int] | None  # in the grid of an array
    reference_combined_weights: Any
    programmed_weights: Any = None
    drift_noise_parameters: Any = None
    drift_baseline: Any = None
    drift_readout_tensor: Any = None
    alpha: Any = field(default_factory=lambda: torch.ones(1))
    answers: Callable | None = None  # `[N, I] -> [N, O]`, while the chip is asked

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
    """Chips that methods of users have programmed."""

    rpu_config: Any
    chips: list[Chip]
    tile: Any = None  # right after programming

    @torch.no_grad()
    def program(self, tile: Any, key: Key) -> None:
        """Write what the chips are to hold, and read the baseline. Consumes `key`."""
        model, compensation = self.rpu_config.noise_model, self.rpu_config.drift_compensation
        for chip in self.chips:
            w, chip.drift_noise_parameters = model.apply_programming_noise(chip.reference_combined_weights.clone())
            chip.programmed_weights = _checked(w, chip, f"{type(model).__name__}.apply_programming_noise()")
        self.tile = self._holding(tile, [chip.programmed_weights for chip in self.chips])
        if compensation is not None:
            for chip in self._asked(self.tile, key):
                chip.drift_baseline = compensation.init_baseline(chip)

    @property
    def baseline(self) -> Any:
        """What the compensation read, of the only chip or of each; `None` without one."""
        found = [chip.drift_baseline for chip in self.chips]
        return found[0] if len(found) == 1 else found

    @property
    def exponents(self) -> Any:
        """What the noise model drew for the drift of the only chip, or of each."""
        found = [chip.drift_noise_parameters for chip in self.chips]
        return found[0] if len(found) == 1 else found

    def read_by(self, p: Any) -> None:
        """Read the chips by another periphery from now on."""
        self.tile = tile_weights.read_by(self.tile, p)

    @torch.no_grad()
    def drifted(self, rpu_config: Any, t: float, key: Key) -> Any:
        """The tile `t` seconds later, by the models of today. Consumes `key`."""
        self.rpu_config = rpu_config
        if not t >= 0:
            raise ConfigError(f"drift_weights({t!r}): needs a time in seconds after programming, 0 or more.")
        model, compensation = rpu_config.noise_model, rpu_config.drift_compensation
        if compensation is not None and self.chips[0].drift_baseline is None:
            raise _program_anew("there was no compensation, which needs a baseline,")
        now = []
        for chip in self.chips:
            w = model.apply_drift_noise(chip.programmed_weights.clone(), chip.drift_noise_parameters, t)
            now.append(_checked(w, chip, f"{type(model).__name__}.apply_drift_noise()"))
        tile = self._holding(self.tile, now)
        if compensation is None:
            return tile
        for chip in self._asked(tile, key):
            answers = chip._forward_drift_readout_tensor()
            chip.alpha = torch.as_tensor(compensation.apply(answers, chip.drift_baseline)).detach().float()
        return self._compensated(tile)

    def _asked(self, tile: Any, key: Key) -> Iterator[Chip]:
        """Each chip, while it can be asked."""
        for n, chip in enumerate(self.chips):
            chip.answers = _answers(tile, chip, jax.random.fold_in(key, n))
            yield chip
            chip.answers = None

    def _holding(self, tile: Any, weights: list[Any]) -> Any:
        whole = np.zeros(tile.shape, np.float32)
        for chip, w in zip(self.chips, weights, strict=True):
            whole[chip.rows, chip.columns] = w.numpy()
        return tile_weights.put_in(tile, jnp.asarray(whole))

    def _compensated(self, tile: Any) -> Any:
        """The tile with the factor of each chip in its scale."""
        scale = tile_weights.chip_of(tile).scale
        each = any(chip.alpha.numel() > 1 for chip in self.chips) or scale.ndim > (2 if _is_array(tile) else 0)
        rows = tile_weights.chip_of(tile).shape[0]
        factors = np.ones((*(tile.grid if _is_array(tile) else ()), *((rows,) if each else ())), np.float32)
        for chip in self.chips:
            alpha = _factor(chip, self.rpu_config.drift_compensation)
            where = (chip.place or ()) + ((slice(0, chip.out_size),) if each else ())
            factors[where] = alpha
        widened = scale[..., None] if scale.ndim < factors.ndim else scale
        return tile_weights.with_chip(tile, scale=widened * factors)

    def saved(self) -> dict[str, Any]:
        """Tensors, and whatever the methods have drawn, for a state dict."""
        kept = ("programmed_weights", "drift_noise_parameters", "drift_baseline", "drift_readout_tensor", "alpha")
        return {"kind": "own", "chips": [{name: getattr(chip, name) for name in kept} for chip in self.chips]}

    @classmethod
    def restored(cls, tile: Any, rpu_config: Any, state: dict[str, Any]) -> "Own":
        """What was `saved` from chips like `tile`. Raises `TileModuleError`."""
        own = cls(rpu_config, list(chips_of(tile, rpu_config)))
        if len(own.chips) != len(state["chips"]):
            raise TileModuleError(
                f"the checkpoint has {len(state['chips'])} programmed chips, the model {len(own.chips)}."
            )
        for chip, kept in zip(own.chips, state["chips"], strict=True):
            for name, value in kept.items():
                setattr(chip, name, value)
        own.tile = own._holding(tile, [chip.programmed_weights for chip in own.chips])
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


def chips_of(tile: Any, rpu_config: Any) -> Iterator[Chip]:
    """The chips of a tile, with what they hold."""
    whole = torch.from_numpy(np.array(tile_weights.raw(tile)))
    outputs, inputs = whole.shape
    if not _is_array(tile):
        yield Chip(rpu_config, slice(0, outputs), slice(0, inputs), None, whole)
        return
    for k, rows in enumerate(_cuts(outputs, tile.grid[0])):
        for n, columns in enumerate(_cuts(inputs, tile.grid[1])):
            yield Chip(rpu_config, rows, columns, (k, n), whole[rows, columns].clone())


def _cuts(size: int, parts: int) -> list[slice]:
    """Nearly equal parts, larger ones first."""
    ends = np.cumsum([len(part) for part in np.array_split(np.arange(size), parts)]).tolist()
    return [slice(begin, end) for begin, end in zip([0, *ends[:-1]], ends, strict=True)]


def _answers(tile: Any, chip: Chip, key: Key) -> Callable[[Any], Any]:
    """Asks one chip, before its scales, with `[N, I]`."""
    one = jax.tree.map(lambda leaf: leaf[chip.place], tile.tiles) if _is_array(tile) else tile
    one = tile_weights.with_chip(one, scale=jnp.ones(()))

    def ask(x: Any) -> Any:
        given: Array = jnp.asarray(x.detach().numpy())
        if given.ndim != 2 or given.shape[1] != chip.in_size:
            raise ConfigError(f"a readout tensor of shape {given.shape} for a chip of {chip.in_size} inputs.")
        padded = jnp.pad(given, ((0, 0), (0, one.shape[1] - chip.in_size)))
        return bridge.copied(one.forward(padded, key)[0][:, : chip.out_size])

    return ask


def _is_array(tile: Any) -> bool:
    return isinstance(tile, TileArray)


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
