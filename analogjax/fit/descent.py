"""Minimisation of a smooth function of a few numbers: L-BFGS with a line search (optax)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from analogjax._typing import Array

_PATIENCE = 12  # steps without progress
_PROGRESS = 1e-5  # a smaller relative decrease is none


class _Walk(NamedTuple):
    point: Any
    state: Any
    best: Any
    lowest: Array
    history: Array  # [steps + 1], NaN where not reached
    step: Array
    idle: Array  # steps since the last progress


def minimised(loss: Callable[[Any], Array], start: Any, steps: int) -> tuple[Any, np.ndarray]:
    """The best point of up to `steps` steps from `start`, and the lowest loss so far after each, `[1 + steps made]`.

    Stops after 12 steps that lower the loss by less than 1e-5 of it. Steps to non-finite values are not taken.
    """
    solver = optax.lbfgs()
    both = optax.value_and_grad_from_state(loss)

    def step(walk: _Walk) -> _Walk:
        value, gradient = both(walk.point, state=walk.state)
        better = value < walk.lowest
        idle = jnp.where(value < walk.lowest - _PROGRESS * jnp.abs(walk.lowest), 0, walk.idle + 1)
        lowest = jnp.where(better, value, walk.lowest)
        updates, state = solver.update(gradient, walk.state, walk.point, value=value, grad=gradient, value_fn=loss)
        moved = optax.apply_updates(walk.point, updates)
        sound = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(moved)]))
        history = walk.history.at[walk.step].set(lowest)
        point, best = _chosen(sound, moved, walk.point), _chosen(better, walk.point, walk.best)
        return _Walk(point, state, best, lowest, history, walk.step + 1, idle)

    def going(walk: _Walk) -> Array:
        return (walk.step < steps + 1) & (walk.idle < _PATIENCE)

    @jax.jit
    def run(start: Any) -> _Walk:
        history = jnp.full(steps + 1, jnp.nan)
        first = _Walk(
            start, solver.init(start), start, jnp.asarray(1e30, float), history, jnp.asarray(0), jnp.asarray(0)
        )
        return jax.lax.while_loop(going, step, first)

    walk = run(start)
    return walk.best, np.asarray(walk.history)[: int(walk.step)]


def _chosen(first: Array, one: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(first, a, b), one, other)
