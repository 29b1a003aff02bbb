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


def protobuf(preset: str = "CapacitorPreset", dataset: str = "fashion_mnist", epochs: int = 1, hidden: int = 8) -> Any:
    """A `TrainingInput` as aihwkit's client makes it."""
    m = schema.training()

    def attribute(name: str, **value: Any) -> Any:
        kinds = {"i": "INT", "b": "BOOL", "s": "STRING", "f": "FLOAT"}
        return m.AttributeProto(name=name, type=kinds[next(iter(value))], **value)

    def linear(inputs: int, outputs: int) -> Any:
        return m.LayerOrActivationFunction(
            layer=m.LayerProto(
                id="AnalogLinear",
                arguments=[
                    attribute("in_features", i=inputs), attribute("out_features", i=outputs), attribute("bias", b=True),
                    attribute("rpu_config", s=preset.encode()), attribute("weight_scaling_omega", f=0.0),
                ],
            )
        )  # fmt: skip

    def activation(name: str, **given: Any) -> Any:
        function = m.ActivationFunctionProto(id=name, arguments=[attribute(k, i=v) for k, v in given.items()])
        return m.LayerOrActivationFunction(activation_function=function)

    flat = m.LayerOrActivationFunction(layer=m.LayerProto(id="Flatten"))
    layers = [flat, linear(784, hidden), activation("Sigmoid"), linear(hidden, 10), activation("LogSoftmax", dim=1)]
    return m.TrainingInput(
        version=m.Version(schema=1, opset=1),
        dataset=m.Dataset(dataset_id=dataset, batch_size=10),
        network=m.Network(layers=layers),
        training=m.Training(
            optimizer=m.OptimizerProto(id="AnalogSGD", arguments=[attribute("lr", f=0.01)]),
            loss_function=m.LossFunctionProto(id="NLLLoss"),
            epochs=epochs,
        ),
    )
