"""Which backend Keras runs on: JAX, where nobody has chosen one and the TensorFlow that Keras would take is missing."""

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

from analogjax.errors import ConfigError, MissingPackage


def load() -> Any:
    """The module `keras`, on JAX unless another backend is chosen. Raises `MissingPackage`."""
    choose()
    try:
        import keras
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "tensorflow":
            raise MissingPackage(
                "Keras is set to run on TensorFlow, which is not installed: set KERAS_BACKEND=jax before Keras is "
                'imported, or pip install "analogjax[tf]".'
            ) from error
        raise MissingPackage('Keras models need Keras: pip install "analogjax[keras]"') from error
    return keras


def load_on_jax() -> Any:
    """The module `keras`, which must run on JAX. Raises `MissingPackage`, or `ConfigError` for another backend."""
    keras = load()
    if keras.backend.backend() != "jax":
        raise ConfigError(
            f"compat.keras: Keras runs on {keras.backend.backend()}, and analog layers need JAX. Set the environment "
            "variable KERAS_BACKEND=jax before Keras is imported (os.environ, or in front of the command)."
        )
    return keras


def choose() -> None:
    """Sets KERAS_BACKEND for this process, unless Keras is imported already, or is not there at all."""
    if "keras" in sys.modules or "KERAS_BACKEND" in os.environ:
        return
    if importlib.util.find_spec("keras") is None or importlib.util.find_spec("tensorflow") is not None:
        return
    config = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
    try:
        chosen = json.loads(config.read_text()).get("backend")
    except (OSError, ValueError, AttributeError):
        chosen = None
    if chosen in (None, "tensorflow"):  # Keras writes that itself
        os.environ["KERAS_BACKEND"] = "jax"
