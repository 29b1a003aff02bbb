"""Trainings to protobuf and back, and their results."""

from typing import Any

from analogjax.cloud.wire import schema
from analogjax.cloud.wire.training import epochs_of, parsed
from compat.aihwkit.cloud.converter.exceptions import ConversionError
from compat.aihwkit.cloud.converter.v1.mappings import InverseMappings, Mappings
from compat.aihwkit.cloud.converter.v1.networks import add_layers, dataset_id, known, model_of
from compat.aihwkit.experiments.experiments.training import BasicTraining

_m = schema.training()


class BasicTrainingConverter:
    """`BasicTraining` to `TrainingInput` and back; weights are not sent, the model is made again on the other side."""

    def to_proto(self, experiment: Any) -> Any:
        """The message. Raises `ConversionError` for what the protocol has no words for."""
        made = _m.TrainingInput(version=_m.Version(schema=1, opset=1))
        made.dataset.dataset_id = dataset_id(experiment.dataset)
        made.dataset.batch_size = experiment.batch_size
        add_layers(made.network, experiment.model, Mappings)
        made.network.SetInParent()
        made.training.epochs = experiment.epochs
        made.training.optimizer.id = "AnalogSGD"
        rate = made.training.optimizer.arguments.add(name="lr", type=_m.AttributeProto.FLOAT)
        rate.f = experiment.learning_rate
        if experiment.loss_function not in Mappings.loss_functions:
            names = ", ".join(kind.__name__ for kind in Mappings.loss_functions)
            shown = getattr(experiment.loss_function, "__name__", repr(experiment.loss_function))
            raise ConversionError(f"Unsupported loss function: {shown}; known are {names}.")
        made.training.loss_function.id = Mappings.loss_functions[experiment.loss_function].id_
        return made

    def from_proto(self, training_proto: Any) -> BasicTraining:
        """The experiment of a message, its model untrained. Raises `ConversionError`, `ConfigError`."""
        training = training_proto.training
        optimizer = known(InverseMappings.optimizers, training.optimizer.id, "optimizer")
        rate = Mappings.optimizers[optimizer].arguments_of(training.optimizer)["lr"]
        return BasicTraining(
            dataset=known(InverseMappings.datasets, training_proto.dataset.dataset_id, "dataset"),
            model=model_of(training_proto.network, Mappings, InverseMappings),
            batch_size=training_proto.dataset.batch_size,
            loss_function=known(InverseMappings.loss_functions, training.loss_function.id, "loss function"),
            epochs=training.epochs,
            learning_rate=rate,
        )


class BasicTrainingResultConverter:
    """`TrainingOutput` to plain values."""

    def from_proto(self, results: Any) -> dict[str, Any]:
        """Version and epochs."""
        return {"version": {"schema": 1, "opset": 1}, "epochs": results_of(results.SerializeToString())}


def results_of(output: bytes) -> list[dict[str, Any]]:
    """`[{"epoch": n, "metrics": {name: value}}, ...]` of a serialised output. Raises `DescriptionError`."""
    return epochs_of(output)


def experiment_of(payload: bytes, output: bytes | None = None) -> BasicTraining:
    """The experiment of a serialised input; trained, where `output` holds what became of its chips."""
    experiment = BasicTrainingConverter().from_proto(parsed(_m.TrainingInput, payload))
    if output is not None:
        _train(experiment, payload, output)
    return experiment


def _train(experiment: BasicTraining, payload: bytes, output: bytes) -> None:
    from analogjax.cloud.wire.tensors import variables_of
    from analogjax.cloud.wire.training import description_of, weights_in
    from compat.aihwkit.experiments import convert

    weights = weights_in(output)
    if any(name.startswith(("tiles.", "params.")) for layer in weights for name in layer):  # else another service's
        convert.adopt(experiment.model, variables_of(description_of(payload), weights))
