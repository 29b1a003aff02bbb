"""Keras runs on JAX here; where it is missing, or runs on something else, there is nothing to test.

The folder is not called `keras`: pytest puts the one above into the path, and `import keras` would find it.
"""

import importlib.util
import os

os.environ.setdefault("KERAS_BACKEND", "jax")
if importlib.util.find_spec("keras") is None or os.environ["KERAS_BACKEND"] != "jax":
    collect_ignore_glob = ["test_*.py"]
