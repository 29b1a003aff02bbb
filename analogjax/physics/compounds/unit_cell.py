"""What all compounds of several devices share: their parts, under suffixes, and what happens to all of them at once."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

import jax

from analogjax._pytree import pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.physics.device import Cells, PulsedDevice, State

Visit = Callable[[PulsedDevice, int, State, Key], State]


@pytree
class UnitCell:
    """Devices `w_k` read as `W = sum_k gamma_k w_k`. Abstract: says nothing of who is pulsed.

    Cells and states of device `k` carry the suffix `_k`, as aihwkit's hidden parameters do.
    """

    @property
    @abstractmethod
    def parts(self) -> tuple[Any, ...]:
        """The devices."""

    @property
    @abstractmethod
    def gammas(self) -> tuple[float, ...]:
        """The weight of each device in the sum."""

    @property
    def granularity(self) -> Scalar:
        """The mean of all devices', whoever sees the pulses: what aihwkit counts them with."""
        return sum(device.granularity for device in self.parts) / len(self.parts)

    @property
    def needs_rest(self) -> bool:
        return any(device.needs_rest for device in self.parts)

    def fabricate(self, shape: tuple[int, int], dtype: DType, key: Key) -> Cells:
        cells: Cells = {}
        for k, (device, own) in enumerate(zip(self.parts, jax.random.split(key, len(self.parts)), strict=True)):
            made = device.fabricate(shape, dtype, own)
            cells |= {f"{name}_{k}": value for name, value in made.items()}
        return cells

    def rest(self, cells: Cells, state: State, key: Key, alpha: Scalar = 1.0) -> State:
        return self._each(state, key, lambda device, k, part, own: device.rest(part_of(cells, k), part, own, alpha))

    def reset_cells(self, cells: Cells, state: State, chosen: Array, key: Key) -> State:
        return self._each(
            state, key, lambda device, k, part, own: device.reset_cells(part_of(cells, k), part, chosen, own)
        )

    def age(self, cells: Cells, state: State, dt: Scalar, key: Key) -> State:
        return self._each(state, key, lambda device, k, part, own: device.age(part_of(cells, k), part, dt, own))

    def _each(self, state: State, key: Key, act: Visit) -> State:
        parts = tuple(
            act(device, k, part, own)
            for k, (device, part, own) in enumerate(
                zip(self.parts, state.parts, jax.random.split(key, len(self.parts)), strict=True)
            )
        )
        return self.summed(replace(state, parts=parts))

    def summed(self, state: State) -> State:
        """The state with its visible weight computed anew."""
        terms = [
            part.w if gamma == 1 else gamma * part.w
            for gamma, part in zip(self.gammas, state.parts, strict=True)
            if gamma != 0
        ]
        return replace(state, w=reduce(add, terms))


def part_of(cells: Cells, k: int) -> Cells:
    """The cells of device `k` of a unit cell."""
    suffix = f"_{k}"
    return {name.removesuffix(suffix): value for name, value in cells.items() if name.endswith(suffix)}


def with_part(state: State, k: int, part: State) -> State:
    """The state with another state of device `k`; its visible weight is not computed anew."""
    return replace(state, parts=(*state.parts[:k], part, *state.parts[k + 1 :]))
