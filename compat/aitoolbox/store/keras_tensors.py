"""Keras models in `.safetensors` files: each variable by its path, and the configuration of the model as JSON.

The optimizer's state is among them. Models whose layers keep more than variables (vocabularies, files) are refused.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from compat.aitoolbox.store import tensors_file
from compat.aitoolbox.store.errors import DamagedFile, NotData

FORMAT = 1
_OWN = ("save_own_variables", "load_own_variables", "save_assets", "load_assets")


def check(keras: Any, model: Any) -> None:
    """Raise `NotData` for a model that such a file can't hold, and `MissingPackage`."""
    tensors_file.package("numpy")
    for layer in model._flatten_layers():
        own = [name for name in _OWN if getattr(type(layer), name, None) is not getattr(keras.layers.Layer, name, None)]
        if own and not type(layer).__module__.startswith("keras."):
            raise _refused(model, f"{layer.name} ({type(layer).__name__}) has its own {own[0]}()")
        if any(name.endswith("assets") for name in own):
            raise _refused(model, f"{layer.name} ({type(layer).__name__}) keeps more than variables")
    try:
        keras.saving.serialize_keras_object(model)
    except NotImplementedError as error:
        raise _refused(model, str(error).split("\n")[0]) from None


def write(keras: Any, file: Path, model: Any) -> None:
    """Write a model."""
    variables = dict(_variables(model))
    about = {
        "format": FORMAT,
        "model": keras.saving.serialize_keras_object(model),
        "variables": list(variables),
    }
    arrays = {name: np.ascontiguousarray(keras.ops.convert_to_numpy(one)) for name, one in variables.items()}
    shapes = {name: tuple(one.shape) for name, one in variables.items()}
    tensors_file.write(file, {name: array.reshape(shapes[name]) for name, array in arrays.items()}, about)


def read(keras: Any, file: str | os.PathLike[str], trusted: bool, custom_objects: Any, compile: bool) -> Any:
    """The model. Raises what Keras does for unknown and unsafe objects, and `DamagedFile`."""
    arrays, about = tensors_file.read(file)
    if about.get("format") != FORMAT or "model" not in about:
        raise DamagedFile(f"{os.fspath(file)} is no Keras model, or of a newer version: update analogjax.")
    config = dict(about["model"])
    if "analogjax>" in json.dumps(config):
        import compat.keras  # noqa: F401 - so that Keras knows its layers
    if not compile:
        config.pop("compile_config", None)
    model = keras.saving.deserialize_keras_object(config, custom_objects=custom_objects, safe_mode=not trusted)
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and not optimizer.built:
        optimizer.build(model.trainable_variables)
    # by their order: Keras numbers the names of what is inside of layers anew
    names = [name for name in about["variables"] if compile or not name.startswith(_OPTIMIZER)]
    own = [variable for _, variable in _variables(model)]
    fit = len(own) == len(names) and all(
        tuple(one.shape) == arrays[name].shape and one.path.split("/")[-1] == name.split("#")[0].split("/")[-1]
        for one, name in zip(own, names, strict=True)
    )
    if not fit:
        raise DamagedFile(
            f"{os.fspath(file)} has {len(names)} variables that do not fit the {len(own)} of the model that it "
            "describes: restore it from a copy, or give the classes that it was saved with as custom_objects."
        )
    for name, variable in zip(names, own, strict=True):
        variable.assign(arrays[name])
    return model


_OPTIMIZER = "optimizer/"


def _variables(model: Any) -> Any:
    """Each variable of the model and its optimizer, by a name of its own."""
    optimizer = getattr(model, "optimizer", None)
    metrics = {id(one) for metric in getattr(model, "metrics", ()) for one in metric.variables}
    seen: dict[str, int] = {}
    of_optimizer = [] if optimizer is None else optimizer.variables
    for prefix, variables in (("", model.variables), (_OPTIMIZER, of_optimizer)):
        for variable in variables:
            if id(variable) in metrics:  # they begin anew in each epoch
                continue
            path = prefix + variable.path
            seen[path] = seen.get(path, 0) + 1
            yield path if seen[path] == 1 else f"{path}#{seen[path]}", variable


def _refused(model: Any, why: str) -> NotData:
    return NotData(
        f"{type(model).__name__} can't be in a .safetensors file: {why}. Use model_format='keras'; nothing was written."
    )
