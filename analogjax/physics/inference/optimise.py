r"""Search for conductance tables that hold given weights best: weight programming optimisation.

Strategies (`strategy`) are compared by the squared error of weights after programming, drift and compensation, over the
square of the largest weight, averaged over a sample of the weights and over the times:

    L(x) = mean_t mean_w (alpha(t) w_t - w)^2 / max|w|^2

It is minimised by differential evolution (`evolution`) with the same random numbers for all strategies, and told for
other ones. The first generation has the strategy of `NPairs`, so the result is hardly ever worse, if an entry of the
tables is where the next pair begins to be filled; the number of entries is chosen so. Reference: Mackin et al. 2022,
doi:10.1038/s41467-022-31405-1.
"""

from dataclasses import fields, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from analogjax._field_docs import document_fields
from analogjax._typing import Array, Key
from analogjax.errors import ConfigError
from analogjax.physics.inference.compensations import Compensation, GlobalCompensation
from analogjax.physics.inference.converters import CustomPairs, NPairs
from analogjax.physics.inference.evolution import evolved, spread
from analogjax.physics.inference.material import Material
from analogjax.physics.inference.noise_model import check_time
from analogjax.physics.inference.strategy import Strategy, usual

_GLOBAL = GlobalCompensation()


@document_fields
class TableSearch(NamedTuple):
    """Result of `optimise_programming`."""

    converter: CustomPairs
    """The tables."""
    loss: float
    """Mean squared error of weights over the square of the largest, for other draws than in the search [1]."""
    baseline: float
    """The same, for the same draws, of `NPairs` with these significances (1, 2, ... for those that were free) [1]."""
    history: Array
    """Smallest loss after each generation `[generations]`, for the draws of the search [1]."""


def optimise_programming(
    weights: Array, significances: tuple[float | None, ...], noise_model: Material, times: tuple[float, ...], key: Key,
    *, compensation: Compensation | None = _GLOBAL, levels: int | None = None, symmetric: bool = True,
    sample: int = 1024, population: int = 10, generations: int = 100,
) -> TableSearch:  # fmt: skip
    """Search for the conductance tables that hold weights best, on a given material at given times.

    Args:
        weights: The weights to be programmed, of any shape; their distribution counts [w].
        significances: Significance of each pair; None: searched between 0.1 and 5 [1].
        noise_model: A `Material`, whose converter gives the range of conductances.
        times: Times after programming at which the weights should be right, each with the same importance [s].
        key: Consumed. Random are the search, and the chips that strategies are tried on.
        compensation: Drift compensation; None: none.
        levels: Entries of a table from weight 0 to the largest; None: 5 to 13, so that those of `NPairs` fit.
        symmetric: Whether negative weights mirror positive ones.
        sample: Weights that strategies are tried on, a multiple of 32.
        population: Strategies in a generation, for each coordinate of a strategy.
        generations: Number of generations.

    Returns:
        The tables, their loss, that of `NPairs`, and how it fell.

    Raises:
        ConfigError: If a value makes no sense, or the material's converter can't be replaced.

    Example:
        >>> found = optimise_programming(w, (1.0, 3.0), PCMLike(), (60.0, 86400.0), key)
        >>> programmed = program(tile, PCMLike(g_converter=found.converter), GlobalCompensation(), k_program)
    """
    _check(weights, significances, noise_model, times)
    levels = _levels(usual(significances)) if levels is None else levels
    counts = {"levels": levels, "sample": sample, "population": population, "generations": generations}
    _check_counts(counts)
    converter = noise_model.converter
    strategy = Strategy(
        tuple(significances), float(converter.g_max), float(getattr(converter, "g_min", 0.0)), levels, symmetric
    )
    chosen = downsampled(jnp.asarray(weights, jnp.float32), sample)
    trial = partial(loss, noise_model=noise_model, compensation=compensation, times=tuple(times))
    k_first, k_search, k_draws, k_told = jax.random.split(key, 4)
    first = spread(population * strategy.size, strategy.size, k_first).at[0].set(strategy.low_pair_first())

    def losses(x: Array) -> Array:
        return jax.vmap(lambda one: trial(strategy.converter(one), chosen, key=k_draws))(x)

    best, history = evolved(losses, first, generations, k_search)
    f, tables = jax.jit(strategy.tables)(best)
    found = CustomPairs(
        f_lst=tuple(map(float, f)), g_lst=tuple(tuple(map(float, row)) for row in tables), g_max=strategy.g_max,
        g_min=strategy.g_min,
    )  # fmt: skip
    plain = NPairs(f_lst=usual(significances), g_max=strategy.g_max, g_min=strategy.g_min)
    told, baseline = (float(jax.jit(partial(trial, one))(chosen, key=k_told)) for one in (found, plain))
    return TableSearch(found, told, baseline, history)


def _levels(f: tuple[float, ...]) -> int:
    """The number of entries, 5 to 13, that comes nearest to one wherever a next pair begins to be filled."""
    full = [sum(f[: k + 1]) / sum(f) for k in range(len(f) - 1)]
    off = {n: max((abs(share * (n - 1) - round(share * (n - 1))) / (n - 1) for share in full), default=0.0)
           for n in range(5, 14)}  # fmt: skip
    return min(off, key=lambda n: (round(off[n], 6), n))


def loss(
    converter: Any, w: Array, noise_model: Material, compensation: Compensation | None, times: tuple[float, ...],
    key: Key,
) -> Array:  # fmt: skip
    """Squared error of `w` `[O, I]` over the square of the largest weight, averaged over times `[]`. Consumes `key`."""
    model = converted_by(noise_model, converter)
    k_program, k_drift = jax.random.split(key)
    programmed = model.program(w, k_program)
    used = jnp.ones_like(w.T)
    baseline = None if compensation is None else compensation.baseline(programmed.w.T, w.T, used)
    total = jnp.zeros((), w.dtype)
    for n, t in enumerate(times):
        now = model.drift(programmed, t, jax.random.fold_in(k_drift, n))
        alpha = 1.0 if compensation is None else compensation.factor(baseline, now.T, used)
        total = total + jnp.mean((now * jnp.reshape(jnp.asarray(alpha), (-1, 1)) - w) ** 2)
    return total / len(times) / jnp.maximum(jnp.max(jnp.abs(w)), 1e-30) ** 2


def converted_by(noise_model: Any, converter: Any) -> Any:
    """A material with another converter. Raises `ConfigError` if it has no field for one."""
    names = [field.name for field in fields(noise_model)]
    for name in ("g_converter", "converter"):
        if name in names:
            return replace(noise_model, **{name: converter})
    if "material" in names:  # one that is made of another
        return replace(noise_model, material=converted_by(noise_model.material, converter))
    raise ConfigError(
        f"{type(noise_model).__name__} has no field for its converter: name it g_converter or converter, so that it "
        "can be replaced."
    )


def downsampled(w: Array, sample: int) -> Array:
    """Weights `[32, sample / 32]` equally spaced in rank among `w`; every row has small and large ones."""
    ranked = jnp.sort(jnp.ravel(w))
    places = jnp.linspace(0, ranked.size - 1, sample)
    return jnp.interp(places, jnp.arange(ranked.size), ranked).reshape(-1, 32).T


def _check(weights: Any, significances: Any, noise_model: Any, times: Any) -> None:
    where = "optimise_programming"
    if not isinstance(noise_model, Material):
        raise ConfigError(f"{where}: noise_model={noise_model!r} needs a Material, such as PCMLike().")
    w = np.asarray(weights, np.float32) if _are_numbers(weights) else np.zeros(0)
    if w.size < 2 or not np.all(np.isfinite(w)) or not np.any(w):
        given = f"{w.size} weights, {np.sum(~np.isfinite(w))} of them not finite, {np.sum(w == 0)} of them 0"
        raise ConfigError(f"{where}: {given}; needs the distribution of a layer, finite numbers that are not all 0.")
    several = isinstance(significances, (tuple, list)) and len(significances) > 0
    if not several or not all(one is None or (_is_number(one) and 0 < one < np.inf) for one in significances):
        raise ConfigError(
            f"{where}: significances={significances!r} needs a tuple of finite numbers above 0, or None to be searched."
        )
    if not isinstance(times, (tuple, list)):
        raise ConfigError(f"{where}: times={times!r} needs a tuple of times, in seconds.")
    if len(times) == 0:
        raise ConfigError(f"{where}: times={times!r} needs at least one time, in seconds.")
    for t in times:
        check_time(noise_model, t, where)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _are_numbers(values: Any) -> bool:
    try:
        return jnp.issubdtype(np.asarray(values).dtype, jnp.number)
    except ValueError:  # lists of different lengths
        return False


def _check_counts(counts: dict[str, int]) -> None:
    where = "optimise_programming"
    least = {"levels": 2, "sample": 32, "population": 1, "generations": 1}
    for name, value in counts.items():
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < least[name] or (name == "sample" and value % 32):
            more = ", a multiple of 32" if name == "sample" else ""
            raise ConfigError(f"{where}({name}={value!r}): needs a whole number of at least {least[name]}{more}.")
