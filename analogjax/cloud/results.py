"""The files of a finished experiment: protobuf, JSON and CSV results, weights, and the data of the page's plots."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from analogjax.cloud.description import Description
from analogjax.cloud.model_summary import summaries
from analogjax.cloud.wire import training
from analogjax.cloud.wire.inferencing import inference_output
from analogjax.cloud.wire.tensors import weights_of
from analogjax.experiments import Results


def result_files(description: Description, results: Results) -> dict[str, bytes]:
    """The files by name. `weights.npz` holds `layers_<n>.weight` `[O, I]` and `layers_<n>.bias` `[O]`."""
    weights = weights_of(description, results.variables)
    return {
        "output.pb": training.output(description, results, weights),
        "weights.npz": _npz(weights),
        "results.json": json.dumps(list(results)).encode(),
        "results.csv": _csv(results, ["epoch", "time_epoch", "accuracy", "train_loss", "valid_loss"]),
        "tiles.json": json.dumps(summaries(description, weights)).encode(),
    }


def inference_files(result: Mapping[str, Any]) -> dict[str, bytes]:
    """The files by name, of what `run_inference` returned."""
    entries = result["inference_runs"]["inference_results"]
    return {
        "output.pb": inference_output(result),
        "results.json": json.dumps(result).encode(),
        "results.csv": _csv(entries, list(entries[0])),
    }


def _npz(weights: list[dict[str, np.ndarray]]) -> bytes:
    plain: dict[str, Any] = {}
    for n, layer in enumerate(weights):
        plain |= {f"layers_{n}.{name}": array for name, array in layer.items() if "." not in name}
    stream = io.BytesIO()
    np.savez_compressed(stream, **plain)
    return stream.getvalue()


def _csv(rows: Iterable[Mapping[str, Any]], names: list[str]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()
