"""Programming a chip by pulses: it starts anywhere, is asked, and is updated by the error of its answers."""

from typing import Any

from compat.aihwkit.exceptions import TileError
from compat.torch_package import torch


@torch.no_grad()
def written_by_pulses(
    tile: Any, target: Any, x_values: Any, learning_rate: float, max_iter: int, tolerance: float | None, w_init: Any
) -> None:
    """Write `target` `[d, x]` to a simulator tile, in units of the chip.

    From `w_init` (a matrix, or the bound of uniform weights) on, inputs `x_values` `[N, x]` (default: one column after
    the other) are read and pulsed with the error, at `learning_rate`, at most `max_iter` times; until the error is
    below `tolerance` (`None`: never) on average, relative to the largest answer there should be.
    """
    x = torch.eye(tile.get_x_size()) if x_values is None else x_values.detach().float()
    if x.ndim != 2 or x.shape[1] != tile.get_x_size():
        raise TileError(f"program_weights(x_values of shape {tuple(x.shape)}): needs [N, {tile.get_x_size()}].")
    wanted = x @ target.to(x).T
    largest = float(wanted.abs().max())
    if isinstance(w_init, torch.Tensor):
        tile.set_weights(w_init)
    else:
        tile.set_weights_uniform_random(-w_init, w_init)
    if hasattr(tile, "pulse_towards"):  # a compiled tile
        tile.pulse_towards(x, wanted, learning_rate, max_iter, None if tolerance is None else tolerance * largest)
        return
    kept = tile.get_learning_rate()
    tile.set_learning_rate(learning_rate)
    try:
        for _ in range(max_iter):
            error = tile.forward(x) - wanted
            if tolerance is not None and float(error.abs().mean()) < tolerance * largest:
                break
            tile.update(x.clone(), error)
    finally:
        tile.set_learning_rate(kept)
