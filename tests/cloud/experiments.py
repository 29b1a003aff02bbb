"""Small experiments as they travel: as JSON, and as protobuf."""

from typing import Any

import jax

from analogjax import AnalogLinear, BasicTraining, Digits, Sequential, TileConfig
from analogjax.cloud.description import Description
from analogjax.cloud.wire import schema
from analogjax.nn import flatten


def training(epochs: int = 2, hidden: int = 8, config: TileConfig | None = None, **given: Any) -> BasicTraining:
    config = config or TileConfig()
    model = Sequential(
        flatten, AnalogLinear(hidden, config), jax.nn.sigmoid, AnalogLinear(10, config), jax.nn.log_softmax
    )
    return BasicTraining(**({"dataset": Digits, "model": model, "batch_size": 32, "epochs": epochs} | given))


def described(epochs: int = 2, seed: int = 1, **given: Any) -> dict[str, Any]:
    return Description.of(training(epochs, **given), seed=seed).to_json()


def submission(epochs: int = 2, name: str = "digits", **given: Any) -> dict[str, Any]:
    """The body of a PUT."""
    return {"name": name, "device": "cpu", "description": described(epochs, **given)}


def attribute(m: Any, name: str, **value: Any) -> Any:
    kinds = {"i": "INT", "b": "BOOL", "s": "STRING", "f": "FLOAT"}
    return m.AttributeProto(name=name, type=kinds[next(iter(value))], **value)


def linear(m: Any, inputs: int, outputs: int, preset: str, kind: str = "AnalogLinear", **more: Any) -> Any:
    arguments = [
        attribute(m, "in_features", i=inputs), attribute(m, "out_features", i=outputs), attribute(m, "bias", b=True),
        attribute(m, "rpu_config", s=preset.encode()),
    ]  # fmt: skip
    arguments += [attribute(m, name, f=value) for name, value in more.items()]
    return m.LayerOrActivationFunction(layer=m.LayerProto(id=kind, arguments=arguments))


def activation(m: Any, name: str, **given: Any) -> Any:
    function = m.ActivationFunctionProto(id=name, arguments=[attribute(m, k, i=v) for k, v in given.items()])
    return m.LayerOrActivationFunction(activation_function=function)


def protobuf(preset: str = "CapacitorPreset", dataset: str = "fashion_mnist", epochs: int = 1, hidden: int = 8) -> Any:
    """A `TrainingInput` as aihwkit's client makes it."""
    m = schema.training()
    flat = m.LayerOrActivationFunction(layer=m.LayerProto(id="Flatten"))
    layers = [
        flat, linear(m, 784, hidden, preset, weight_scaling_omega=0.0), activation(m, "Sigmoid"),
        linear(m, hidden, 10, preset, weight_scaling_omega=0.0), activation(m, "LogSoftmax", dim=1),
    ]  # fmt: skip
    return m.TrainingInput(
        version=m.Version(schema=1, opset=1),
        dataset=m.Dataset(dataset_id=dataset, batch_size=10),
        network=m.Network(layers=layers),
        training=m.Training(
            optimizer=m.OptimizerProto(id="AnalogSGD", arguments=[attribute(m, "lr", f=0.01)]),
            loss_function=m.LossFunctionProto(id="NLLLoss"),
            epochs=epochs,
        ),
    )


def inference_protobuf(
    trained: str, preset: str = "InferenceRPUConfig", hidden: int = 8, noise: str = "pcm", **changes: Any
) -> Any:
    """An `InferenceInput` as aihwkit's client makes it; the weights are those of the training `trained`."""
    m = schema.inferencing()
    told = {
        "programming_noise_scale": 1.0, "read_noise_scale": 1.0, "drift_scale": 1.0, "drift_compensation": True,
        "poly_first_order_coef": 1.9650, "poly_second_order_coef": -1.1731, "poly_constant_coef": 0.26348,
    }  # fmt: skip
    told |= {"drift_mean": 0.1, "drift_std": 0.05} if noise == "generic" else {}
    model = m.GenericProto(device_id=noise, **told) if noise == "generic" else m.PCMProto(device_id=noise, **told)
    flat = m.LayerOrActivationFunction(layer=m.LayerProto(id="Flatten"))
    layers = [
        flat, linear(m, 784, hidden, preset), activation(m, "Sigmoid"),
        linear(m, hidden, 10, preset, kind="AnalogLinearMapped"), activation(m, "LogSoftmax", dim=1),
    ]  # fmt: skip
    analog = {"output_noise_strength": 0.04, "adc": 9, "dac": 8} | changes
    return m.InferenceInput(
        version=m.Version(schema=1, opset=1),
        dataset=m.Dataset(dataset_id="fashion_mnist", batch_size=100),
        network=m.Network(weight_template_id=trained, layers=layers),
        inferencing=m.Inferencing(
            inference_repeats=2, inference_time=86400, analog_info=m.AnalogProto(**analog),
            noise_model_info=m.NoiseModelProto(**{noise: model}),
        ),
    )  # fmt: skip
