r"""The habits of aihwkit's torch tile, as a read policy: batches are read as a whole.

    y = rho alpha V(x / (rho alpha)),    rho = 1, 2, 4, ...    until all outputs of the batch fit

whatever the kind of bound management; silence is exactly 0 only where all of the batch is silent. Of all reads only the
last one, which is that of the whole batch, has a derivative, so such products can be differentiated.
"""

from dataclasses import replace
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax

from analogjax import pytree
from analogjax._typing import Array, Key, Scalar
from analogjax._varying import varying_like
from analogjax.physics import ADC, DAC, BoundManagement, Periphery
from analogjax.physics.bound_management import Product

_Converter = TypeVar("_Converter", DAC, ADC)
_WIDE = 2.0**60  # times a bound: nothing reaches it, and a power of two keeps steps exact


@pytree
class WholeBatch:
    """A batch is read again as long as one of its outputs is clipped; or read once, where it is not `managed`."""

    managed: bool = True
    max_factor: Scalar = 1000

    def read(self, product: Product, key: Key) -> Array:
        """The output `[B, O]`. Consumes `key`."""
        if self.managed:
            y = _last_read(self, product, jax.random.split(key, 1)[0])
        else:
            y, _ = product.once(product.audible, key)
        return jnp.where(jnp.all(product.scale == 0) & product.is_quiet, 0.0, y)


@jax.custom_jvp
def _last_read(policy: WholeBatch, product: Product, key: Key) -> Array:
    return _reads(policy, product, key)[0]


@_last_read.defjvp
def _last_read_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    policy, product, key = primals
    _, rho, trials = _reads(policy, product, key)
    last = jax.random.fold_in(key, trials - 1)
    return jax.jvp(lambda one: one.once(one.audible * (rho / 2), last)[0], (product,), (tangents[1],))


def _reads(policy: WholeBatch, product: Product, key: Key) -> tuple[Array, Array, Array]:
    """The last read, twice its factor `rho`, and how many reads it took; read `n` folds `n` into `key`."""
    base, limit = product.audible, product.reduction

    def again(carry: tuple) -> Array:
        return ~carry[1]

    def read(carry: tuple) -> tuple:
        _, _, rho, trial = carry
        y, fits = product.once(base * rho, jax.random.fold_in(key, trial))
        return y, jnp.all(fits) | (jnp.floor(rho) > policy.max_factor) | (rho > limit), 2 * rho, trial + 1

    start = product.start, jnp.asarray(False), jnp.ones((), base.dtype), jnp.int32(0)
    y, _, rho, trials = lax.while_loop(again, read, varying_like(start, (policy, product, key)))
    return y, rho, trials


def as_torch_tile(p: Periphery) -> Periphery:
    """A periphery with the habits of aihwkit's torch tile.

    Besides its reads, these are its own: a converter whose bound is negative, which makes its range infinite, keeps the
    step of that bound; output noise, where it is spread at all, is spread by 100 % whatever `out_noise_std`; a perfect
    product has no `out_scale`.
    """
    spread = 1.0 if p.adc.noise_std > 0 else 0.0
    adc = replace(_endless(p.adc), noise_std=spread, scale=1.0 if p.is_perfect else p.adc.scale)
    managing = p.bound_management
    factor = managing.max_factor if isinstance(managing, BoundManagement) else BoundManagement().max_factor
    policy = WholeBatch(managed=managing is not None, max_factor=factor)
    return replace(p, dac=_endless(p.dac), adc=adc, bound_management=policy)


def _endless(converter: _Converter) -> _Converter:
    bound, res = converter.bound, converter.res
    if bound >= 0 or res <= 0:
        return converter
    return replace(converter, bound=-bound * _WIDE, res=(1 / res if res > 1 else res) / _WIDE)
