"""Training and evaluation: how layers that behave differently in the two learn which mode is active.

Every library has its own name for this argument. The right one is found in the signature of the layer, so that
`linen.Dropout`, `linen.BatchNorm` and custom modules need no wrapper.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

# the argument, and its value while training
_NAMES = {"train": True, "training": True, "is_training": True, "deterministic": False, "use_running_average": False}


def mode(layer: Callable[..., Any], training: bool) -> dict[str, Any]:
    """Return the keyword arguments that select the mode of `layer`, a module or a function.

    A layer whose field or bound argument of that name is already set, such as `linen.Dropout(0.5, deterministic=True)`,
    keeps its choice. One that takes arbitrary keywords (`**kwargs`) receives none.
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
