"""The old place of `aihwkit.inference`."""

import warnings

from compat.aihwkit.inference import *  # noqa: F403 - all that it exports

warnings.warn(
    "aihwkit.simulator.noise_models is the old place of aihwkit.inference: import from there.",
    FutureWarning,
    stacklevel=4,  # the line that imports it: this file, importlib and the alias lie between
)
