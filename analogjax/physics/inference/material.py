r"""`Material`: a noise model described device by device, in conductances [uS].

    g, back = converter.conductances(w)                     targets `[S, O, I]`
    g_p     = write(g)                                      what is programmed, with noise
    memory  = remember(g)                                   what else is drawn for each device, such as drift exponents
    w_p     = converter.weights(g_p, back)
    w_t     = converter.weights(read(g_p, memory, t), back)         at time t

By default the conductances `g_p` of a read are those of the programmed *weights*: these are converted anew, scaled by
the largest weight that was programmed, and what is common to the two devices of a pair is lost (a convention of
aihwkit). With `keeps_conductances` they are the conductances that were programmed, as on a chip. The error of weights
on PCM after a day differs by 1 % for one, two or three pairs, and by 5 % where devices of weight 0 hold 5 uS.
Converters that round always keep them. Letters: `S` slices, `O` rows, `I` columns.
"""

from abc import ABC, abstractmethod

import jax

from analogjax._typing import Array, Key, PyTree, Scalar
from analogjax.physics.inference.converters import Converter
from analogjax.physics.inference.noise_model import Programmed, check_time


class Material(ABC):
    """Base of materials. A material is a `@pytree` with a `converter` (a field or property), `write` and `read`.

    Example:
        >>> @pytree
        ... class Leaky(Material):
        ...     converter: Converter = SinglePair()
        ...     def write(self, g, key):
        ...         return g + 0.1 * random.normal(key, g.shape, g.dtype)
        ...     def read(self, g, memory, t, key):
        ...         return g * jnp.exp(-t / 1e7)
    """

    converter: Converter
    keeps_conductances: bool = False

    @abstractmethod
    def write(self, g: Array, key: Key) -> Array:
        """The conductances `[S, O, I]` that are programmed where `g` was asked for [uS]. Consumes `key`."""

    def remember(self, g: Array, key: Key) -> PyTree:
        """What is drawn for each device when `g` `[S, O, I]` is programmed; by default nothing. Consumes `key`."""
        return None

    @abstractmethod
    def read(self, g: Array, memory: PyTree, t: Scalar, key: Key) -> Array:
        """The conductances `[S, O, I]` that one read sees at `t`, of programmed ones `g` [uS]. Consumes `key`."""

    def program(self, w: Array, key: Key) -> Programmed:
        """Program `w` `[O, I]`. Random is what `write` and `remember` draw for each device. Consumes `key`."""
        k_write, k_memory = jax.random.split(key)
        g, back = self.converter.conductances(w)
        memory = self.remember(g, k_memory)
        written = self.write(g, k_write)
        keeps = self.keeps_conductances or getattr(self.converter, "rounds", False)
        kept = (written, back) if keeps else None
        return Programmed(w=self.converter.weights(written, back), memory=memory, kept=kept)

    def drift(self, programmed: Programmed, t: Scalar, key: Key) -> Array:
        """The weights `[O, I]` after `t` seconds. Random is the read noise of each device. Consumes `key`."""
        check_time(self, t, f"{type(self).__name__}.drift")
        g, back = self.converter.conductances(programmed.w) if programmed.kept is None else programmed.kept
        return self.converter.weights(self.read(g, programmed.memory, t, key), back)
