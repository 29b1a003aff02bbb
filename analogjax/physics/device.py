"""The `Device` protocol, which every device and every compound implements.

Three kinds of data, never mixed: **params** are the fields of the device object (set by the user), **cells** are the
constants of each crosspoint, drawn once when the chip is made, **state** is what changes. A method of a device is a
pure function of the three; all randomness comes from the last argument, `key`, which is consumed.

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
    """State of the crosspoints of single devices: everything that changes."""

    w: Array
    """Weight as a read sees it `[O, I]` [w]."""
    persistent: Array | None = None
    """Weight underneath write noise `[O, I]` [w]; None: there is no write noise."""
    drift: DriftState | None = None
    """When and what was last programmed, for devices that drift; None for others."""


@runtime_checkable
class Device(Protocol):
    """Protocol of a device: its parameters are fields, its methods are pure functions."""

    @property
    def granularity(self) -> Scalar:
        """Weight change per pulse that the pulse generator assumes [w]."""
        ...

    @property
    def needs_rest(self) -> bool:
        """Whether `rest` has any effect; known while tracing."""
        ...

    def fabricate(self, shape: tuple[int, int], dtype: DType, key: Key) -> AnyCells:
        """Sample the device-to-device variation of a new chip.

        Args:
            shape: Rows and columns `(O, I)`.
            dtype: Dtype of the constants.
            key: Consumed.

        Returns:
            The constants of each crosspoint (cells), `[O, I]` each.
        """
        ...

    def write(self, cells: AnyCells, w: Array, key: Key) -> AnyState:
        """Write weights to fresh devices, as far as they can hold them.

        Args:
            cells: Constants of each crosspoint, from `fabricate`.
            w: Weights to write `[O, I]` [w].
            key: Consumed. Random is the write noise, if any.

        Returns:
            A new state.
        """
        ...

    def update(self, p: Pulses, cells: AnyCells, state: AnyState, x: Array, d: Array, lr: Scalar, key: Key) -> AnyState:
        """Move the weights by `-lr sum_b d_b x_b^T`, as far as the devices can.

        Args:
            p: How the update is pulsed.
            cells: Constants of each crosspoint.
            state: State before the update.
            x: Inputs `[B, I]`.
            d: Errors `[B, O]`.
            lr: Learning rate, 0 or more.
            key: Consumed. Random are the pulse trains and the cycle-to-cycle variation.

        Returns:
            The state after the update.
        """
        ...

    def rest(self, cells: AnyCells, state: AnyState, key: Key, alpha: Scalar = 1.0) -> AnyState:
        """Let one mini-batch pass: diffusion, then decay.

        Args:
            cells: Constants of each crosspoint.
            state: State before.
            key: Consumed. Random is the diffusion.
            alpha: Factor of the decay [1].

        Returns:
            The state after it.
        """
        ...

    def reset_cells(self, cells: AnyCells, state: AnyState, chosen: Array, key: Key) -> AnyState:
        """Reset some crosspoints.

        Args:
            cells: Constants of each crosspoint.
            state: State before.
            chosen: Crosspoints to reset `[O, I]` bool.
            key: Consumed. Random is the cycle-to-cycle variation of the reset.

        Returns:
            The state after it.
        """
        ...

    def age(self, cells: AnyCells, state: AnyState, dt: Scalar, key: Key) -> AnyState:
        """Let time pass without writing: conductance drift.

        Args:
            cells: Constants of each crosspoint.
            state: State before.
            dt: Time that passes [s].
            key: Consumed. Random is the noise of the drift.

        Returns:
            The state after it.
        """
        ...


@runtime_checkable
class PulsedDevice(Device, Protocol):
    """Protocol of a device whose weight is changed by pulses."""

    def pulse(self, cells: AnyCells, state: AnyState, sign: Array, key: Key) -> AnyState:
        """Apply at most one pulse per crosspoint: the definition of the device.

        Args:
            cells: Constants of each crosspoint.
            state: State before the pulse.
            sign: Pulses `[O, I]`: +1 (UP), -1 (DOWN) or 0 (none).
            key: Consumed. Random is the cycle-to-cycle variation.

        Returns:
            The state after the pulse.
        """
        ...

    def pulses(self, cells: AnyCells, state: AnyState, up: Array, down: Array, key: Key) -> AnyState:
        """Apply many pulses at once: the fast evaluation of the same law.

        Args:
            cells: Constants of each crosspoint.
            state: State before the pulses.
            up: Number of UP pulses `[O, I]` int32.
            down: Number of DOWN pulses `[O, I]` int32.
            key: Consumed. Random is the cycle-to-cycle variation.

        Returns:
            The state after the pulses.
        """
        ...

    def respond(
        self, p: Pulses, cells: AnyCells, state: AnyState, trains: Trains, k_draw: Key, k_noise: Key
    ) -> AnyState:
        """Respond to the pulse trains of a batch: counted all at once, or pulse by pulse in order.

        In order if `p.sequential`, or if the device is too coarse to be counted (`devices/coarse.py`).

        Args:
            p: How the update is pulsed.
            cells: Constants of each crosspoint.
            state: State before the pulses.
            trains: Probabilities, signs and lengths of the trains.
            k_draw: Consumed; draws the pulses. Devices of one unit cell share it, so they receive the same pulses.
            k_noise: Consumed; draws the cycle-to-cycle variation.

        Returns:
            The state after the pulses.
        """
        ...


_METHODS = [name for name in vars(Device) if not name.startswith("_")]


def _document(cls: type) -> None:
    if all(hasattr(cls, name) for name in _METHODS):
        document_methods(cls, PulsedDevice)


for_each_class(_document)
