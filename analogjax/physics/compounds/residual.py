r"""Multi-tile residual learning: a weight is the sum of several arrays, each of which learns the residual of the
coarser ones.

    W = sum_k gamma^(K-1-k) w_k:   w_{K-1} is the coarsest array, with weight 1, and w_0 the finest

    w_0 sees the pulses of x and d;   every  T_k = transfer_every timescale^k  vectors a column (or row) of w_k is read,
    v = mvm(w_k, e_j),  and the next coarser array is pulsed with  w_{k+1} += lr_k v e_j^T

Together, arrays with few conductance states reach a precision that one of them cannot: the error shrinks with every
array. Choose `gamma` close to the step of a device divided by its range, so that each array spans about one step of the
next.

aihwkit has no equivalent. Without warm start this is its `TransferCompound` with other time scales. Letters: `O` rows,
`I` columns, `K` arrays. Reference: Li, Wu, Liu, Gokmen & Chen 2025, arXiv:2510.02516.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from analogjax.errors import ConfigError
from analogjax.physics.checks import is_finite
from analogjax.physics.compounds.parts.cell import as_devices
from analogjax.physics.compounds.parts.fields import changed
from analogjax.physics.compounds.parts.rates import FastRate, Writer
from analogjax.physics.compounds.parts.schedule import Schedule
from analogjax.physics.compounds.parts.transfer import Transfer, TransferState
from analogjax.physics.compounds.parts.warm_start import WarmStart


def residual(devices: Sequence[Any], *, warm_start: float | WarmStart | None = None, **fields: Any) -> Transfer:
    """Build a device of several arrays with geometrically decreasing weight, finest first.

    Args:
        devices: Pulsed devices of the arrays `[K]`, two or more.
        warm_start: Sweeps into each array before all of them learn, or a `WarmStart`; None or 0: none.
        **fields: Fields of `Transfer` and its parts by name, such as `timescale=5.0`.

    Returns:
        The device, for a `TileConfig`.

    Raises:
        ConfigError: If a field is unknown, or a value does not fit.
    """
    plain = Transfer(
        devices=as_devices("residual", devices),
        gamma=0.5,
        schedule=Schedule(transfer_every=2.0, timescale=5.0),
        fast=FastRate(fast_lr=0.0),
        writer=Writer(transfer_lr=0.1, scale_transfer_lr=False),
        warm_start=_warm(warm_start),
    )
    return changed(plain, **fields)


def _warm(given: float | WarmStart | None) -> WarmStart | None:
    """The warm start for a number of sweeps."""
    if isinstance(given, WarmStart) or given is None:
        return given
    return None if is_finite(given) and given == 0 else WarmStart(sweeps=given)


def next_array(state: TransferState) -> TransferState:
    """Move the warm start on to the next finer array, or end it. Raises `ConfigError`."""
    if state.warm_start is None:
        raise ConfigError("next_array: this transfer has no warm start to end; make it with warm_start above 0.")
    left = jnp.maximum(state.warm_start.warming - 1, 0)
    return replace(state, warm_start=replace(state.warm_start, warming=left, transfers=jnp.zeros((), jnp.int32)))
