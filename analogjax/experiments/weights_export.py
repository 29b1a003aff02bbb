"""The weights of a model as a file that other programs read: NumPy's `.npz`, or `.safetensors`."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from analogjax._typing import PyTree
from analogjax.errors import ConfigError, MissingPackage
from analogjax.nn import Variables
from analogjax.nn.hardware_aware import HARDWARE, RANGE, TILE, WEIGHT
from analogjax.store.files import replacing
from analogjax.tile import Tile, TileArray

_SCALE = "out_scale"


def export_weights(path: str | os.PathLike[str], variables: Variables) -> None:
    """Write the weights of all layers of a model to a file.

    A layer at the path `a/b` has `a.b.weight` `[O, I]` (of a convolution `[O, C k_1 ...]`; of groups `[G, O/G, ...]`):
    the logical weights of its chips without read noise, or those that a hardware-aware layer trains, times its learned
    scale; a bias on the chip is the last column. Other parameters have their own names: `a.b.bias`, `a.b.kernel`. Batch
    statistics are included; ranges of inputs are not.

    Args:
        path: The file, whose name ends with `.npz` or `.safetensors`. It is replaced only when all of it is written.
        variables: Variables of the model.

    Raises:
        ConfigError: If the name has another ending. MissingPackage: If safetensors is not installed. OSError: If the
            disk refuses; what was there is untouched.

    Example:
        >>> export_weights("weights.safetensors", results.variables)
    """
    kind = Path(path).suffix.lower()
    if kind not in (".npz", ".safetensors"):
        raise ConfigError(f"export_weights({os.fspath(path)!r}): the file's name must end with .npz or .safetensors.")
    save = None if kind == ".npz" else _saver()
    arrays = _named(variables)
    with replacing(Path(path)) as draft:
        if save is None:
            with open(draft, "wb") as stream:
                np.savez(stream, **arrays)  # type: ignore[arg-type]
        else:
            save(arrays, os.fspath(draft))


def _saver() -> Any:
    try:
        from safetensors.numpy import save_file
    except ImportError:
        raise MissingPackage('.safetensors files need safetensors: pip install "analogjax[safetensors]"') from None
    return save_file


def _named(variables: Variables) -> dict[str, np.ndarray]:
    """Every array by its name."""
    own = dict(_flat(variables.params))
    scales = {path[:-1]: own.pop(path) for path in [*own] if path[-1] == _SCALE}
    for path, chips in _flat(variables.tiles, chips=True):
        own[(*(path[:-1] if path[-1] == TILE else path), WEIGHT)] = chips.read()
    for path, scale in scales.items():
        w = own[(*path, WEIGHT)]
        own[(*path, WEIGHT)] = w * (scale[:, None] if scale.ndim else scale)
    for name, tree in variables.collections.items():
        own |= {} if name == HARDWARE else dict(_flat(tree))
    kept = {".".join(path): np.asarray(leaf) for path, leaf in own.items() if path[-1] != RANGE}
    return {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in kept.items()}


def _flat(tree: PyTree, chips: bool = False) -> Iterator[tuple[tuple[str, ...], Any]]:
    known = (Tile, TileArray) if chips else ()
    flat, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda node: isinstance(node, known))
    for path, leaf in flat:
        yield tuple(jax.tree_util.keystr((step,), simple=True) for step in path), leaf
