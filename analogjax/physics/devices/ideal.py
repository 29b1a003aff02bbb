r"""Weights without pulses: the update is `W -= lr d^T x` in floating point, with no bounds.

Decay multiplies by `1 - alpha / lifetime` per mini-batch (for `lifetime > 1`), diffusion adds `diffusion xi`, a reset
draws `reset_std xi`. Units: [w] weight, [batch] mini-batches.
"""

from dataclasses import replace

import jax.numpy as jnp

from analogjax._pytree import is_off, pytree
from analogjax._typing import Array, DType, Key, Scalar
from analogjax.physics.checks import check_number
from analogjax.physics.device import Cells, State
from analogjax.physics.drift import Drift
from analogjax.physics.pulses import Pulses, outer_product
from analogjax.random import normal


@pytree
class _Exact:
    """A weight that can take any value. Abstract: the two devices differ only in their defaults."""

    diffusion: Scalar = 0.0
    """Standard deviation of the random walk in one mini-batch [w]."""
    lifetime: Scalar = 0.0
    """Time constant of the decay [mini-batches]; 0: no decay."""

    def __post_init__(self) -> None:
        check_number(self, "diffusion", "lifetime", low=0)

    @property
    def granularity(self) -> Scalar:
        return 1.0

    @property
    def needs_rest(self) -> bool:
        return not (is_off(self.diffusion) and is_off(self.lifetime))

    def fabricate(self, shape: tuple[int, int], dtype: DType, key: Key) -> Cells:
        return {}

    def write(self, cells: Cells, w: Array, key: Key) -> State:
        law = getattr(self, "drift", None)
        return State(w=w, drift=None if law is None else law.begin(w))

    def update(self, p: Pulses, cells: Cells, state: State, x: Array, d: Array, lr: Scalar, key: Key) -> State:
        return replace(state, w=state.w - outer_product(x, d, lr))

    def rest(self, cells: Cells, state: State, key: Key, alpha: Scalar = 1.0) -> State:
        w = state.w
        if not is_off(self.diffusion):
            w = w + self.diffusion * normal(key, w.shape, w.dtype)
        if not is_off(self.lifetime):
            tau = jnp.asarray(self.lifetime, w.dtype)
            w = w * jnp.where(tau > 1, 1 - alpha / jnp.where(tau > 1, tau, 1.0), 1.0)
        return replace(state, w=w)

    def reset_cells(self, cells: Cells, state: State, chosen: Array, key: Key) -> State:
        fresh = getattr(self, "reset_std", 0.0) * normal(key, state.w.shape, state.w.dtype)
        return replace(state, w=jnp.where(chosen, fresh, state.w))

    def age(self, cells: Cells, state: State, dt: Scalar, key: Key) -> State:
        law = getattr(self, "drift", None)
        if law is None:
            return state
        w, memory = law.apply(jnp.full_like(state.w, law.nu), state.w, state.drift, dt, key)
        return replace(state, w=w, drift=memory)


@pytree
class Ideal(_Exact):
    """Exact weights on an otherwise analog tile: the reference for every other device."""

    reset_std: Scalar = 0.01
    """Cycle-to-cycle variation of a reset, absolute [w]."""


@pytree
class FloatingPoint(_Exact):
    """Plain floating-point weights."""

    drift: Drift | None = None
    """Power-law drift, applied when `age` is called; None: no drift."""
