"""What is added to a tile module whose simulator tile is one of aihwkit's compiled core, `rpu_base.tiles`."""

from typing import Any

from compat.aihwkit.exceptions import ArgumentError, CudaError
from compat.aihwkit.simulator.tiles.base import SimulatorTileWrapper
from compat.torch_package import torch

MAP_TILE_CLASS_TO_CUDA: dict[type, type] = {}  # torch tensors stay on the CPU here


class RPUCudaSimulatorTileWrapper(SimulatorTileWrapper):
    """Put behind `TileModule` and `TileWithPeriphery`; with `shared_weights` torch trains the weights."""

    def __init__(
        self, out_size: int, in_size: int, rpu_config: Any, bias: bool = True, in_trans: bool = False,
        out_trans: bool = False, shared_weights: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(out_size, in_size, rpu_config, bias, in_trans, out_trans, handle_output_bound=True)
        if shared_weights:
            self.shared_weights = torch.nn.Parameter(torch.zeros(out_size, in_size + self.analog_bias))
            self.ensure_shared_weights()

    def cuda(self, device: Any = None) -> Any:
        """Never: torch layers stay on the CPU."""
        raise CudaError(f"{type(self).__name__}.cuda(): torch layers stay on the CPU in this version.")

    def get_hidden_update_index(self) -> int:
        """The device of a unit cell that is pulsed and written, where that is a fixed one; else 0."""
        return self.tile.get_hidden_update_index()

    def set_hidden_update_index(self, index: int) -> None:
        """Choose it."""
        self.tile.set_hidden_update_index(index)

    def get_forward_parameters(self) -> dict[str, Any]:
        """What was drawn for the outputs when the chip was made."""
        return self._drawn("fb_pass.fwd.")

    def get_backward_parameters(self) -> dict[str, Any]:
        """What was drawn for the inputs, which are read when errors come back."""
        return self._drawn("fb_pass.bwd.")

    def _drawn(self, key: str) -> dict[str, Any]:
        extra = self.tile.dump_extra()
        return {name.split(key)[-1]: torch.tensor(value) for name, value in extra.items() if key in name}

    def set_forward_parameters(self, dic: Any = None, **kwargs: Any) -> None:
        """Set what `get_forward_parameters` gave. Raises `ArgumentError` for other names or sizes."""
        self._set_drawn("fb_pass.fwd.", kwargs if dic is None else dic)

    def set_backward_parameters(self, dic: Any = None, **kwargs: Any) -> None:
        """Set what `get_backward_parameters` gave. Raises `ArgumentError` for other names or sizes."""
        self._set_drawn("fb_pass.bwd.", kwargs if dic is None else dic)

    def _set_drawn(self, key: str, given: Any) -> None:
        extra = self.tile.dump_extra()
        full = {name.split(key)[-1]: name for name in extra if key in name}
        for name, value in given.items():
            if name not in full or len(value) != len(extra[full[name]]):
                raise ArgumentError(f"{key}{name} of {len(value)} values does not fit; there are {list(full)}.")
            extra[full[name]] = value.tolist()
        self.tile.load_extra(extra)

    def decay_weights(self, alpha: float = 1.0) -> None:
        """Let the devices decay for `alpha` mini-batches."""
        self.tile.decay_weights(alpha)

    def diffuse_weights(self) -> None:
        """Let the devices diffuse for one mini-batch."""
        self.tile.diffuse_weights()

    def drift_weights(self, delta_t: float = 1.0) -> None:
        """Let seconds pass."""
        self.tile.drift_weights(delta_t)

    def reset_columns(self, start_column_idx: int = 0, num_columns: int = 1, reset_prob: float = 1.0) -> None:
        """Reset each device of some columns (in a circle; -1: all) with a probability."""
        self.tile.reset_columns(start_column_idx, num_columns, reset_prob)

    def reset(self, reset_prob: float = 1.0) -> None:
        """Reset each device with a probability."""
        self.tile.reset_columns(0, -1, reset_prob)

    def post_update_step(self) -> None:
        """Diffusion and decay of one mini-batch, where the devices have such."""
        if self.rpu_config.device.requires_diffusion():
            self.tile.diffuse_weights()
        if self.rpu_config.device.requires_decay():
            self.tile.decay_weights()
