"""What a tile remembers besides weights and constants of crosspoints: as lists of numbers, by names.

Names start as aihwkit's do, and are the same for what both have: the learning rate, what was drawn for each output, and
the choppers of a transfer (0 and 1 for the signs +1 and -1).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compat import torch_bridge as bridge

# aihwkit's names of what is drawn for each output when a chip is made
FROZEN = {
    "out_noise_values": "out_noise", "v_offset": "v_offset", "w_asymmetry": "read_asymmetry",
    "out_nonlinearity": "out_nonlinearity",
}  # fmt: skip
_OURS = {ours: theirs for theirs, ours in FROZEN.items()}
_RATE, _AVERAGE = "rpu.learning_rate", "rpu.fb_pass.aux_nm_value"
_CHOPPERS = {"chopper.inside": "in_chopper", "chopper.outside": "out_chopper"}
_HIDDEN = ("w", "persistent", "chi", "mean", "past")  # what hidden parameters show


def dumped(tile: Any, rate: float) -> dict[str, list[float]]:
    """All of it."""
    found = {_RATE: [float(rate)]}
    for name, leaf in _named(tile).items():
        values = np.asarray(leaf, np.float64).reshape(-1)
        found[name] = ((1 - values) / 2 if _is_sign(name) else values).tolist()
    return found


def loaded(tile: Any, given: Mapping[str, Any], strict: bool) -> tuple[Any, float | None]:
    """The tile with what `dumped` gave, and the learning rate (`None`: not given).

    Raises `RuntimeError` for a wrong number of values; where `strict`, also for a name that is missing.
    """
    shown = _named(tile)
    missing = [name for name in (_RATE, *shown) if name not in given]
    if strict and missing:
        raise RuntimeError(f"load_extra: {missing} are missing; give all that dump_extra() gives.")
    new = {name: _array(name, given[name], leaf) for name, leaf in shown.items() if name in given}
    parts = {
        "frozen_forward": _filled(tile.frozen_forward, "rpu.fb_pass.fwd.", new),
        "frozen_backward": _filled(tile.frozen_backward, "rpu.fb_pass.bwd.", new),
        "state": _filled(tile.state, "rpu.rpu_device.", new),
        "average": new.get(_AVERAGE, tile.average),
    }
    rate = given.get(_RATE)
    return replace(tile, **parts), None if rate is None else float(rate[0])


def _named(tile: Any) -> dict[str, Any]:
    found = _leaves(tile.frozen_forward, "rpu.fb_pass.fwd.") | _leaves(tile.frozen_backward, "rpu.fb_pass.bwd.")
    found |= _leaves(tile.state, "rpu.rpu_device.")
    return found if tile.average is None else found | {_AVERAGE: tile.average}


def _leaves(tree: Any, prefix: str) -> dict[str, Any]:
    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    names = {_name(path, prefix): leaf for path, leaf in paths}
    return {name: leaf for name, leaf in names.items() if name is not None}


def _name(path: Any, prefix: str) -> str | None:
    """The name of a leaf; `None`: hidden parameters show it."""
    own = bridge.path_name(path).replace("['", "").replace("']", "").replace("[", ".").replace("]", "")
    if own.rpartition(".")[2] in _HIDDEN or own.startswith("buffers."):
        return None
    head, found, chopper = own.rpartition("chopper.")
    if found:
        own = head + _CHOPPERS.get(f"chopper.{chopper}", f"chopper.{chopper}")
    return prefix + _OURS.get(own, own)


def _is_sign(name: str) -> bool:
    return name.endswith(tuple(_CHOPPERS.values()))


def _array(name: str, values: Any, leaf: Any) -> Any:
    found = np.asarray(values, np.float64).reshape(-1)
    if found.size != leaf.size:
        raise RuntimeError(f"load_extra: {name} has {found.size} values, and needs {leaf.size}.")
    found = 1 - 2 * found if _is_sign(name) else found
    return bridge.beside_torch(jnp.asarray(found.reshape(leaf.shape), leaf.dtype))


def _filled(tree: Any, prefix: str, new: Mapping[str, Any]) -> Any:
    def act(path: Any, leaf: Any) -> Any:
        return new.get(_name(path, prefix) or "", leaf)

    return jax.tree_util.tree_map_with_path(act, tree)
