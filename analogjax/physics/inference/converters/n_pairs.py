r"""Several pairs of devices for each weight, each with a significance: the lower ones are filled first.

    r = sum_k f_k (g_max - g_min) / max|w|
    g+_k = clip((w r - c_k) / f_k, 0, g_max - g_min) + g_min,   c_k = sum_{j < k} f_j (g_max - g_min)     (w > 0)
    w = sum_k f_k (g+_k - g-_k) / r

and `g-_k` likewise of `-w`. Errors of a pair count `f_k` times, so small weights, which need the lower pairs only, are
more exact. Slices `[2 K, O, I]`: g+ and g- of the first pair, of the second, ... [uS]. Reference: Mackin et al. 2022,
doi:10.1038/s41467-022-31405-1 (significance of pairs).
"""

import jax.numpy as jnp

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.checks import check, check_numbers
from analogjax.physics.inference.converters.converter import LEAST, check_range


@pytree
class NPairs:
    """Pairs of increasing significance (aihwkit's `NPairConductanceConverter`; two are its `DualPair...`).

    Example:
        >>> PCMLike(g_converter=NPairs(f_lst=(1.0, 3.0)))
    """

    f_lst: tuple[float, ...] | Array
    """Significance of each pair `[K]`, in the order in which they are filled [1]."""
    g_max: Scalar = 25.0
    """Largest conductance of a device [uS]."""
    g_min: Scalar = 0.0
    """Conductance of a device that is not used [uS]."""

    def __post_init__(self) -> None:
        check_range(self)
        check_significances(self)

    def conductances(self, w: Array) -> tuple[Array, Array]:
        """`[2 K, O, I]` of weights `w` `[O, I]`, and the ratio `[]` [uS / w]."""
        span = self.g_max - self.g_min
        total = span * sum(self.f_lst[k] for k in range(len(self.f_lst)))
        ratio = total / jnp.maximum(jnp.max(jnp.abs(w)), LEAST)
        signs, below, slices = jnp.stack([w, -w]) * ratio, jnp.zeros((), w.dtype), []
        for k in range(len(self.f_lst)):
            slices.append(jnp.clip((signs - below) / self.f_lst[k], 0.0, span) + self.g_min)
            below = below + self.f_lst[k] * span
        return jnp.concatenate(slices), ratio

    def weights(self, g: Array, back: Array) -> Array:
        """The weights `[O, I]` of slices `g` `[2 K, O, I]`; `back` is the ratio `[]`."""
        return weighted(self.f_lst, g) / back


def weighted(f_lst: tuple[float, ...] | Array, g: Array) -> Array:
    """`sum_k f_k (g+_k - g-_k)` `[O, I]` of slices `[2 K, O, I]` [uS]."""
    pairs = g[::2] - g[1::2]
    return sum((f_lst[k] * pairs[k] for k in range(1, len(f_lst))), f_lst[0] * pairs[0])


def check_significances(converter: NPairs) -> None:
    """Check that there are significances, all above 0. Raises `ConfigError`."""
    f = converter.f_lst
    good = len(f) > 0 if isinstance(f, tuple) else getattr(f, "ndim", 0) == 1
    check(converter, good, "f_lst", "needs a tuple of numbers, one for each pair, such as (1.0, 3.0).")
    if isinstance(f, tuple):
        check_numbers(converter, "f_lst", low=0)
        good = all(value > 0 for value in f if is_static(value))
        check(converter, good, "f_lst", "a pair of significance 0 holds nothing; needs numbers above 0.")
