r"""Pulsed updates that ride on the gradients of Keras.

Keras knows of a layer's parameters only their gradients. So the "gradient" of everything that moves on a chip is its
value after the pulses, which are made in the backward pass from the x and d of the step; that of the layer's learning
rate is 1, which tells that there was such a pass. `AnalogOptimizer` takes both literally. Nothing is added or scaled
on the way, so devices stay exactly where the pulses left them, within their bounds.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from analogjax._typing import Key, PyTree
from analogjax.tile import Signal, rest, update

# chips of each matrix, slots of each, inputs and digital parameters, key -> outputs
Act = Callable[[tuple, tuple | None, PyTree, Key], PyTree]


def trained(act: Act, matrices: tuple[Any, ...], slots: tuple[Signal, ...], inputs: PyTree, key: Key) -> PyTree:
    """`act` of the chips of some matrices, whose derivative pulses them.

    Args:
        act: A function of chips, slots, inputs and a key. A matrix may be read several times, through slots stacked
            along their first axis.
        matrices: The `PulsedMatrix` objects that it reads.
        slots: Zeros for the signals of each matrix.
        inputs: All that has an ordinary gradient.
        key: Consumed. Random are the noise of the reads, the pulses, and the diffusion of the devices.

    Returns:
        What `act` returns.
    """
    beginnings = tuple(matrix.beginning(inputs) for matrix in matrices)
    stored = tuple(matrix.stored.values() for matrix in matrices)
    rates = tuple(matrix.rate.value for matrix in matrices)
    return _trained(act, matrices, beginnings, stored, rates, slots, inputs, key)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _trained(
    act: Act, matrices: tuple, beginnings: tuple, stored: tuple, rates: tuple, slots: tuple, inputs: PyTree, key: Key
) -> PyTree:  # fmt: skip
    return act(_chips(matrices, stored), None, inputs, jax.random.split(key)[0])


def _forward(
    act: Act, matrices: tuple, beginnings: tuple, stored: tuple, rates: tuple, slots: tuple, inputs: PyTree, key: Key
) -> tuple:  # fmt: skip
    for begin in beginnings:
        begin()
    k_read, k_pulse = jax.random.split(key)
    chips = _chips(matrices, stored)
    y, back = jax.vjp(lambda slots, inputs: act(chips, slots, inputs, k_read), slots, inputs)
    return y, (back, stored, rates, k_pulse)


def _backward(act: Act, matrices: tuple, beginnings: tuple, residual: tuple, d: PyTree) -> tuple:
    back, stored, rates, key = residual
    signals, d_inputs = back(d)
    chips = _chips(matrices, stored)
    after = []
    for n, (matrix, chip, signal, rate) in enumerate(zip(matrices, chips, signals, rates, strict=True)):
        k_pulse, k_rest = jax.random.split(jax.random.fold_in(key, n))
        after.append(matrix.moved_to(rest(update(chip, signal, rate, key=k_pulse), key=k_rest)))
    passed = tuple(jnp.ones_like(rate) for rate in rates)
    return tuple(after), passed, None, d_inputs, None


_trained.defvjp(_forward, _backward)


def _chips(matrices: tuple, stored: tuple) -> tuple:
    return tuple(matrix.chips(values) for matrix, values in zip(matrices, stored, strict=True))
