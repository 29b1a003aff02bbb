r"""Write and verify: devices are read after programming, and those that are off are programmed again.

    g = write(target)
    while a device is off, and not written again `iterations` times yet:
        r   = g + read_noise xi                                  one read of each device
        off = |r - target| > tolerance
        g   = write(max(target - e, 0)) where off,              e = mean(r - what was asked for) of this device so far

So writes that miss on average are corrected, and writes that scatter are repeated until one is close. Each device stops
on its own; the array is done when all have stopped. The material is any `Material`; what it remembers and how it drifts
are not changed. One compiled loop for all devices. Letters: `S` slices. Reference: Papandreou et al. 2011,
doi:10.1109/ISCAS.2011.5937569 (iterative programming of phase change memory).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Key, PyTree, Scalar
from analogjax.physics.checks import check, check_number
from analogjax.physics.inference.converters import Converter
from analogjax.physics.inference.material import Material
from analogjax.random import normal


class _Loop(NamedTuple):
    g: Array  # [S, O, I] [uS]
    off: Array  # [S, O, I] bool, which devices are to be written again
    misses: Array  # [S, O, I] sum of what was read minus what was asked for [uS]
    n: Array  # number of verifications so far
    key: Key


@pytree
class WriteVerify(Material):
    """A material whose devices are read and written again until they are right. No gradient goes back through the loop.

    Example:
        >>> programmed = program(tile, WriteVerify(material=PCMLike(), tolerance=0.5), GlobalCompensation(), key)
    """

    material: Material
    """What the devices are made of."""
    tolerance: Scalar = 0.5
    """Error of a read that is accepted [uS]."""
    iterations: int = 20
    """How often devices that are off are written again, at most."""
    read_noise: Scalar = 0.0
    """Standard deviation of the reads that verify [uS]."""

    def __post_init__(self) -> None:
        check(self, isinstance(self.material, Material), "material", "needs a Material, such as PCMLike().")
        check_number(self, "tolerance", "read_noise", low=0)
        good = is_static(self.iterations) and isinstance(self.iterations, int) and self.iterations >= 0
        check(self, good, "iterations", "needs a whole number of 0 or more.")

    @property
    def converter(self) -> Converter:  # type: ignore[override]
        """The converter of the material."""
        return self.material.converter

    @property
    def keeps_conductances(self) -> bool:  # type: ignore[override]
        """Whether drift starts from the programmed conductances, as the material says."""
        return self.material.keeps_conductances

    @property
    def known_times(self) -> tuple[float, ...] | None:
        """The times that the material knows; None: all."""
        return getattr(self.material, "known_times", None)

    def write(self, g: Array, key: Key) -> Array:
        return self.verified(g, key)[0]

    def verified(self, g: Array, key: Key) -> tuple[Array, Array]:
        """Conductances `[S, O, I]` after the loop for targets `g`, and which devices a read has not accepted yet.

        Consumes `key`. Random are the writes and the reads.
        """
        k_first, k_verify, k_loop = jax.random.split(key, 3)
        first = self.material.write(g, k_first)
        error = self._verify(first, k_verify) - g
        loop = _Loop(first, jnp.abs(error) > self.tolerance, error, jnp.ones((), jnp.int32), k_loop)
        done = lax.while_loop(
            lambda loop: (loop.n <= self.iterations) & jnp.any(loop.off), lambda loop: self._again(g, loop), loop
        )
        return done.g, done.off

    def remember(self, g: Array, key: Key) -> PyTree:
        return self.material.remember(g, key)

    def read(self, g: Array, memory: PyTree, t: Scalar, key: Key) -> Array:
        return self.material.read(g, memory, t, key)

    def _again(self, target: Array, loop: _Loop) -> _Loop:
        """The devices that are off are written and read once more."""
        k_write, k_verify, k_next = jax.random.split(loop.key, 3)
        # a device that is off has been read each time, so the number of its reads is that of the loop
        asked = jnp.maximum(target - loop.misses / loop.n.astype(target.dtype), 0.0)
        g = jnp.where(loop.off, self.material.write(asked, k_write), loop.g)
        read = self._verify(g, k_verify)
        off = loop.off & (jnp.abs(read - target) > self.tolerance)
        return _Loop(g, off, loop.misses + read - asked, loop.n + 1, k_next)

    def _verify(self, g: Array, key: Key) -> Array:
        """Conductances `[S, O, I]` as the verification reads them. Consumes `key`."""
        return g + self.read_noise * normal(key, g.shape, g.dtype)
