"""Inferences as protobuf: `InferenceInput` to a description, results to `InferencingOutput` and back.

`weight_template_id` is the id of a training that the user has completed on the same service. All analog layers share
one of the configurations below, with the output noise and the converter bits given in the message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from analogjax.cloud.configuration import config_to_json
from analogjax.cloud.description import FORMAT
from analogjax.cloud.errors import DescriptionError
from analogjax.cloud.inference import InferenceDescription
from analogjax.cloud.wire import schema
from analogjax.cloud.wire.training import DATASETS, check_number, layer_of, parsed
from analogjax.physics import ADC, DAC, Periphery
from analogjax.physics.devices import Ideal
from analogjax.tile import Mapping as TileMapping
from analogjax.tile import TileConfig

# as the weights are put on the chips, each largest weight (of a row, or of the matrix) becomes 1
_MAPPINGS = {
    "InferenceRPUConfig": TileMapping(weight_scaling_omega=1.0),
    "WebComposerInferenceRPUConfig": TileMapping(weight_scaling_omega=1.0, weight_scaling_columnwise=True),
    "OldWebComposerInferenceRPUConfig": TileMapping(
        weight_scaling_omega=1.0, weight_scaling_columnwise=True, digital_bias=False, max_input_size=0,
        max_output_size=0,
    ),
}  # fmt: skip
_OUT_BOUNDS = {"InferenceRPUConfig": 12.0}
_WEB_OUT_BOUND = 20.0
_G_MAX = 25.0  # conductance at the largest weight [uS]
_MOST_BITS = 32


def inference_of(payload: bytes, seed: int = 0) -> InferenceDescription:
    """The description in a serialised `InferenceInput`. Raises `DescriptionError`, naming what is wrong or unknown."""
    message = parsed(schema.inferencing().InferenceInput, payload)
    dataset, asked = message.dataset, message.inferencing
    if dataset.dataset_id not in DATASETS:
        known = ", ".join(DATASETS)
        raise DescriptionError(f"dataset_id {dataset.dataset_id[:60]!r} is unknown; known are {known}.")
    check_number(message.network.layers)
    config = _configs(asked.analog_info)
    noise_model, compensation = _noise_model(asked.noise_model_info)
    return InferenceDescription.from_json({
        "format": FORMAT, "kind": "inference", "dataset": DATASETS[dataset.dataset_id], "channels_first": True,
        "seed": seed, "trained": message.network.weight_template_id, "batch_size": dataset.batch_size or 10,
        "inference_repeats": asked.inference_repeats, "inference_time": asked.inference_time,
        "noise_model": noise_model, "drift_compensation": compensation,
        "layers": [layer_of(item, f"layers[{n}]", config) for n, item in enumerate(message.network.layers)],
    })  # fmt: skip


def inference_output(result: Mapping[str, Any]) -> bytes:
    """A serialised `InferencingOutput` of what `run_inference` returns."""
    messages = schema.inferencing()
    runs = result["inference_runs"]
    made = messages.InferencingOutput(
        version=messages.Version(schema=1, opset=1),
        inference_runs=messages.InferenceRunsProto(
            inference_repeat=runs["inference_repeat"], is_partial=runs["is_partial"], time_elapsed=runs["time_elapsed"],
            inference_results=[messages.InferenceResultsProto(**entry) for entry in runs["inference_results"]],
        ),
    )  # fmt: skip
    return made.SerializeToString()


def _configs(info: Any) -> Callable[[str, float, str], dict[str, Any]]:
    """The meaning of the configurations with these converters: (name, omega, where) -> plain values."""
    inp_res, out_res = _resolution(info.dac, "dac"), _resolution(info.adc, "adc")

    def config(name: str, omega: float, where: str) -> dict[str, Any]:
        if name not in _MAPPINGS:
            raise DescriptionError(f"{where}: rpu_config {name[:60]!r} is unknown; known are {', '.join(_MAPPINGS)}.")
        try:
            noise, bound = float(format(info.output_noise_strength, ".7g")), _OUT_BOUNDS.get(name, _WEB_OUT_BOUND)
            forward = Periphery(dac=DAC(res=inp_res), adc=ADC(res=out_res, bound=bound, noise=noise))
        except ValueError as error:
            raise DescriptionError(f"analog_info.output_noise_strength: {error}") from None
        made = TileConfig(device=Ideal(), forward=forward, mapping=_MAPPINGS[name])
        return config_to_json(made)

    return config


def _resolution(bits: int, name: str) -> float:
    """The step of a converter, relative to its range; 0 bits (not given): ideal."""
    if bits == 0:
        return 0.0
    if not 2 <= bits <= _MOST_BITS:
        raise DescriptionError(f"analog_info.{name}: needs 2 to {_MOST_BITS} bits, or 0 for an ideal one, not {bits}.")
    return 1 / (2**bits - 2)


def _noise_model(info: Any) -> tuple[dict[str, Any], bool]:
    """The noise model in plain values, and whether drift is compensated."""
    kind = info.WhichOneof("item")
    if kind is None:
        raise DescriptionError("noise_model_info is empty: give pcm or generic.")
    given = getattr(info, kind)
    if given.device_id != kind:
        raise DescriptionError(f"noise_model_info: device_id {given.device_id[:60]!r} in {kind}; it must be {kind!r}.")
    model: dict[str, Any] = {
        "class": "PCMLike" if kind == "pcm" else "StateIndependent", "g_max": _G_MAX,
        "prog_noise_scale": given.programming_noise_scale, "read_noise_scale": given.read_noise_scale,
        "drift_scale": given.drift_scale,
        "prog_coeff": [given.poly_constant_coef, given.poly_first_order_coef, given.poly_second_order_coef],
    }  # fmt: skip
    if kind == "generic":
        model |= {"drift_nu_mean": given.drift_mean, "drift_nu_std": given.drift_std}
    return {name: _meant(value) for name, value in model.items()}, given.drift_compensation


def _meant(value: Any) -> Any:
    """Numbers as the user typed them: 0.1 became 0.100000001 as a float32."""
    if isinstance(value, list):
        return [_meant(one) for one in value]
    return float(format(value, ".7g")) if isinstance(value, float) else value
