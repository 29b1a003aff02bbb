"""Tile modules of chips that are programmed once, and then drift.

The trained weights stay what they are; what a programmed and drifted chip answers with is kept beside them, and read in
evaluation mode. Going back to training forgets it.
"""

from typing import Any

import jax

from analogjax.tile import drift, program
from compat import torch_bridge as bridge
from compat.aihwkit.exceptions import TileError
from compat.aihwkit.simulator.tiles.analog import AnalogTile
from compat.aihwkit.simulator.tiles.array import TileModuleArray
from compat.torch_package import torch


class Programmable:
    """What is added to a tile module. Keys are those of the tile's other uses, so one seed decides everything."""

    chips: Any
    rpu_config: Any
    training: bool
    _programmed: Any = None
    _drifted: Any = None

    @property
    def reading(self) -> Any:
        """The chips that answer: the drifted ones, once there are any, in evaluation mode."""
        return self.chips if self.training or self._drifted is None else self._drifted

    def train(self, mode: bool = True) -> Any:
        """To training mode, which forgets what was programmed, or to evaluation mode."""
        if mode:
            self._programmed = self._drifted = None
        return super().train(mode)  # type: ignore[misc]

    def forward(self, x_input: Any, tensor_view: Any = None) -> Any:
        """As any tile's. Raises `TileError` where hardware-aware training would change the weights first."""
        modifier = self.rpu_config.modifier
        if self.rpu_config.trains_aware and (self.training or modifier.enable_during_test):
            raise TileError(
                "Hardware-aware training (modifier, clip or remap of the configuration) is not simulated by this "
                "version of analogjax. Leave their type at NONE, or read the model in evaluation mode: model.eval()."
            )
        return super().forward(x_input, tensor_view)  # type: ignore[misc]

    @torch.no_grad()
    def program_weights(self, from_reference: bool = True, noise_model: Any = None) -> None:
        """Write the trained weights to a fresh chip, with the noise of the configuration's (or the given) model."""
        if self.training:
            raise TileError("Weights are programmed in evaluation mode only: call model.eval() first.")
        model = self.rpu_config.noise_model if noise_model is None else noise_model
        compensation = self.rpu_config.drift_compensation
        native = None if compensation is None else compensation.to_native()
        self._programmed = program(self.chips.tile, model.to_native(), native, self._key())
        self._show(self._programmed.tile)

    @torch.no_grad()
    def drift_weights(self, t_inference: float = 0.0) -> None:
        """What was programmed, `t_inference` seconds later; programs first where that was not done."""
        if self.training:
            raise TileError("Weights drift in evaluation mode only: call model.eval() first.")
        if self._programmed is None:
            self.program_weights()
        self._show(drift(self._programmed, float(t_inference), self._key()))

    @torch.no_grad()
    def remap_weights(self, weight_scaling_omega: float = 1.0) -> None:
        """Put the weights on the chip anew, the largest of each output (or of the matrix) as `weight_scaling_omega`."""
        self.rpu_config.mapping.weight_scaling_omega = float(weight_scaling_omega)
        weight, bias = self.get_weights()  # type: ignore[attr-defined]
        self.chips = self._made(self.rpu_config.to_native(self.in_size), 0)  # type: ignore[attr-defined]
        self.set_weights(weight, bias)  # type: ignore[attr-defined]
        self._programmed = self._drifted = None

    def _key(self) -> Any:
        return jax.random.fold_in(self.chips.root, self.chips.next_use())

    def _show(self, tile: Any) -> None:
        self._drifted = bridge.Chips(tile, self._key())


class InferenceTile(Programmable, AnalogTile):
    """Chips that are programmed once: one chip."""


class InferenceTileArray(Programmable, TileModuleArray):
    """Chips that are programmed once: a matrix on several of them."""
