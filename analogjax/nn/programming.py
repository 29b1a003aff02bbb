"""Programming of whole models: `program(key) -> drift(t, key) -> apply(key)`.

    programmed = nn.program(variables, PCMLike(), GlobalCompensation(), key=k_program)
    after_a_day = programmed.drift(86400.0, key=k_drift)
    y = nn.apply(model, after_a_day, x, key=k_read)

Pulsed layers program the weights that their devices hold, hardware-aware ones their trained weights. The trained
variables are not changed. Each `drift` starts from the state right after programming, so that drift can't be applied
twice; its result has chips instead of trained weights, so that these can't be stale.
"""

import jax

from analogjax._pytree import pytree
from analogjax._typing import Key, PyTree, Scalar
from analogjax.errors import ConfigError
from analogjax.nn.hardware_aware import HARDWARE, TILE, WEIGHT, at, aware_paths, put
from analogjax.nn.model import Variables
from analogjax.physics.inference import Compensation, NoiseModel
from analogjax.random import check_key
from analogjax.tile import drift_all, program_all
from analogjax.tile.inference import check_material
from analogjax.tile.renewal import all_renewed


@pytree(data_only=True)
class ProgrammedModel:
    """A model right after its chips were programmed."""

    variables: Variables
    """Trained variables, without the weights that were programmed."""
    chips: PyTree
    """Programmed chips, in the structure of `Variables.tiles`."""

    def drift(self, t: Scalar, *, key: Key) -> Variables:
        """The variables of the model at a later time, to be read with `nn.apply`.

        Args:
            t: Time since programming [s].
            key: Consumed. Random are the read noise, drawn once, and the readout of the compensation.

        Returns:
            Variables whose tiles are the chips at that time. They can be read, not trained.

        Raises:
            ConfigError: If the time is negative.
        """
        check_key(key, "drift")
        return self.variables.replace(tiles=drift_all(self.chips, t, key))


def program(
    variables: Variables,
    noise_model: NoiseModel,
    compensation: Compensation | None = None,
    *,
    fresh: bool = False,
    key: Key,
) -> ProgrammedModel:
    """Program the chips of a trained model.

    Args:
        variables: Trained variables of a model with pulsed layers, hardware-aware layers, or both.
        noise_model: Material, with its programming noise and drift exponents.
        compensation: Drift compensation; None: the outputs fade with time.
        fresh: Program other chips than those of the variables, with converters and wires of their own.
        key: Consumed. Random are the programming noise and drift exponents of each chip, the baseline of the
            compensation, and the constants of fresh chips.

    Returns:
        The programmed model; `drift` gives variables to read.

    Raises:
        ConfigError: If the model has no analog layer, or was programmed before.
    """
    check_key(key, "program")
    check_material("program", noise_model, compensation)
    exact = exact_chips(variables)
    if not jax.tree.leaves(exact.tiles):
        raise ConfigError("program: this model has no analog layer, so there is nothing to program.")
    tiles = exact.tiles
    if fresh:
        k_chips, key = jax.random.split(key)
        tiles = all_renewed(tiles, k_chips)
    chips = program_all(tiles, noise_model, compensation, key)
    return ProgrammedModel(variables=exact.replace(tiles={}), chips=chips)


def exact_chips(variables: Variables) -> Variables:
    """Put the weights of hardware-aware layers on chips that hold them exactly.

    Args:
        variables: Trained variables of a model.

    Returns:
        The same variables, to be read: the weights are no longer parameters, and the tiles hold them. Pulsed layers are
        as they were.

    Raises:
        ConfigError: If the weights of a layer are on chips already.
    """
    tiles, params = variables.tiles, variables.params
    for path in aware_paths(variables.collections):
        own = at(params, path)
        if WEIGHT not in own:
            raise ConfigError(f"program: {'/'.join(path)} is programmed already; program the trained variables.")
        tile = at(variables.collections[HARDWARE], path)[TILE]
        tiles = put(tiles, (*path, TILE), tile.chips(own[WEIGHT]))
        params = put(params, path, {name: value for name, value in own.items() if name != WEIGHT})
    return variables.replace(params=params, tiles=tiles)
