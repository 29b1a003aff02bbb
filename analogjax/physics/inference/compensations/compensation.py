r"""The `Compensation` protocol: digital factors that bring the outputs of a chip back after drift.

    b_0   = compensation.baseline(y, exact, used)          once, right after programming
    alpha = compensation.factor(b_0, y, used)              each time the chip drifts; outputs are multiplied by it

`y` `[I, O]` is what the chip answers to each unit vector, with the noise of its converters; `exact` `[I, O]` is what
it would answer without any noise if it held exactly the weights that were to be programmed.
"""

from typing import Protocol, runtime_checkable

from analogjax._typing import Array, PyTree


@runtime_checkable
class Compensation(Protocol):
    """Protocol: one digital factor for each chip, or one for each of its outputs.

    Example:
        >>> @pytree
        ... class Largest:
        ...     def baseline(self, y, exact, used):
        ...         return jnp.max(jnp.abs(y) * used)
        ...     def factor(self, baseline, y, used):
        ...         return baseline / jnp.max(jnp.abs(y) * used)
    """

    def baseline(self, y: Array, exact: Array, used: Array) -> PyTree:
        """What is kept of the answers `y` `[I, O]` right after programming, or of the `exact` ones.

        `used` `[I, O]` is 1 where there is a device and 0 in the padding of a chip.
        """
        ...

    def factor(self, baseline: PyTree, y: Array, used: Array) -> Array:
        """The factor `[]`, or one for each output `[O]`, for answers `y` `[I, O]` of now."""
        ...
