"""Ranges of the inputs of tiles, and of digital quantisers, from the data that a model sees in evaluation mode."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from analogjax.physics import MaxRange, MovingQuantileRange, MovingStdRange, QuantileRange
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import ArgumentError, ConfigError
from compat.aihwkit.nn.low_precision_modules.quantization_states import (
    estimate_ranges,
    fix_act_ranges,
    fix_ranges,
    fix_weight_ranges,
)
from compat.aihwkit.nn.modules.base import AnalogLayerBase
from compat.aihwkit.simulator.parameters.enums import NoiseManagementType
from compat.torch_package import torch


class InputRangeCalibrationType(Enum):
    """How a range follows from the inputs; see `analogjax.physics.hardware_aware.range_calibration`."""

    NONE = "None"
    MOVING_STD = "MovingStd"
    MOVING_QUANTILE = "MovingQuantile"
    CACHE_QUANTILE = "CacheQuantile"
    MAX = "Max"


_MOVING = (InputRangeCalibrationType.MOVING_STD, InputRangeCalibrationType.MOVING_QUANTILE)


@torch.no_grad()
def calibrate_input_ranges(
    model: Any,
    calibration_type: InputRangeCalibrationType,
    dataloader: Iterable[tuple[tuple, dict]],
    quantile: float = 0.99995,
    max_samples: int = 1000,
    std_alpha: float | None = None,
    force_all_layers: bool = True,
    verbose: bool = False,
) -> None:
    """Set the input range of every tile from the inputs that it sees, in evaluation mode.

    `dataloader` yields arguments and keyword arguments of the model. For `MAX` and `CACHE_QUANTILE` the chips are
    perfect meanwhile; a moving range is in use already while it moves. Noise management is switched off, for good;
    `force_all_layers` gives a range to tiles that have none, else those are left out. `max_samples` limits the vectors
    that `CACHE_QUANTILE` keeps of each tile, and the batches of `MOVING_STD`.

    Raises:
        ArgumentError: If this is no analog model.
        ConfigError: If a tile manages noise, and it is not `force_all_layers`.
    """
    if calibration_type is InputRangeCalibrationType.NONE:
        return
    if not isinstance(model, AnalogLayerBase) or not isinstance(model, torch.nn.Module):
        raise ArgumentError(f"calibrate_input_ranges: {type(model).__name__} is no analog model; convert it first.")
    tiles = [(name, tile) for name, tile in model.named_analog_tiles() if _is_chosen(tile, force_all_layers)]
    _check_unmanaged(tiles, force_all_layers)
    make = partial(_estimator, InputRangeCalibrationType(calibration_type), quantile, max_samples, std_alpha)
    trained, observers = model.training, []
    model.eval()
    with ExitStack() as meanwhile:
        for _, tile in tiles:
            _prepare(tile)
            if calibration_type not in _MOVING:
                meanwhile.enter_context(_perfect(tile))
            observers.append(_Observer(tile, make(tile), calibration_type in _MOVING, max_samples))
            meanwhile.callback(tile.register_forward_pre_hook(observers[-1]).remove)
        for args, kwargs in dataloader:
            # programs for aihwkit give a single input as it is, too
            model(*((args,) if isinstance(args, torch.Tensor) else args), **kwargs)
    for (name, tile), observer in zip(tiles, observers, strict=True):
        _finish(tile, observer, calibration_type)
        if verbose:
            print(f"{name}: input range {tile.input_range.item():.5f} from {observer.batches} batches")
    model.train(trained)


def _is_chosen(tile: Any, force_all_layers: bool) -> bool:
    return hasattr(tile.rpu_config, "forward") and (force_all_layers or tile.rpu_config.pre_post.input_range.enable)


def _check_unmanaged(tiles: list[tuple[str, Any]], force_all_layers: bool) -> None:
    for name, tile in tiles:
        kind = tile.rpu_config.forward.noise_management
        if kind is not NoiseManagementType.NONE and not force_all_layers:
            raise ConfigError(
                f"calibrate_input_ranges: {name} scales its inputs by noise management ({kind}), so a range means "
                "nothing; set forward.noise_management to NONE."
            )


def _prepare(tile: Any) -> None:
    """Give the tile a range, which does not follow the data by itself, and no noise management."""
    p, io = tile.rpu_config.pre_post.input_range, tile.rpu_config.forward
    if not p.enable:
        p.enable, p.learn_input_range = True, False
    p.init_from_data = 0
    if tile.input_range is None:
        tile.init_input_processing()
    if io.noise_management is not NoiseManagementType.NONE:
        io.noise_management = NoiseManagementType.NONE
    tile.read_by(tile.rpu_config.to_native(tile.in_size).forward)


@contextmanager
def _perfect(tile: Any) -> Iterator[None]:
    """While the chips of the tile are perfect."""
    usual = tile.rpu_config.to_native(tile.in_size).forward
    tile.read_by(replace(usual, is_perfect=True))
    try:
        yield
    finally:
        tile.read_by(usual)


def _estimator(kind: Any, quantile: float, max_samples: int, std_alpha: float | None, tile: Any) -> Any:
    p = tile.rpu_config.pre_post.input_range
    if std_alpha is not None:
        p.init_std_alpha = std_alpha
    so_far = {"mean": _number(tile.input_range), "count": _number(tile.input_range_update_idx)}
    if kind is InputRangeCalibrationType.MAX:
        return MaxRange()
    if kind is InputRangeCalibrationType.CACHE_QUANTILE:
        return QuantileRange(quantile=quantile, max_samples=max_samples)
    if kind is InputRangeCalibrationType.MOVING_QUANTILE:
        return MovingQuantileRange(quantile=quantile, **so_far)
    return MovingStdRange(alpha=p.init_std_alpha, **so_far)


def _number(tensor: Any) -> Any:
    return jnp.asarray(tensor.item(), jnp.float32)


@dataclass
class _Observer:
    """A hook before a tile that shows its inputs to an estimator."""

    tile: Any
    estimator: Any
    moves: bool  # whether the range is in use at once
    max_batches: int
    batches: int = 0

    def __call__(self, tile: Any, args: Any) -> None:
        if isinstance(self.estimator, MovingStdRange) and float(self.estimator.count) >= self.max_batches:
            return
        x = args[0].detach().reshape(-1, args[0].shape[-1])
        if not bool(x.any()):
            return
        self.batches += 1
        self.estimator = _observed(self.estimator, bridge.to_jax(x), bridge.draw_key())
        jax.block_until_ready(self.estimator)  # it reads the memory of x
        if self.moves:
            self.tile.set_input_range(float(self.estimator.value()))
            self.tile.input_range_update_idx.data = torch.full((1,), float(self.estimator.count))


_observed = jax.jit(lambda estimator, x, key: estimator.observe(x, key))


def _finish(tile: Any, observer: _Observer, kind: Any) -> None:
    if observer.batches == 0:
        return
    if not observer.moves:
        tile.set_input_range(float(observer.estimator.value()))
    p = tile.rpu_config.pre_post.input_range
    p.init_value, p.calibration_info = tile.input_range.item(), kind.value


def calibrate_quantization_ranges(model: Any, loader: Iterable, max_num_batches: int = 20) -> None:
    """Find the ranges of all digital quantisers of a model from batches of a loader, and keep them.

    A batch is a tensor or a pair, of which the first is the input, or a dictionary of keyword arguments. As in aihwkit,
    one batch more than `max_num_batches` is taken, and the model is left in evaluation mode.
    """
    estimate_ranges(model)
    model.eval()
    for n, batch in enumerate(loader):
        if n > max_num_batches:
            break
        if isinstance(batch, dict):
            model(**batch)
        else:
            model(batch[0] if isinstance(batch, (tuple, list)) else batch)
    for fix in (fix_ranges, fix_act_ranges, fix_weight_ranges):
        fix(model)
