"""Tiles in flax's own checkpoints: every `@pytree` class supports `flax.serialization`.

The state of a node is a dict of its traced fields. Its configuration is not stored: as for every flax dataclass, it
comes from the target that is restored into.
"""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
from flax import serialization

from analogjax._pytree import data_fields, for_each_class


def _state_of(node: Any) -> dict[str, Any]:
    return {name: serialization.to_state_dict(getattr(node, name)) for name in data_fields(node)}


def _restored(target: Any, state: dict[str, Any]) -> Any:
    names = data_fields(target)
    if set(names) != set(state):
        raise ValueError(
            f"{type(target).__name__}: the target holds arrays in {sorted(names)}, what was stored in {sorted(state)}; "
            "restore into a target of the same configuration."
        )
    for name in names:
        here, there = (jax.tree.map(np.shape, value) for value in (getattr(target, name), state[name]))
        if not isinstance(here, dict) and isinstance(there, tuple) and here != there:
            raise ValueError(
                f"{type(target).__name__}.{name}: the target is {here} and what was stored is {there}; restore into a "
                "target of the same shape."
            )
    fields = {name: serialization.from_state_dict(getattr(target, name), state[name], name=name) for name in names}
    return replace(target, **fields)


def register() -> None:
    """Register every `@pytree` class with flax, including those defined later."""
    for_each_class(lambda cls: serialization.register_serialization_state(cls, _state_of, _restored))
