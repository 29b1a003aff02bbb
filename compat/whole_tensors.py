"""Numbers that a program may give in any form, as a tensor of the chips' number type."""

from typing import Any

import numpy as np

from compat.torch_package import torch


def tensor_of(values: Any) -> Any:
    """A tensor, an array, a list or a number as a float32 tensor on the CPU, without its history."""
    given = values if isinstance(values, torch.Tensor) else torch.from_numpy(np.array(values))
    return given.detach().cpu().float()
