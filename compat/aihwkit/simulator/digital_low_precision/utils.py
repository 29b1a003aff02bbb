"""From torch to numpy."""

from typing import Any

import numpy as np

from compat.torch_package import torch


def to_numpy(tensor: Any) -> Any:
    """A tensor, array or number as an array."""
    return tensor.detach().cpu().numpy() if isinstance(tensor, torch.Tensor) else np.array(tensor)
