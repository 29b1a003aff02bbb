"""Training and evaluation: how a layer that behaves differently in the two is told which it is.

Every library has its own name for it. What is called with the right one is found by the signature of the layer, so
`linen.Dropout`, `linen.BatchNorm` and modules of one's own need no wrapper.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

# the argument, and its value while training
_NAMES = {"train": True, "training": True, "is_training": True, "deterministic": False, "use_running_average": False}


def mode(layer: Callable[..., Any], training: bool) -> dict[str, Any]:
    """The keyword arguments that tell `layer`, a module or a function, whether this is training.

    A layer whose field or bound argument of that name is set, such as `linen.Dropout(0.5, deterministic=True)`, has
    made up its mind. One that takes any keyword (`**kwargs`) is not told.
    """
    try:
        arguments = inspect.signature(layer).parameters
    except (TypeError, ValueError):  # a function without a readable signature takes no mode
        return {}
    bound = getattr(layer, "keywords", {}) if isinstance(layer, functools.partial) else {}
    open_to = [
        name for name in _NAMES if name in arguments and name not in bound and getattr(layer, name, None) is None
    ]
    return {name: training is _NAMES[name] for name in open_to}
