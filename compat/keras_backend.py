"""Which backend Keras runs on: JAX, where nobody has chosen one and the TensorFlow that Keras would take is missing."""

import importlib.util
import json
import os
import sys
from pathlib import Path


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
