"""Keras models in `.h5` or `.keras` files that Keras 3 loads again."""

import json
import os
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analogjax.errors import ConfigError
from compat import keras_backend
from compat.aitoolbox.store import keras_tensors, tensors_file
from compat.aitoolbox.store.errors import DamagedFile, UnknownObject, UnsafeFile

# Keras writes the short names into .h5 files and, since version 3, does not find them when it reads them back
_FULL_NAMES = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "bce": "binary_crossentropy",
    "kld": "kl_divergence",
}
_UNKNOWN = re.compile(r"(?:Unknown \w+: '?|Could not locate \w+ '|identifier: '?)(\w+)")


load_keras = keras_backend.load


def write(file: Path, model: Any) -> None:
    """`model.save`, in the format that the ending of `file` names.

    Warns where `.h5` cannot hold the model. Raises `TypeError` for what has no `save`.
    """
    if file.suffix == ".h5" and _is_subclassed(model):
        warnings.warn(
            f"{type(model).__name__} is a subclassed model: Keras writes it to .h5, and cannot load it from there. "
            "Use model_format='keras' of the experiment saver, or file_format='keras' of a KerasLocalModelSaver.",
            stacklevel=2,
        )
    if tensors_file.is_one(file):
        return keras_tensors.write(load_keras(), file, model)
    with _compiled_as_before(model):
        model.save(str(file))
    if file.suffix == ".h5":
        _spell_out(file)
    return None


@contextmanager
def _compiled_as_before(model: Any) -> Iterator[None]:
    """Keras takes the optimizer out of a model's own settings when it writes .h5: a later .keras would lack it."""
    settings = getattr(getattr(model, "_compile_config", None), "config", None)
    settings = settings if isinstance(settings, dict) else {}
    before = dict(settings)
    try:
        yield
    finally:
        settings.update(before)


def check(model: Any, file_format: str = "keras") -> None:
    """Raises, before any folder is made, `AttributeError` unless `model` can be saved, `NotData` unless in this format,
    and `MissingPackage`.
    """
    if not callable(getattr(model, "save", None)):
        raise AttributeError(
            f"A Keras model with a `save` method is needed, a {type(model).__name__} was given: for a PyTorch "
            "checkpoint use the PyTorch saver, for a JAX pytree the Flax saver."
        )
    keras = load_keras()
    if file_format == "safetensors":
        keras_tensors.check(keras, model)


def read(
    file: str | os.PathLike[str], *, trusted: bool = False, custom_objects: Any = None, compile: bool = True
) -> Any:
    """`keras.models.load_model`, with its options; `trusted` also runs the Lambda layers in the file.

    Raises `UnsafeFile`, `UnknownObject` for classes and functions that Keras does not find by their names,
    `DamagedFile`, `FileNotFoundError`, `ConfigError` for analog layers on another backend than JAX.
    """
    keras = load_keras()
    if not os.path.isfile(file):
        raise FileNotFoundError(f"There is no model file {os.fspath(file)}.")
    if not tensors_file.is_one(file):
        _check_whole(file)
    try:
        if "analogjax>" in _architecture(file):
            import compat.keras  # noqa: F401 - so that Keras knows its layers
        if tensors_file.is_one(file):
            return keras_tensors.read(keras, file, trusted, custom_objects, compile)
        model = keras.models.load_model(
            str(file), safe_mode=not trusted, custom_objects=custom_objects, compile=compile
        )
        if os.fspath(file).endswith(".h5"):
            _restore_optimizer(file, model)
        return model
    except ConfigError:  # says itself what is missing
        raise
    except (ValueError, TypeError) as error:
        raise _explained(file, error, trusted) from error
    except (OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DamagedFile(
            f"{os.fspath(file)} is damaged or not a Keras model ({error}): restore it from a copy."
        ) from error


def _explained(file: str | os.PathLike[str], error: Exception, trusted: bool) -> Exception:
    told, names = str(error), _names_of_training(file)
    if "<lambda>" in names or "lambda" in names:
        return UnknownObject(
            f"{os.fspath(file)} was compiled with a lambda as loss or metric, of which it holds no more than that: "
            "load it with compile=False, and compile it again."
        )
    if not trusted and any(word in told.lower() for word in ("safe_mode", "unsafe", "lambda")):
        return UnsafeFile(
            f"{os.fspath(file)} was not loaded, because it holds a function that would run. If you trust whoever "
            "wrote it, pass allow_pickle=True."
        )
    unknown = [*_UNKNOWN.findall(told), *names]
    named = ", ".join(f"{name!r}: ..." for name in dict.fromkeys(unknown)) or "'its name': ..."
    reason = " ".join(told.rpartition("Exception encountered:")[2].split())
    return UnknownObject(
        f"{os.fspath(file)} was not loaded: {reason[:300].rstrip('.')}. Give what Keras does not find by its name, "
        f"custom_objects={{{named}}}, or mark it with @keras.saving.register_keras_serializable() before it is saved; "
        "compile=False leaves out loss, metrics and optimizer."
    )


def _names_of_training(file: str | os.PathLike[str]) -> list[str]:
    """The losses and metrics in an .h5 file that Keras has not got."""
    import h5py

    if not h5py.is_hdf5(file):
        return []
    with h5py.File(file) as stored:
        config = json.loads(stored.attrs.get("training_config", "{}"))
    given = [config.get("loss"), config.get("metrics"), config.get("weighted_metrics")]
    return [name for name in _texts(given) if not _is_known(name)]


def _texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        if "class_name" in value:
            inside = value.get("config")
            return [inside] if isinstance(inside, str) else _texts(inside.get("fn")) if isinstance(inside, dict) else []
        value = list(value.values())
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value] if isinstance(value, str) else []


def _is_known(name: str) -> bool:
    keras = load_keras()
    for find in (keras.losses.get, keras.metrics.get):
        try:
            if find(name) is not None:
                return True
        except (ValueError, TypeError):
            continue
    return name in ("accuracy", "acc", "crossentropy", "ce", "loss")  # Keras chooses what they mean for a model


def _check_whole(file: str | os.PathLike[str]) -> None:
    if not os.fspath(file).endswith(".keras"):
        return
    try:
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, EOFError) as error:
        broken = str(error)
    if broken is not None:
        raise DamagedFile(f"{os.fspath(file)} is damaged ({broken}): restore it from a copy.")


def _architecture(file: str | os.PathLike[str]) -> str:
    """The layers of the model in a file, as the text of a JSON document; empty for a file of another kind."""
    import h5py

    if h5py.is_hdf5(file):
        with h5py.File(file) as stored:
            return str(stored.attrs.get("model_config", ""))
    if not zipfile.is_zipfile(file):
        return ""
    with zipfile.ZipFile(file) as archive:
        return archive.read("config.json").decode() if "config.json" in archive.namelist() else ""


def _is_subclassed(model: Any) -> bool:
    """Whether the layers are made by code, so that a configuration is not enough."""
    keras = load_keras()
    if not isinstance(model, keras.Model) or isinstance(model, keras.Sequential):
        return False
    # what `keras.Model(inputs, outputs)` returns has no public name
    kinds = type(model).__mro__
    return not any(kind.__name__ == "Functional" and kind.__module__.partition(".")[0] == "keras" for kind in kinds)


def _spell_out(file: Path) -> None:
    """Full names for the losses and metrics of a compiled model."""
    import h5py

    if not h5py.is_hdf5(file):
        return
    with h5py.File(file, "r+") as stored:
        text = stored.attrs.get("training_config")
        if text is not None:
            config = json.loads(text)
            config |= {key: _full(config.get(key)) for key in ("loss", "metrics", "weighted_metrics") if key in config}
            stored.attrs["training_config"] = json.dumps(config).encode()


def _restore_optimizer(file: str | os.PathLike[str], model: Any) -> None:
    """Gives a compiled model its optimizer back, with its state.

    Keras 3 builds the one of an `.h5` file for no variables at all: the state is lost, and training goes on never.
    """
    import h5py

    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return
    fresh = type(optimizer).from_config(optimizer.get_config())
    fresh.build(model.trainable_variables)
    with h5py.File(file) as stored:
        group = stored.get("optimizer_weights", {})
        values = [group[name][()] for name in getattr(group, "attrs", {}).get("weight_names", [])]
    # one that had never been used was saved without the state that building makes
    if [value.shape for value in values] == [tuple(variable.shape) for variable in fresh.variables]:
        for variable, value in zip(fresh.variables, values, strict=True):
            variable.assign(value)
    model.optimizer = fresh


def _full(names: Any) -> Any:
    if isinstance(names, str):
        return _FULL_NAMES.get(names.lower(), names)
    if isinstance(names, list):
        return [_full(name) for name in names]
    if isinstance(names, dict) and "class_name" not in names:
        return {output: _full(name) for output, name in names.items()}
    return names
