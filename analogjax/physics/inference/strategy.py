r"""Strategies to split a weight over pairs of devices, as points of a hypercube.

Every point is a table that leads back to the weights. It says for each of `N` weights, equally spaced from -m to m,
what every pair contributes and where its two devices are. Pair by pair (letters: `K` pairs, `f_k` significance,
`D = g_max - g_min`, `R_k = sum_{j > k} f_j D` what the later pairs can still hold, `c_0` the weight [uS]):

    d_k     between  max(c_k - R_k, -f_k D)  and  min(c_k + R_k, f_k D),   c_{k+1} = c_k - d_k     (the last: d_k = c_k)
    g+_k    between  g_min + max(d_k / f_k, 0)  and  g_max + min(d_k / f_k, 0),                  g-_k = g+_k - d_k / f_k

Coordinates in order: significances that are free; the range that the largest weight takes, from 5 % to all of it; then
for each pair the places of g+ and (but for the last pair) of d, over the weights from -m on. With `symmetric` tables,
negative weights mirror positive ones. Reference: Mackin et al. 2022, doi:10.1038/s41467-022-31405-1.
"""

from typing import NamedTuple

import jax.numpy as jnp

from analogjax._typing import Array
from analogjax.physics.inference.converters import CustomPairs

_LEAST_RANGE = 0.05  # of the range of all pairs, that the largest weight takes


class Strategy(NamedTuple):
    """What is fixed while strategies are compared."""

    significances: tuple[float | None, ...]  # None: free
    g_max: float
    g_min: float
    levels: int  # entries from weight 0 to the largest
    symmetric: bool
    free: tuple[float, float] = (0.1, 5.0)  # between which a significance is searched
    slack: float = 0.0  # how far from a possible conductance a device may be asked for [uS]

    @property
    def size(self) -> int:
        """Coordinates of a strategy."""
        rows = self.levels if self.symmetric else 2 * self.levels - 1
        return self.significances.count(None) + 1 + (2 * len(self.significances) - 1) * rows

    def tables(self, x: Array) -> tuple[Array, Array]:
        """Significances `[K]` and tables `[2 K, N]` [uS] of a point `x` `[size]` of the hypercube."""
        f, x = self._significances(x)
        spans = f * (self.g_max - self.g_min)
        largest = (_LEAST_RANGE + (1 - _LEAST_RANGE) * x[0]) * jnp.sum(spans)
        left = jnp.linspace(-largest, largest, 2 * self.levels - 1)
        left = left[: self.levels] if self.symmetric else left
        places, slices = x[1:].reshape(-1, left.size), []
        for k in range(len(self.significances)):
            last = k == len(self.significances) - 1
            low, high = _between(left, spans[k], jnp.sum(spans[k + 1 :]))
            taken = left if last else low + places[2 * k + 1] * (high - low)
            left, delta = left - taken, taken / f[k]
            low = self.g_min + jnp.maximum(delta, 0.0) - self.slack
            high = self.g_max + jnp.minimum(delta, 0.0) + self.slack
            plus = jnp.clip(low + places[2 * k] * (high - low), self.g_min, self.g_max)
            slices += [plus, jnp.clip(plus - delta, self.g_min, self.g_max)]
        return f, self._mirrored(jnp.stack(slices))

    def converter(self, x: Array) -> CustomPairs:
        """The converter of a point `x` `[size]`, whose tables are traced."""
        f, tables = self.tables(x)
        return CustomPairs(f_lst=f, g_lst=tables, g_max=self.g_max, g_min=self.g_min, invertibility_test=False)

    def low_pair_first(self) -> Array:
        """The point `[size]` whose tables are those of `NPairs`."""
        free, (least, most) = self.significances.count(None), self.free
        wanted = [
            one for one, given in zip(usual(self.significances), self.significances, strict=True) if given is None
        ]
        x = jnp.concatenate(
            [(jnp.asarray(wanted) - least) / (most - least), jnp.ones(1), jnp.zeros(self.size - free - 1)]
        )
        f, _ = self._significances(x)
        spans = f * (self.g_max - self.g_min)
        left = jnp.linspace(-jnp.sum(spans), jnp.sum(spans), 2 * self.levels - 1)
        left = left[: self.levels] if self.symmetric else left
        rows = []
        for k in range(len(self.significances)):
            low, high = _between(left, spans[k], jnp.sum(spans[k + 1 :]))
            taken = jnp.clip(left, -spans[k], spans[k])
            rows += [jnp.zeros_like(left), (taken - low) / jnp.where(high > low, high - low, 1.0)]
            left = left - taken
        return jnp.concatenate([x[: free + 1], *rows[:-1]])

    def _significances(self, x: Array) -> tuple[Array, Array]:
        """The significances `[K]`, the free ones from the first coordinates of `x`, and the other coordinates."""
        free, found = 0, []
        for given in self.significances:
            searched = self.free[0] + (self.free[1] - self.free[0]) * x[min(free, x.size - 1)]
            found.append(searched if given is None else jnp.asarray(given, x.dtype))
            free += given is None
        return jnp.stack(found), x[free:]

    def _mirrored(self, tables: Array) -> Array:
        if not self.symmetric:
            return tables
        other = tables.reshape(-1, 2, self.levels)[:, ::-1, ::-1]  # g+ of -w is g- of w, from weight 0 on
        return jnp.concatenate([tables[:, :-1], other.reshape(tables.shape)], 1)


def usual(significances: tuple[float | None, ...]) -> tuple[float, ...]:
    """The significances, with 1, 2, ... in the place of those that are free."""
    return tuple(1.0 + k if given is None else float(given) for k, given in enumerate(significances))


def _between(left: Array, span: Array, later: Array) -> tuple[Array, Array]:
    """The least and the most that a pair of `span` may take of `left` `[N]`, if later pairs hold up to `later` [uS]."""
    return jnp.maximum(left - later, -span), jnp.minimum(left + later, span)
