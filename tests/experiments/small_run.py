"""A small training run in a process of its own: `small_run.py FOLDER OUTPUT [EPOCHS]`, to be killed and run again."""

import json
import os
import sys
from pathlib import Path

import jax
import numpy as np

if __name__ == "__main__":  # imported by tests, it must leave their cache as it is
    jax.config.update("jax_compilation_cache_dir", os.environ.get("TEST_JAX_CACHE"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

from analogjax import AnalogLinear, BasicTraining, Digits, LocalRunner, Sequential
from analogjax.experiments import CheckpointOptions
from analogjax.nn import flatten


def experiment(epochs: int = 4, **changes: object) -> BasicTraining:
    model = Sequential(flatten, AnalogLinear(12), jax.nn.sigmoid, AnalogLinear(10), jax.nn.log_softmax)
    return BasicTraining(**{"dataset": Digits, "model": model, "batch_size": 16, "epochs": epochs} | changes)


def bits(results: object) -> dict:
    """Everything but wall-clock time, exactly."""
    entries = [{k: v for k, v in entry.items() if k != "time_epoch"} for entry in results]
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(results.variables)]
    return {"results": entries, "weights": [leaf.tobytes().hex() for leaf in leaves]}


if __name__ == "__main__":
    folder, output = sys.argv[1:3]
    print("ready", flush=True)
    found = LocalRunner().run(
        experiment(int(sys.argv[3]) if len(sys.argv) > 3 else 4),
        320,
        stdout=True,
        seed=5,
        checkpoint_dir=folder if folder != "-" else None,
        checkpoints=CheckpointOptions(every_steps=3),
    )
    Path(output).write_text(json.dumps(bits(found)))
