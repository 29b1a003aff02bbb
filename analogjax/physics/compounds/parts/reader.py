r"""How an array of a transfer is read: one column (or row) at a time, `v = mvm(w, e_j)`.

Noise and bound management are off in these reads, as in aihwkit. If an array has fewer lines than
`n_reads_per_transfer`, each is read once. Letters: `O` rows, `I` columns.
"""

import warnings

import jax
import jax.numpy as jnp

from analogjax._pytree import is_off, pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.physics.checks import check, check_flags, check_kind, check_number, is_whole
from analogjax.physics.compounds.parts.lines import take
from analogjax.physics.crossbar import Frozen
from analogjax.physics.periphery import Periphery, mvm


@pytree
class Reader:
    """Which lines are read, and through which converters."""

    transfer_columns: bool = True
    """Columns are read, otherwise rows."""
    n_reads_per_transfer: int = 1
    """Lines that are read each time."""
    random_selection: bool = False
    """Begin at a random line each time, otherwise where the last time ended."""
    with_reset_prob: Scalar = 0.0
    """Probability that a device of a column that was read is reset [1]."""
    transfer_forward: Periphery = Periphery()
    """Converters of the reads."""

    def __post_init__(self) -> None:
        check_flags(self)
        check_kind(self, "transfer_forward", Periphery)
        check(self, is_whole(self.n_reads_per_transfer, 1), "n_reads_per_transfer", "needs a whole number > 0.")
        check_number(self, "with_reset_prob", low=0, high=1)
        columns = self.transfer_columns or is_off(self.with_reset_prob)
        check(self, columns, "with_reset_prob", "only columns can be reset: use transfer_columns=True.")

    @property
    def axis(self) -> int:
        """Axis that counts the lines: -1 for columns, -2 for rows."""
        return -1 if self.transfer_columns else -2

    def size(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Number of outputs of a read, and of lines, for an array of that shape."""
        return shape if self.transfer_columns else shape[::-1]

    def at_once(self, lines: int) -> int:
        """Number of lines read at a time, at most all of them once."""
        return min(self.n_reads_per_transfer, lines)

    def fabricate(self, shape: tuple[int, int], dtype: DType, key: Key) -> Frozen:
        """Constants of the converters, spread over the array: `[O, I]` each. Consumes `key`.

        Warns if more lines are to be read than there are.
        """
        outputs, lines = self.size(shape)
        if lines < self.n_reads_per_transfer:
            warnings.warn(
                f"Reader(n_reads_per_transfer={self.n_reads_per_transfer}): an array of "
                f"{shape[0]} x {shape[1]} has {lines} {'columns' if self.transfer_columns else 'rows'}, which are all "
                f"read once each time; give {lines} or less.",
                stacklevel=2,
            )
        frozen = self.transfer_forward.unmanaged().fabricate(outputs, dtype, key, inputs=lines)

        def spread(value: Array) -> Array:
            each = jnp.broadcast_to(value.reshape(outputs, -1), (outputs, lines))
            return each if self.transfer_columns else each.T

        return {name: spread(value) for name, value in frozen.items()}

    def read(self, frozen: Frozen, w: Array, line: Array, key: Key) -> Array:
        """Read a column `[O]` (or row `[I]`) of `w` `[O, I]` through the converters. Consumes `key`."""
        p, seen = self.transfer_forward.unmanaged(), frozen | {"w": w}
        if not self.transfer_columns:
            seen = {name: matrix.T for name, matrix in seen.items()}
        # aihwkit reads with -1 on the line
        if p.ignores_silent_inputs:
            seen, x = take(seen, line, -1), -jnp.ones((1, 1), w.dtype)
        else:
            x = -jax.nn.one_hot(line, seen["w"].shape[1], dtype=w.dtype)[None]
        w = seen.pop("w")
        frozen = {name: each if name == "read_asymmetry" else each[:, 0] for name, each in seen.items()}
        return -mvm(p, w, x, frozen, key, None)[0]
