"""The weights of a tile after each of many pulses, and what they tell about the steps of its devices.

Letters: `T` pulses, `G` weights, `O` outputs and `I` inputs of the tile. Weights in logical units.
"""

import inspect
from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from analogjax._typing import Array, Key, Scalar
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.configs.configs import SingleRPUConfig
from compat.aihwkit.simulator.parameters.enums import PulseType
from compat.aihwkit.simulator.parameters.io import IOParameters
from compat.aihwkit.simulator.parameters.training import UpdateParameters
from compat.aihwkit.simulator.tiles.analog import AnalogTile
from compat.aihwkit.simulator.tiles.module import CompiledTile
from compat.kept_programs import kept
from compat.torch_package import torch

_STEPS_OF_OTHERS = 1000  # what is shown of devices whose range is not known
_FEWEST = 0.1  # summed kernel below which nothing is known of a step
_ALMOST_NONE = 1e-6  # write noise that changes no picture, and leaves the hidden parameters what they are
_CALLED = ("update", "forward", "get_weights", "entered", "product")


@torch.no_grad()
def compute_pulse_response(analog_tile: Any, direction: np.ndarray, use_forward: bool = False) -> np.ndarray:
    """Pulse all devices of a tile, up (1) or down (-1), by its learning rate; the tile stays where that leads.

    One compiled function does all pulses, with the draws of as many calls of `update`; where a tile has something of
    its own (a bias, a range of inputs, methods of a user), they are called.

    Args:
        analog_tile: The tile module.
        direction: Directions `[T]`.
        use_forward: Read the weights by noisy products, instead of exactly.

    Returns:
        The weights after each pulse `[T, O, I]`.
    """
    signs = np.asarray(direction, np.float32)
    traced = _all_at_once if _is_plain(analog_tile) else _one_by_one
    return traced(analog_tile, signs, use_forward)


def _is_plain(tile: Any) -> bool:
    """Whether the passes of a tile are those of its chips alone."""
    if not isinstance(tile, CompiledTile) or tile.chips.weight is not None or tile.get_learning_rate() == 0.0:
        return False
    surroundings = (tile.input_range, tile.out_scaling_alpha, tile.use_bias or None)
    hooks = tile._forward_hooks or tile._forward_pre_hooks
    own = [name for name in _CALLED if inspect.getattr_static(tile, name) is not vars(CompiledTile).get(name, None)]
    return not hooks and set(own) <= {"entered"} and all(one is None for one in surroundings)


def _one_by_one(tile: Any, signs: np.ndarray, use_forward: bool) -> np.ndarray:
    x, d, trace = -torch.ones(1, tile.in_size), torch.ones(1, tile.out_size), []
    for sign in signs.tolist():
        tile.update(x, sign * d)
        trace.append(tile(torch.eye(tile.in_size)).T if use_forward else tile.get_weights()[0])
    return torch.stack(trace).numpy().astype(float) if trace else np.zeros((0, tile.out_size, tile.in_size))


def _all_at_once(tile: Any, signs: np.ndarray, use_forward: bool) -> np.ndarray:
    chips = tile.chips
    run = _run(chips.structure, (tile.out_size, tile.in_size), use_forward)
    leaves, trace = run(chips.leaves, chips.root, chips.uses, tile.get_learning_rate(), bridge.beside_torch(signs))
    chips.leaves, chips.uses = leaves, chips.uses + len(signs) * (2 if use_forward else 1)
    return np.asarray(trace, float)


@kept
def _run(structure: Any, shape: tuple[int, int], use_forward: bool) -> Callable[..., tuple[bridge.Leaves, Array]]:
    """A compiled function that pulses `T` times and reads after each, numbering its draws as calls by hand do."""
    program, (outputs, inputs) = bridge.program(structure), shape

    def run(leaves: bridge.Leaves, root: Key, uses: Scalar, lr: Scalar, signs: Array) -> tuple[bridge.Leaves, Array]:
        def pulse(carry: tuple[bridge.Leaves, Array], sign: Array) -> tuple[tuple[bridge.Leaves, Array], Array]:
            leaves, n = carry[0], carry[1] + 1
            given = -jnp.ones((1, inputs)), jnp.full((1, outputs), sign)
            leaves = program.after(leaves, program.pulse(leaves, root, n, lr, *given))
            if not use_forward:
                return (leaves, n), program.read(leaves)
            return (leaves, n + 1), program.forward(leaves, root, n + 1, jnp.eye(inputs))[0].T

        (leaves, _), trace = lax.scan(pulse, (leaves, jnp.asarray(uses)), signs)
        return leaves, trace

    return jax.jit(run)


def compute_pulse_statistics(
    w_nodes: np.ndarray, w_trace: np.ndarray, direction: np.ndarray, up_direction: bool, smoothness: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """The steps in one direction against the weight they start from, averaged with a Gaussian kernel.

    Args:
        w_nodes: Weights `[G]`, evenly spaced; the kernel is half of their distance times `smoothness` wide.
        w_trace: Weights after each pulse `[T, O, I]`.
        direction: Directions `[T]`.
        up_direction: Whether steps up are meant.
        smoothness: Width of the kernel.

    Returns:
        Mean and standard deviation of the steps of each device `[G, O, I]`; NaN where there are next to none.
    """
    direction, width = np.asarray(direction), (w_nodes[1] - w_nodes[0]) / 2 * smoothness
    chosen = (direction[:-1] > 0) if up_direction else (direction[:-1] < 0)
    chosen &= np.diff(direction) == 0
    start, step = w_trace[:-1][chosen], np.diff(w_trace, axis=0)[chosen]
    found = [_around(node, start, step, width) for node in w_nodes]
    return np.stack([mean for mean, _ in found]), np.stack([spread for _, spread in found])


def _around(node: float, start: np.ndarray, step: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    kernel = np.exp(-0.5 * ((node - start) / width) ** 2)
    known = kernel.sum(0)
    share = kernel / np.where(known < _FEWEST, np.nan, known)
    mean = np.sum(share * step, 0)
    return mean, np.sqrt(np.sum(share * (step - mean) ** 2, 0))


def get_tile_for_plotting(
    rpu_config: Any, n_traces: int, use_cuda: bool = False, noise_free: bool = False, w_init: float | None = None
) -> Any:
    """A tile of `n_traces` devices, one for each output, that takes one pulse for each update.

    Args:
        rpu_config: The configuration, which is copied.
        n_traces: Number of devices.
        use_cuda: Run it on a GPU of torch; chips of `compat` are not, so it changes nothing.
        noise_free: Without noise of pulses and reads. Device-to-device variation stays.
        w_init: The weights; by default the mean lower bound, -1 where devices have none.
    """
    config = deepcopy(rpu_config)
    config.update.update_bl_management = config.update.update_management = False
    config.update.desired_bl = 1
    if noise_free:
        config.forward.is_perfect = True
        _quieten(config.device)
    tile = AnalogTile(n_traces, 1, config)
    tile.set_learning_rate(1)
    mean_range = _mean_range(config.device)
    low = -1.0 if mean_range is None else mean_range[0]
    tile.set_weights(torch.full((n_traces, 1), float(low if w_init is None else w_init)))
    return tile


def _quieten(device: Any) -> None:
    """Take the noise of pulses and reads from a device and those inside of it."""
    own = {field.name for field in fields(device)}
    for name in own & {"refresh_forward", "transfer_forward"}:
        setattr(device, name, IOParameters(is_perfect=True))
    for name in own & {"refresh_update", "transfer_update"}:
        setattr(device, name, UpdateParameters(pulse_type=PulseType.NONE))
    if "dw_min_std" in own:
        device.dw_min_std = 0.0
    if getattr(device, "write_noise_std", 0.0) > 0.0:
        device.write_noise_std = _ALMOST_NONE
    for part in [*getattr(device, "unit_cell_devices", []), *([device.device] if "device" in own else [])]:
        _quieten(part)


def _mean_range(device: Any) -> tuple[float, float] | None:
    """The mean bounds of a single pulsed device; `None` for others."""
    native = device.to_native()
    bounded = getattr(native, "soft_bounds", native)
    return (float(bounded.w_min), float(bounded.w_max)) if hasattr(bounded, "w_min") else None


def estimate_n_steps(rpu_config: Any) -> int:
    """The pulses from the lower bound to the upper one, if all steps were as large as at zero; 1000 for unit cells.

    Raises `ConfigError` for a single device without bounds.
    """
    if not isinstance(rpu_config, SingleRPUConfig):
        return _STEPS_OF_OTHERS
    mean_range = _mean_range(rpu_config.device)
    if mean_range is None:
        raise ConfigError(f"{type(rpu_config.device).__name__} has no range to step through: give n_steps.")
    low, high = mean_range
    return round((high - low) / float(rpu_config.device.to_native().granularity))
