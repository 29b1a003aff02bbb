"""torch, which analogjax itself does not need; if it is missing, importing this module explains how to install it."""

from analogjax.errors import MissingPackage

try:
    import torch as torch
    import torch.utils.data  # noqa: F401 - part of what this module offers
except ImportError as _error:
    raise MissingPackage(
        'this part of compat runs inside PyTorch, which is not installed: pip install "analogjax[torch]"'
    ) from _error
