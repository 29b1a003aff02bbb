"""Inference to protobuf and back, and its results."""

import copy
from functools import partial
from types import SimpleNamespace
from typing import Any

from analogjax.cloud.wire import schema
from analogjax.cloud.wire.training import parsed
from compat.aihwkit.cloud.converter.exceptions import ConversionError
from compat.aihwkit.cloud.converter.v1.analog_info import AnalogInfo
from compat.aihwkit.cloud.converter.v1.i_mappings import InverseMappings, LayerFunction, Mappings
from compat.aihwkit.cloud.converter.v1.networks import add_layers, dataset_id, known, model_of
from compat.aihwkit.cloud.converter.v1.noise_model_info import GENERIC, SHARED, NoiseModelInfo
from compat.aihwkit.cloud.converter.v1.rpu_config_info import RPUconfigInfo
from compat.aihwkit.experiments.experiments.inferencing import BasicInferencing
from compat.torch_package import torch

_m = schema.inferencing()
_TIMES = ("t_inference", "avg_accuracy", "std_accuracy", "avg_error", "avg_loss")
_RUNS = ("inference_repeat", "is_partial", "time_elapsed")
_ANALOG = ("output_noise_strength", "adc", "dac")


class BasicInferencingConverter:
    """`BasicInferencing` to `InferenceInput` and back."""

    def to_proto(self, experiment: Any, analog_info: dict[str, Any], noise_model_info: dict[str, Any]) -> Any:
        """The message. Raises `ConversionError` for what the protocol has no words for, or lacks."""
        made = _m.InferenceInput(version=_m.Version(schema=1, opset=1))
        made.dataset.dataset_id = dataset_id(experiment.dataset)
        made.dataset.batch_size = experiment.batch_size
        made.network.weight_template_id = experiment.weight_template_id
        add_layers(made.network, experiment.model, Mappings)
        made.inferencing.inference_repeats = experiment.inference_repeats
        made.inferencing.inference_time = int(experiment.inference_time)
        _fill(made.inferencing.analog_info, analog_info, _ANALOG, "analog_info")
        model = made.inferencing.noise_model_info
        pcm = noise_model_info.get("device_id") == "pcm"
        names = SHARED if pcm else (*SHARED, *GENERIC)
        _fill(model.pcm if pcm else model.generic, noise_model_info, names, "noise_model_info")
        return made

    def from_proto(self, protobuf: Any) -> BasicInferencing:
        """The experiment of a message. Raises `ConversionError`, `ConfigError`."""
        return BasicInferencing(
            dataset=known(InverseMappings.datasets, protobuf.dataset.dataset_id, "dataset"),
            model=model_of(protobuf.network, _configured(protobuf), InverseMappings),
            batch_size=protobuf.dataset.batch_size,
            loss_function=torch.nn.NLLLoss,
            weight_template_id=protobuf.network.weight_template_id,
            inference_repeats=protobuf.inferencing.inference_repeats,
            inference_time=protobuf.inferencing.inference_time,
        )


def _configured(protobuf: Any) -> Any:
    """The mappings, with the one configuration that the message means."""
    asked = protobuf.inferencing
    info = RPUconfigInfo(
        NoiseModelInfo(asked.noise_model_info), AnalogInfo(asked.analog_info), list(protobuf.network.layers)
    )
    config = info.create_inference_rpu_config()
    presets: Any = {partial(copy.deepcopy, config): type(config).__name__}
    layers = {
        kind: LayerFunction(function.id_, function.args, presets) if "rpu_config" in function.args else function
        for kind, function in Mappings.layers.items()
    }
    return SimpleNamespace(layers=layers, activation_functions=Mappings.activation_functions)


class BasicInferencingResultConverter:
    """`InferencingOutput` to plain values and back."""

    def to_proto(self, results: dict[str, Any]) -> Any:
        """The message of what an inference returns."""
        made, runs = _m.InferencingOutput(version=_m.Version(schema=1, opset=1)), results["inference_runs"]
        _fill(made.inference_runs, runs, _RUNS, "inference_runs")
        for entry in runs["inference_results"]:
            _fill(made.inference_runs.inference_results.add(), entry, _TIMES, "inference_results")
        return made

    @staticmethod
    def to_json_from_pb(inference_input: Any) -> dict[str, Any]:
        """What an inference returns, of a message."""
        runs = inference_input.inference_runs
        told = {name: getattr(runs, name) for name in _RUNS}
        return {"inference_runs": told | {"inference_results": _times(inference_input)}}

    @staticmethod
    def result_from_proto(inference_input: Any) -> list[dict[str, float]]:
        """One dict for each time."""
        return _times(inference_input)

    @staticmethod
    def to_json(results: dict[str, Any]) -> dict[str, Any]:
        """The results with the version of the format."""
        return {"version": {"schema": 1, "opset": 1}} | results


def results_of(output: bytes) -> list[dict[str, float]]:
    """One dict for each time, of a serialised output. Raises `DescriptionError`."""
    return _times(parsed(_m.InferencingOutput, output))


def experiment_of(payload: bytes) -> BasicInferencing:
    """The experiment of a serialised input. Raises `ConversionError`, `ConfigError`."""
    return BasicInferencingConverter().from_proto(parsed(_m.InferenceInput, payload))


def _times(message: Any) -> list[dict[str, float]]:
    return [{name: getattr(one, name) for name in _TIMES} for one in message.inference_runs.inference_results]


def _fill(message: Any, given: dict[str, Any], names: tuple[str, ...], where: str) -> None:
    """Set every field. Raises `ConversionError` for one that is missing, unknown or of another type."""
    missing, unknown = [name for name in names if name not in given], [name for name in given if name not in names]
    if missing or (unknown and where != "inference_runs"):
        raise ConversionError(f"{where} {'lacks' if missing else 'has no'} {(missing or unknown)[0]!r}: {names}.")
    for name in names:
        try:
            setattr(message, name, given[name])
        except (TypeError, ValueError):
            raise ConversionError(f"{where}[{name!r}] can't be {given[name]!r}.") from None
