"""Protobuf: inputs as aihwkit writes them, outputs that hold the trained chips to the bit, and garbage."""

import random

import jax
import numpy as np
import pytest

from analogjax import nn
from analogjax.cloud.configuration import config_from_json
from analogjax.cloud.description import Description
from analogjax.cloud.errors import DescriptionError
from analogjax.cloud.wire import inferencing, schema, tensors, training
from tests.cloud.experiments import described, inference_protobuf, protobuf


def test_the_schema_has_the_tags_of_the_protocol():
    m = schema.training()
    assert m.Version(schema=1, opset=1).SerializeToString() == b"\x08\x01\x10\x01"
    attribute = m.AttributeProto(name="lr", type=m.AttributeProto.FLOAT, f=1.0)
    assert attribute.SerializeToString() == b"\x0a\x02lr" + b"\x15\x00\x00\x80?" + b"\xa0\x01\x01"
    assert m.AttributeProto(name="", b=True).SerializeToString() == b"\x0a\x00" + b"\xa8\x06\x01"
    assert schema.inferencing().PCMProto().device_id == "pcm"
    assert m.TrainingInput.DESCRIPTOR.full_name == "aihwx.TrainingInput"
    assert schema.inferencing().InferenceInput.DESCRIPTOR.full_name == "aihwx.inferencing.InferenceInput"


def test_an_input_becomes_a_description():
    made = training.description_of(protobuf().SerializeToString(), seed=5)
    assert (made.dataset, made.batch_size, made.epochs, made.learning_rate) == ("FashionMNIST", 10, 1, 0.01)
    assert [kind for kind, _ in made.layers] == ["Flatten", "AnalogLinear", "Sigmoid", "AnalogLinear", "LogSoftmax"]
    assert made.layers[1][1]["config"] == {"preset": "CapacitorPreset"} and made.channels_first and made.seed == 5


_DEVICES = ("ReRamES", "ReRamSB", "Capacitor", "EcRam", "Idealized")


@pytest.mark.parametrize(
    "preset", [f"{family}{device}Preset" for family in ("", "MixedPrecision", "TikiTaka") for device in
               (*_DEVICES, *(() if family == "TikiTaka" else ("PCM",)))]
)  # fmt: skip
def test_every_preset_of_the_protocol_is_understood(preset):
    made = training.description_of(protobuf(preset=preset).SerializeToString())
    assert made.layers[1][1]["config"] == {"preset": preset}
    scaled = protobuf(preset=preset)
    next(a for a in scaled.network.layers[1].layer.arguments if a.name == "weight_scaling_omega").f = 0.5
    layer = training.description_of(scaled.SerializeToString()).layers[1][1]
    config = config_from_json(layer["config"])
    assert config.mapping.weight_scaling_omega == 0.5 and config.device == config_from_json({"preset": preset}).device


@pytest.mark.parametrize("preset", [None, "AGADEcRamPreset"])  # the latter remembers signs, counts and flags
def test_an_output_holds_the_chips_to_the_bit(preset):
    told = described()
    for layer in told["layers"]:
        if preset is not None and "config" in layer:
            layer["config"] = {"preset": preset}
    description = Description.from_json(told)
    variables = nn.init(description.model(), description.sample(), jax.random.key(0))
    epochs = [{"epoch": 0, "accuracy": 0.5, "train_loss": 2.25}]
    payload = training.output(description, epochs, tensors.weights_of(description, variables))
    again = tensors.variables_of(description, training.weights_in(payload))
    assert jax.tree.structure(again) == jax.tree.structure(variables)
    for mine, theirs in zip(jax.tree.leaves(variables), jax.tree.leaves(again), strict=True):
        assert mine.dtype == theirs.dtype and np.array_equal(mine, theirs)
    assert training.epochs_of(payload) == [{"epoch": 0, "metrics": {"accuracy": 0.5, "train_loss": 2.25}}]
    other = Description.from_json(described(hidden=9))
    with pytest.raises(DescriptionError, match="another model"):
        tensors.variables_of(other, training.weights_in(payload))


@pytest.mark.parametrize("dtype", ["float32", "int32", "int64", "uint8", "int8", "bool"])
def test_arrays_travel_as_they_are(dtype):
    given = np.arange(6).reshape(1, 3, 2).astype(dtype)
    again = tensors.array(tensors.tensor(schema.training(), "a", given))
    assert again.dtype == given.dtype and np.array_equal(again, given)


def test_a_dtype_that_is_not_known():
    with pytest.raises(DescriptionError, match="complex64"):
        tensors.tensor(schema.training(), "a", np.zeros(1, np.complex64))


def crafted(**given):
    """A `TrainingOutput` with one array, of these fields."""
    m = schema.training()
    made = m.TrainingOutput(version=m.Version(schema=1, opset=1))
    item = made.network.layers.add()
    item.layer.id = "AnalogLinear"
    held = item.layer.state_dict.add(name="params.bias", type=m.AttributeProto.TENSOR)
    held.t.data_type = given.pop("data_type", 1)
    for name, values in given.items():
        getattr(held.t, name).extend(values)
    return made


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"dims": [2**31, 2**33]}, "its shape is"), ({"dims": [2**61, 8]}, "its shape is"),
        ({"dims": [2**63 - 1, 2**63 - 1, 2]}, "its shape is"), ({"dims": [0, 2**62, 2**62]}, "its shape is"),
        ({"dims": [1] * 65, "float_data": [1.0]}, "65 dimensions"), ({"dims": [1] * 100_000}, "100000 dimensions"),
        ({"dims": [-1], "float_data": [1.0]}, "its shape is"), ({"dims": [-2, -2], "float_data": [1.0] * 4}, "shape"),
        ({"dims": [3, 2], "float_data": [1.0] * 5}, "it has 5 values"), ({"float_data": [1.0, 2.0]}, "it has 2 values"),
        ({"dims": [1]}, "it has 0 values"), ({"dims": [1], "data_type": 8, "string_data": [b"1"]}, "data type 8"),
        ({"dims": [1], "data_type": 0, "float_data": [1.0]}, "data type 0"),
        ({"dims": [1], "data_type": -7, "float_data": [1.0]}, "data type -7"),
        ({"dims": [1], "data_type": 2, "int32_data": [256]}, "uint8 are 0 to 255"),
        ({"dims": [2], "data_type": 2, "int32_data": [1, -1]}, "from -1 to 1"),
        ({"dims": [1], "data_type": 3, "int32_data": [-129]}, "int8 are -128"),
        ({"dims": [1], "data_type": 4, "int32_data": [65536]}, "uint16"),
        ({"dims": [1], "data_type": 5, "int32_data": [40_000]}, "int16"),
        ({"dims": [1], "data_type": 9, "int32_data": [2]}, "bool are 0 to 1"),
        ({"dims": [1], "data_type": 6, "int64_data": [1]}, "in int32_data, not in int64_data"),
        ({"dims": [1], "float_data": [1.0], "int32_data": [1]}, "in float_data, not in int32_data"),
    ],
)  # fmt: skip
def test_crafted_tensors_are_refused_with_the_reason(given, told):
    with pytest.raises(DescriptionError, match=r"'params\.bias' is damaged: .*" + told):
        training.weights_in(crafted(**given).SerializeToString())


def test_shapes_at_the_edge_are_arrays():
    for shape in ((), (0,), (0, 5), (1,) * 16, (2, 3)):
        given = np.zeros(shape, np.int8)
        again = tensors.array(tensors.tensor(schema.training(), "a", given))
        assert again.shape == shape and again.dtype == np.int8


def test_two_arrays_of_one_name_are_refused():
    made = crafted(dims=[1], float_data=[1.0])
    made.network.layers[0].layer.state_dict.append(made.network.layers[0].layer.state_dict[0])
    with pytest.raises(DescriptionError, match=r"two arrays 'params\.bias'"):
        training.weights_in(made.SerializeToString())


def test_mutated_outputs_are_refused_or_read_but_nothing_else():
    """10,000 mutations of an output of several dtypes and shapes, with a fixed seed."""
    m, source = schema.training(), random.Random(1)
    made = m.TrainingOutput(version=m.Version(schema=1, opset=1))
    for arrays in ([np.ones((2, 3), np.float32), np.arange(4, dtype=np.int8)], [np.array([True, False])]):
        state = made.network.layers.add().layer
        state.id = "AnalogLinear"
        state.state_dict.extend(tensors.tensor(m, f"a{n}", one) for n, one in enumerate(arrays))
    good, read = made.SerializeToString(), 0
    for _ in range(10_000):
        data = bytearray(good)
        for _ in range(source.choice((1, 1, 2, 6))):
            where = source.randrange(len(data))
            if source.random() < 0.7:
                data[where] = source.choice((0, 1, 127, 128, 255, source.randrange(256)))
            else:
                data[where : where + source.randint(0, 2)] = source.randbytes(source.randint(0, 9))
        try:
            training.weights_in(bytes(data))
            read += 1
        except DescriptionError:
            continue
    assert 100 < read < 9_900


@pytest.mark.parametrize(
    ("good", "read"), [(protobuf(), training.description_of), (inference_protobuf("a" * 32), inferencing.inference_of),
                       (crafted(dims=[1], float_data=[1.0]), training.weights_in)],
    ids=["training", "inference", "weights"],
)  # fmt: skip
def test_layers_are_counted_before_anything_is_made_of_them(good, read, monkeypatch):
    def never(*given):
        raise AssertionError("a layer was converted")

    for module in (training, inferencing):
        monkeypatch.setattr(module, "layer_of", never, raising=False)
    monkeypatch.setattr(training, "array", never)
    message = type(good)()
    message.CopyFrom(good)
    while len(message.network.layers) <= 200:
        message.network.layers.append(good.network.layers[0])
    with pytest.raises(DescriptionError, match="1 to 200 layers, not 201"):
        read(message.SerializeToString())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: setattr(m.dataset, "dataset_id", "cifar"), "known are fashion_mnist, svhn"),
        (
            lambda m: m.network.layers[1].layer.arguments[3].__setattr__("s", b"TikiTakaUnobtainiumPreset"),
            "known are ReRamESPreset, ReRamSBPreset",
        ),
        (lambda m: setattr(m.network.layers[0].layer, "id", "BatchNorm2d"), "not simulated"),
        (
            lambda m: setattr(m.network.layers[2].activation_function, "id", "Swish"),
            "known are AnalogConv1d, AnalogConv2d",
        ),
        (lambda m: setattr(m.training.optimizer, "id", "Adam"), "known is AnalogSGD"),
        (lambda m: setattr(m.training.loss_function, "id", "BCELoss"), "known are NLLLoss"),
        (lambda m: m.dataset.transforms.add(id="Crop"), "Transforms"),
        (lambda m: setattr(m.training.scheduler, "id", "Step"), "schedulers"),
        (lambda m: setattr(m.network.layers[1].layer.arguments[0], "i", 7), "in_features=7"),
        (lambda m: m.network.layers.add(), "is empty"),
        (lambda m: setattr(m.training, "epochs", -3), "epochs"),
    ],
)
def test_inputs_that_are_refused(change, told):
    message = protobuf()
    change(message)
    with pytest.raises(DescriptionError, match=told):
        training.description_of(message.SerializeToString())


@pytest.mark.parametrize(
    ("good", "read"),
    [(protobuf(), training.description_of), (inference_protobuf("a" * 32), inferencing.inference_of),
     pytest.param(inference_protobuf("a" * 32, noise="generic"), inferencing.inference_of, marks=pytest.mark.slow)],
    ids=["training", "inference, pcm", "inference, generic"],
)  # fmt: skip
def test_mutated_inputs_are_refused_or_described_but_nothing_else(good, read):
    """10,000 mutations of each good input, with a fixed seed."""
    source, good = random.Random(0), good.SerializeToString()
    outcomes = {"refused": 0, "described": 0}
    for _ in range(10_000):
        data = bytearray(good)
        for _ in range(source.choice((1, 1, 1, 2, 8))):
            where = source.randrange(max(1, len(data)))
            act = source.choice((0, 0, 0, 1, 2, 3))
            if act == 0 and data:
                data[where] = source.randrange(256)
            elif act == 1:
                del data[where : where + source.randint(1, 16)]
            elif act == 2:
                data[where:where] = source.randbytes(source.randint(1, 16))
            else:
                data = data[: max(1, where)]
        try:
            read(bytes(data))
            outcomes["described"] += 1
        except DescriptionError:
            outcomes["refused"] += 1
    assert sum(outcomes.values()) == 10_000 and min(outcomes.values()) > 100
