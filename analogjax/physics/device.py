"""What a device is: the contract that every device and every compound keeps.

Three kinds of data, never mixed: **params** are the fields of the device object (what a user writes), **cells** are
the constants of each crosspoint, drawn once when the chip is made, **state** is what changes. A method of a device is a
pure function of the three; randomness comes in through the last argument, `key`, which is consumed.

Letters: `O` rows (outputs), `I` columns (inputs), `B` batch. Weights are `[O, I]` in units of the tile, [w].
"""

from typing import Any, Protocol, runtime_checkable

from analogjax._field_docs import document_methods
from analogjax._pytree import for_each_class, pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.physics.drift import DriftState
from analogjax.physics.pulses import Pulses
from analogjax.physics.trains import Trains

Cells = dict[str, Array]  # one [O, I] array for each constant of a single device
AnyCells = Any  # constants of any device: of a compound, a pytree of its own type with those of its devices
AnyState = Any  # state of any device: a pytree of its own type with the weight that a read sees, `w` [O, I]


@pytree
class State:
    """What changes at the crosspoints of single devices."""

    w: Array
    """Weight as a read sees it `[O, I]` [w]."""
    persistent: Array | None = None
    """Weight underneath write noise `[O, I]` [w]; None: there is no write noise."""
    drift: DriftState | None = None
    """When and what was last programmed, for devices that drift; None for others."""


@runtime_checkable
class Device(Protocol):
    """A crosspoint technology."""

    @property
    def granularity(self) -> Scalar:
        """The weight change of one pulse that the pulse generator counts with [w]."""
        ...

    @property
    def needs_rest(self) -> bool:
        """Whether `rest` does anything; known while tracing."""
        ...

    def fabricate(self, shape: tuple[int, int], dtype: DType, key: Key) -> AnyCells:
        """Draw the constants of each crosspoint, `[O, I]` each. Consumes `key`."""
        ...

    def write(self, cells: AnyCells, w: Array, key: Key) -> AnyState:
        """A fresh state holding `w` `[O, I]`, as far as the devices can. Consumes `key`."""
        ...

    def update(self, p: Pulses, cells: AnyCells, state: AnyState, x: Array, d: Array, lr: Scalar, key: Key) -> AnyState:
        """Move the weights by `-lr sum_b d_b x_b^T`, as far as the devices can. Consumes `key`."""
        ...

    def rest(self, cells: AnyCells, state: AnyState, key: Key, alpha: Scalar = 1.0) -> AnyState:
        """What time does in one mini-batch: diffusion, then decay (scaled by `alpha`). Consumes `key`."""
        ...

    def reset_cells(self, cells: AnyCells, state: AnyState, chosen: Array, key: Key) -> AnyState:
        """Reset the `chosen` crosspoints (`[O, I]` bool) to their reset value. Consumes `key`."""
        ...

    def age(self, cells: AnyCells, state: AnyState, dt: Scalar, key: Key) -> AnyState:
        """Let `dt` seconds pass without writing. Consumes `key`."""
        ...


@runtime_checkable
class PulsedDevice(Device, Protocol):
    """A device whose weight moves by pulses."""

    def pulse(self, cells: AnyCells, state: AnyState, sign: Array, key: Key) -> AnyState:
        """One pulse per crosspoint: `sign` `[O, I]` is +1 (UP), -1 (DOWN) or 0 (none). The definition of the device."""
        ...

    def pulses(self, cells: AnyCells, state: AnyState, up: Array, down: Array, key: Key) -> AnyState:
        """`up` and `down` pulses (`[O, I]` int32) at once: the fast evaluation of the same law."""
        ...

    def respond(
        self, p: Pulses, cells: AnyCells, state: AnyState, trains: Trains, k_draw: Key, k_noise: Key
    ) -> AnyState:
        """Answer to the trains of a batch, drawn with `k_draw`: counted, or pulse by pulse in order.

        The latter if `p.sequential`, or where the device is too coarse to be counted (`devices/coarse.py`). Consumes
        both keys. Devices of one unit cell share `k_draw`, hence see the same pulses, with noise of their own.
        """
        ...


_METHODS = [name for name in vars(Device) if not name.startswith("_")]


def _document(cls: type) -> None:
    if all(hasattr(cls, name) for name in _METHODS):
        document_methods(cls, PulsedDevice)


for_each_class(_document)
