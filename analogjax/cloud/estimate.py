"""How much memory an experiment needs, estimated from its description before anything of it is made.

memory = 1 GiB (Python, JAX and its programs) + 4 V + 6 B A + 6 D, where V are the bytes of the chips with all devices
of all cells, B the batch size, A the bytes of one item in all layers, and D the bytes of the dataset's images. The
factors count what is held at a time: the variables, their changes, and the pulses; what each layer keeps for the way
back, with its noise and the columns of convolutions. They are meant to be too large rather than too small.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache

import numpy as np

from analogjax import data
from analogjax.cloud.configuration import config_from_json
from analogjax.cloud.description import Described, Description, item_shape
from analogjax.cloud.errors import DescriptionError
from analogjax.cloud.inference import InferenceDescription
from analogjax.cloud.layers import LAYERS, shape_after
from analogjax.tile.array import create_array

_BASE, _OF_VARIABLES, _OF_ITEMS, _OF_DATA = 2**30, 4, 6, 6
_SIDE = 16  # of the small chip


def memory_needed(description: Description | InferenceDescription) -> int:
    """Estimated memory [bytes]."""
    items = _OF_ITEMS * description.batch_size * _bytes_of_item(description)
    return _BASE + _OF_VARIABLES * bytes_of_variables(description) + items + _OF_DATA * _bytes_of_data(description)


def check_memory(description: Description | InferenceDescription, most: int | None) -> None:
    """Raise `DescriptionError` if it needs more than `most` bytes, with what to make smaller."""
    needed = memory_needed(description)
    if most is not None and needed > most:
        raise DescriptionError(
            f"The experiment needs about {needed / 2**30:.1f} GiB of memory; one may use {most / 2**30:.1f} GiB here. "
            f"Its chips with all devices take {bytes_of_variables(description) / 2**30:.2f} GiB, and a batch of "
            f"{description.batch_size} {description.batch_size * _bytes_of_item(description) / 2**30:.2f} GiB: make "
            "batch_size or the layers smaller."
        )


def bytes_of_variables(description: Described) -> int:
    """Size of the chips with all devices of all cells, and of digital weights [bytes]."""
    total = 0
    for kind, arguments in description.layers:
        matrix = LAYERS[kind].matrix
        if matrix is not None:
            cell = _bytes_of_cell(json.dumps(arguments["config"], sort_keys=True)) if LAYERS[kind].analog else 4.0
            total += math.ceil(math.prod(matrix.sizes(arguments)) * cell)
    return total


@lru_cache(maxsize=1024)  # the layers of a model, and the models of a user, have few configurations
def _bytes_of_cell(config: str) -> float:
    """Bytes of one cell of a chip, counted on a small one, of which nothing is computed but the shapes."""
    import jax

    made = jax.eval_shape(
        lambda seed: create_array(config_from_json(json.loads(config)), (_SIDE, _SIDE), jax.random.key(seed)),
        jax.ShapeDtypeStruct((), np.uint32),
    )
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(made)) / _SIDE**2


def _bytes_of_item(description: Described) -> int:
    shape = item_shape(description.dataset)
    total = math.prod(shape)
    for n, (kind, arguments) in enumerate(description.layers):
        shape = shape_after(kind, arguments, shape, f"layers[{n}]")
        total += math.prod(shape)
    return 4 * total


def _bytes_of_data(description: Described) -> int:
    found = data.named(description.dataset)
    return (found.train_size + found.test_size) * math.prod(found.shape)
