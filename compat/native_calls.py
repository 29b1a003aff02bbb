"""Native functions called by hand with torch tensors; what they draw comes from torch's generator."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from compat import torch_bridge as bridge
from compat.torch_package import torch


def array(tensor: Any) -> Any:
    """A tensor as a float32 JAX array; `None` stays."""
    return None if tensor is None else bridge.beside_torch(jnp.asarray(np.array(tensor.detach().float().cpu().numpy())))


def tensors(tree: Any, like: Any) -> Any:
    """Arrays (a pytree) as tensors of the dtype and on the device of `like`."""
    return jax.tree.map(lambda leaf: bridge.copied(leaf).to(like), tree)


@torch.no_grad()
def drawn(function: Callable[..., Any], like: Any, *given: Any) -> Any:
    """`function(*given, key)` of tensors (or `None`, or plain values), as tensors such as `like`."""
    arrays = [array(one) if one is None or isinstance(one, torch.Tensor) else one for one in given]
    return tensors(function(*arrays, bridge.draw_key()), like)
