r"""Pairs of devices programmed by tables: any way to split a weight over conductances.

    w_n = m (2 n / (N - 1) - 1) for n = 0 .. N - 1,   m = max|w|          the weights of the table's entries
    g_s(w) = table s, linearly interpolated at w                          s = g+ and g- of pair 0, of pair 1, ...
    w = sum_k f_k (g+_k - g-_k) / r,   r = max_n |sum_k f_k (g+_kn - g-_kn)| / m

A table means what it says only if it is its own inverse, `sum_k f_k (g+_kn - g-_kn) = r w_n`; this is checked at five
weights. Slices `[2 K, O, I]` [uS]. Reference: Mackin et al. 2022, doi:10.1038/s41467-022-31405-1.
"""

import jax.numpy as jnp
import numpy as np

from analogjax._pytree import is_static, pytree
from analogjax._typing import Array, Scalar
from analogjax.physics.checks import check, check_numbers
from analogjax.physics.inference.converters.converter import LEAST, check_range
from analogjax.physics.inference.converters.n_pairs import weighted

_CLOSE = 1e-4  # of the largest weight, between a weight and what its conductances stand for


@pytree
class CustomPairs:
    """Pairs with a table for each device (aihwkit's `CustomPairConductanceConverter`).

    Raises:
        ConfigError: If tables and significances do not fit, or tables do not lead back to the weights.

    Example:
        >>> CustomPairs(f_lst=(1.0,), g_lst=((0.0, 0.0, 25.0), (25.0, 0.0, 0.0)))
    """

    f_lst: tuple[float, ...] | Array
    """Significance of each pair `[K]` [1]."""
    g_lst: tuple[tuple[float, ...], ...] | Array
    """Tables `[2 K, N]` [uS]: g+ and g- of the first pair, of the second, ...; from the smallest weight to the largest.
    """
    g_max: Scalar = 25.0
    """Largest conductance of a device, to which noise models relate all others [uS]."""
    g_min: Scalar = 0.0
    """Smallest conductance of a device [uS]."""
    invertibility_test: bool = True
    """Whether tables that do not lead back to the weights are refused."""

    def __post_init__(self) -> None:
        check_range(self)
        check(self, len(self.f_lst) > 0, "f_lst", "needs a number for each pair.")
        if isinstance(self.f_lst, tuple):
            check_numbers(self, "f_lst")
        if not is_static(self.g_lst):
            return
        self._check_tables()
        if self.invertibility_test and is_static(self.f_lst):
            self._check_inverse()

    def conductances(self, w: Array) -> tuple[Array, Array]:
        """`[2 K, O, I]` of weights `w` `[O, I]`, and the ratio `[]` [uS / w]."""
        tables = jnp.asarray(self.g_lst, w.dtype)
        largest = jnp.maximum(jnp.max(jnp.abs(w)), LEAST)
        n = tables.shape[1] - 1
        place = jnp.clip((w / largest + 1) * (n / 2), 0.0, n)
        low = jnp.clip(jnp.floor(place), 0, n - 1).astype(jnp.int32)
        share = place - low
        g = tables[:, low] * (1 - share) + tables[:, low + 1] * share
        ratio = jnp.max(jnp.abs(weighted(self.f_lst, tables))) / largest
        return g, ratio

    def weights(self, g: Array, back: Array) -> Array:
        """The weights `[O, I]` of slices `g` `[2 K, O, I]`; `back` is the ratio `[]`."""
        return weighted(self.f_lst, g) / jnp.maximum(back, LEAST)

    def _check_tables(self) -> None:
        tables = self.g_lst
        good = isinstance(tables, tuple) and all(isinstance(table, tuple) for table in tables)
        check(self, good, "g_lst", "needs a tuple of tables, each a tuple of conductances [uS].")
        fits = len(tables) == 2 * len(self.f_lst)
        check(self, fits, "g_lst", f"needs two tables for each of the {len(self.f_lst)} numbers of f_lst.")
        same = len({len(table) for table in tables}) == 1 and len(tables[0]) > 1
        check(self, same, "g_lst", "needs tables of one length, 2 or more.")
        numbers = all(isinstance(g, (int, float)) and 0 <= g < np.inf for table in tables for g in table)
        check(self, numbers, "g_lst", "needs finite conductances of 0 or more [uS].")

    def _check_inverse(self) -> None:
        tables = np.asarray(self.g_lst, float)
        held = np.asarray(self.f_lst, float) @ (tables[::2] - tables[1::2])
        held = held / max(np.max(np.abs(held)), LEAST)
        w = np.linspace(-1, 1, 5)
        error = np.max(np.abs(np.interp(w, np.linspace(-1, 1, held.size), held) - w))
        remedy = (
            f"does not lead back to the weights: off by up to {error:.3g} of the largest weight. sum f (g+ - g-) must "
            "rise in equal steps from -m to m; invertibility_test=False takes the tables as they are."
        )
        check(self, error < _CLOSE, "g_lst", remedy)
