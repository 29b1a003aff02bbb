"""Inferences as data, as protobuf, and run by a service: the very numbers that a local run gives."""

import hashlib
import json
import os
import subprocess
import sys
from base64 import b64encode
from dataclasses import replace

import jax
import numpy as np
import pytest
import requests

from analogjax import AnalogLinear, BasicTraining, Digits, LocalRunner, Sequential, TileConfig, nn
from analogjax.cloud import CloudRunner, DescriptionError, Refused, Status
from analogjax.cloud.description import Description
from analogjax.cloud.inference import InferenceDescription, description_from_json
from analogjax.cloud.noise import compensation_to_json, noise_model_of, noise_model_to_json
from analogjax.cloud.wire import schema
from analogjax.cloud.wire.inferencing import inference_of
from analogjax.cloud.wire.tensors import weights_of
from analogjax.cloud.wire.training import weights_in
from analogjax.experiments import BasicInferencing, run_inference
from analogjax.nn import flatten
from analogjax.physics import AddNormal, InputRange, Periphery, SoftBounds
from analogjax.physics.inference import (
    CustomPairs,
    DriftTable,
    ExactReference,
    Fusion,
    GlobalCompensation,
    Hermes,
    Levels,
    NPairs,
    PCMLike,
    PerColumnCompensation,
    ReRAMCMO,
    ReRAMWan2022,
    SingleDevice,
    SinglePair,
    StateIndependent,
    WriteVerify,
)
from analogjax.tile import HardwareAware, Mapping
from tests.cloud.experiments import inference_protobuf, protobuf
from tests.cloud.running_service import service_in_thread
from tests.cloud.test_client import compile_once
from tests.suites import first_fast

ID = "a" * 32
PERIPHERY = Periphery()
NOISE_MODELS = [PCMLike(), PCMLike(prog_noise_scale=0.5, prog_coeff=(0.25, 0.5), g_max=10.0), StateIndependent(),
                StateIndependent(g_converter=SinglePair(g_max=40.0, g_min=1.0), drift_nu_mean=0.0)]  # fmt: skip


def network(mapping=None, forward=PERIPHERY):
    config = TileConfig(device=SoftBounds(), forward=forward, mapping=mapping or Mapping())
    return Sequential(flatten, AnalogLinear(8, config), jax.nn.sigmoid, AnalogLinear(10, config), jax.nn.log_softmax)


def training(**given):
    return BasicTraining(**({"dataset": Digits, "model": network(), "batch_size": 50, "epochs": 1} | given))


@pytest.fixture(scope="module")
def trained():
    results = LocalRunner().run(training(), 200, seed=3, progress=False)
    return results.variables


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        compile_once(patched)
        with service_in_thread(tmp_path_factory.mktemp("inference") / "home") as running:
            yield running


def plain(**changes):
    layers = [{"type": "Flatten"}, {"type": "AnalogLinear", "out_features": 10}]
    value = {"format": "analogjax-experiment-1", "kind": "inference", "dataset": "Digits", "layers": layers}
    return value | {"trained": ID} | changes


# As data


def test_defaults_and_canonical_text():
    made = description_from_json(plain())
    assert isinstance(made, InferenceDescription) and made.epochs == made.inference_repeats == 2
    assert (made.loss_function, made.inference_time, made.noise_model) == (
        "CrossEntropyLoss",
        86400.0,
        {"class": "PCMLike"},
    )
    assert InferenceDescription.from_json(json.loads(made.text())) == made
    assert isinstance(
        description_from_json({k: v for k, v in plain().items() if k not in ("kind", "trained")}), Description
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"trained": ""}, "Give trained"), ({"weights": "0" * 64}, "Give trained"), ({"trained": "w"}, "no id"),
        ({"trained": "", "weights": "abc"}, "SHA-256"), ({"trained": 5}, "Give trained"),
        ({"inference_repeats": 0}, "from 1 to 10000"), ({"inference_time": 0.5}, "from 1 to 1e"),
        ({"inference_time": float("nan")}, "from 1 to 1e"), ({"inference_time": "long"}, "from 1 to 1e"),
        ({"drift_compensation": 1}, "true or false"), ({"dataset": "ImageNet"}, "known are"),
        ({"epochs": 3}, "no part of a description"), ({"batch_size": 0}, "whole number"),
        ({"noise_model": {"class": "Magic"}}, "known are PCMLike, StateIndependent"), ({"noise_model": 3}, "known are"),
        ({"noise_model": {"class": "PCMLike", "nu": 1.0}}, "no field 'nu'"),
        ({"noise_model": {"class": "PCMLike", "g_max": "big"}}, "does not fit"),
        ({"noise_model": {"class": "PCMLike", "g_max": -1.0}}, "noise_model"),
        ({"noise_model": {"class": "PCMLike", "prog_coeff": [1.0] * 17}}, "does not fit"),
        ({"noise_model": {"class": "PCMLike", "g_converter": {"class": "PCMLike"}}}, "does not fit"),
        ({"noise_model": {"class": "PCMLike", "g_converter": {"class": []}}}, "does not fit"),
        ({"noise_model": {"class": "PCMLike", "g_converter": {"class": "SinglePair", "g": 1}}}, "has no field 'g'"),
        ({"noise_model": {"class": "PCMLike", "t_read": None}}, "t_read: 'None' does not fit"),
        ({"noise_model": {"class": "Hermes", "num_devices": 3}}, "has 1 or 2 devices"),
        ({"noise_model": {"class": "Hermes", "num_devices": 2.0}}, "num_devices: '2.0' does not fit"),
        ({"noise_model": {"class": "Hermes", "keeps_conductances": 1}}, "keeps_conductances: '1' does not fit"),
        ({"noise_model": {"class": "ReRAMWan2022"}}, "known are PCMLike, StateIndependent, Hermes, ReRAMCMO"),
        ({"noise_model": {"class": "PCMLike", "g_converter": {"class": "CustomPairs", "f_lst": [1.0],
          "g_lst": [[0.0, 1.0], []]}}}, "g_lst: .* does not fit"),
        ({"noise_model": {"class": "PCMLike", "exponents": {"class": "DriftTable", "g": [0.0] * 1025}}},
         "exponents.g: .* does not fit"),
        ({"noise_model": {"class": "WriteVerify"}}, "known are PCMLike, StateIndependent, Hermes"),
        ({"layers": []}, "1 to 200"), ({"inference_time": 10**400}, "from 1 to 1e"),
        ({"noise_model": {"class": "PCMLike", "g_max": 10**400}}, "does not fit"),
        ({"noise_model": {"class": "StateIndependent", "drift_nu_mean": -(10**400)}}, "does not fit"),
        ({"noise_model": {"class": "PCMLike", "prog_coeff": [1.0, 10**400]}}, "does not fit"),
        ({"noise_model": {"class": "PCMLike", "g_converter": {"class": "SinglePair", "g_max": 2.0, "g_min": 3.0}}},
         "g_converter: SinglePair"),
    ],
)  # fmt: skip
def test_descriptions_that_are_refused(change, told):
    with pytest.raises(DescriptionError, match=told):
        InferenceDescription.from_json(plain(**change))


@pytest.mark.parametrize(
    "model",
    [
        Hermes(num_devices=1, keeps_conductances=True), Hermes(g_max=10.0), Hermes(prog_coeff=(0.1, 0.2)),
        ReRAMCMO(g_converter=SingleDevice(g_max=50.0)), ReRAMCMO(), PCMLike(g_converter=NPairs(f_lst=(1.0, 3.0))),
        PCMLike(g_converter=CustomPairs(f_lst=(1.0,), g_lst=((0.0, 0.0, 25.0), (25.0, 0.0, 0.0)))),
        PCMLike(exponents=DriftTable(g=(0.0, 25.0), nu_mean=(0.1, 0.0), nu_std=(0.0, 0.0))),
        StateIndependent(g_converter=Fusion(g_max=20.0)),
    ],
)  # fmt: skip
def test_every_material_travels(model):
    assert noise_model_of(json.loads(json.dumps(noise_model_to_json(model)))) == model


def test_what_is_no_plain_material_is_refused_by_its_name():
    with pytest.raises(DescriptionError, match=r"noise_model WriteVerify: is code and can't be sent"):
        noise_model_to_json(WriteVerify(material=PCMLike()))
    with pytest.raises(DescriptionError, match=r"noise_model ReRAMWan2022: is code and can't be sent"):
        noise_model_to_json(ReRAMWan2022())
    with pytest.raises(DescriptionError, match=r"g_converter Levels: is code and can't be sent; known are SinglePair"):
        noise_model_to_json(PCMLike(g_converter=Levels(levels=(0.0, 25.0))))
    for compensation in (PerColumnCompensation(), ExactReference()):
        with pytest.raises(DescriptionError, match=f"{type(compensation).__name__}.*can't be sent"):
            compensation_to_json(compensation)
    assert compensation_to_json(None) is False and compensation_to_json(GlobalCompensation()) is True


def test_a_missing_dataset_is_refused():
    with pytest.raises(DescriptionError, match="dataset is missing"):
        InferenceDescription.from_json({name: value for name, value in plain().items() if name != "dataset"})


@pytest.mark.parametrize("noise_model", first_fast(NOISE_MODELS), ids=lambda model: type(model).__name__)
def test_a_native_inference_travels_exactly(trained, noise_model):
    given = BasicInferencing(Digits, network(), trained, inference_repeats=3, noise_model=noise_model)
    made, file = InferenceDescription.of(given, seed=4, max_elements=7)
    assert made.weights == hashlib.sha256(file).hexdigest() and (made.seed, made.max_elements) == (4, 7)
    back = InferenceDescription.from_json(json.loads(made.text()))
    experiment = back.experiment(back.exactly(weights_in(file)))
    assert experiment.noise_model == noise_model and experiment.dataset is Digits
    for ours, theirs in ((run(experiment), run(given)),):
        assert ours == theirs
    # devices don't travel: only what is read of them
    assert len(file) < sum(leaf.size * 4 for leaf in jax.tree.leaves(trained.tiles)) / 2


def run(experiment, seed=4, max_elements=60):
    return run_inference(experiment, seed=seed, max_elements=max_elements)["inference_runs"]["inference_results"]


def aware(config):
    """A network of hardware-aware layers, and its variables."""
    model = Sequential(flatten, AnalogLinear(8, config), jax.nn.sigmoid, AnalogLinear(10, config), jax.nn.log_softmax)
    return model, nn.init(model, np.ones((1, 8, 8, 1), np.float32), jax.random.key(2))


@pytest.mark.parametrize("columns", [512, 40], ids=["one_chip", "two_chips"])
def test_hardware_aware_layers_travel_as_the_chips_that_hold_their_weights(columns):
    mapping = Mapping(weight_scaling_omega=0.8, max_input_size=columns)
    given = BasicInferencing(
        Digits, *aware(HardwareAware(modifier=AddNormal(std_dev=0.1), mapping=mapping)), inference_repeats=1
    )
    made, file = InferenceDescription.of(given, max_elements=7)
    back = InferenceDescription.from_json(json.loads(made.text()))
    assert run(back.experiment(back.exactly(weights_in(file))), max_elements=7) == run(given, max_elements=7)
    with pytest.raises(DescriptionError, match="t_inference"):
        InferenceDescription.of(replace(given, t_inference=(1.0, 5.0)))
    with pytest.raises(DescriptionError, match="input ranges"):
        InferenceDescription.of(BasicInferencing(Digits, *aware(HardwareAware(input_range=InputRange()))))


def test_what_cannot_travel_is_named(trained):
    class Own:
        def program(self, w, key): ...
        def drift(self, programmed, t, key): ...

    with pytest.raises(DescriptionError, match="Own: is code"):
        InferenceDescription.of(BasicInferencing(Digits, network(), trained, noise_model=Own()))
    with pytest.raises(DescriptionError, match="can't be sent"):
        InferenceDescription.of(
            BasicInferencing(Digits, network(), trained, noise_model=PCMLike(prog_coeff=np.ones(2)))
        )


@pytest.mark.parametrize(
    "mapping",
    [
        Mapping(weight_scaling_omega=1.0), Mapping(digital_bias=False),
        Mapping(learn_out_scaling=True, out_scaling_columnwise=True),
    ],
    ids=["omega", "analog bias", "out scale"],
)  # fmt: skip
@pytest.mark.parametrize(
    "as_mapping", [Mapping(weight_scaling_omega=1.0, weight_scaling_columnwise=True), Mapping(digital_bias=False)]
)
@pytest.mark.slow
def test_the_weights_of_a_training_are_written_on_new_chips(mapping, as_mapping):
    """Whatever digital scales and biases either has: the same function, where nothing is noisy."""
    perfect = Periphery(is_perfect=True)
    source = training(model=network(mapping, perfect))
    variables = LocalRunner().run(source, 50, seed=3, progress=False).variables
    if mapping.learn_out_scaling:
        assert not np.all(np.asarray(variables.params["layers_1"]["out_scale"]) == 1)
    told = Description.of(source)
    config = {
        "class": "TileConfig",
        "device": {"class": "Ideal"},
        "forward": {"class": "Periphery", "is_perfect": True},
    }
    described = InferenceDescription.of(BasicInferencing(Digits, network(as_mapping, perfect), variables))[0]
    assert described.layers[1][1]["config"]["device"] == config["device"]
    chips = described.written(told, weights_in(output_of(told, variables)))
    from analogjax import nn, random

    x = jax.random.uniform(random.key(1), (5, 8, 8, 1))
    y = nn.apply(source.model, variables, x, key=random.key(2))
    np.testing.assert_allclose(nn.apply(described.model(), chips, x, key=random.key(3)), y, rtol=2e-5, atol=2e-5)
    if as_mapping.weight_scaling_columnwise:
        np.testing.assert_allclose(np.abs(chips.tiles["layers_1"]["tile"].state.w).max(-1), 1.0, rtol=1e-6)


def output_of(description, variables):
    from analogjax.cloud.wire.training import output

    return output(description, [], weights_of(description, variables))


def test_a_training_of_another_model_is_refused():
    source = Description.of(training())
    with pytest.raises(DescriptionError, match="linear 64x10; that experiment has linear 64x8, linear 8x10"):
        InferenceDescription.from_json(plain()).check_trained(source)
    with pytest.raises(DescriptionError, match="channels_first"):
        InferenceDescription.from_json(plain(channels_first=True)).check_trained(source)


# As protobuf


@pytest.mark.parametrize("noise", ["pcm", "generic"])
@pytest.mark.parametrize(
    "preset", ["InferenceRPUConfig", "WebComposerInferenceRPUConfig", "OldWebComposerInferenceRPUConfig"]
)
def test_an_inference_input_is_understood(noise, preset):
    made = inference_of(inference_protobuf(ID, preset, noise=noise).SerializeToString(), seed=9)
    assert (made.trained, made.dataset, made.batch_size, made.seed) == (ID, "FashionMNIST", 100, 9)
    assert made.noise_model["prog_coeff"] == [0.26348, 1.965, -1.1731]  # as they were typed
    assert made.noise_model["class"] == ("PCMLike" if noise == "pcm" else "StateIndependent")
    layer = made.model().layers[1]
    assert layer.config.forward.adc.res == 1 / 510 and layer.config.forward.dac.res == 1 / 254
    assert layer.config.forward.adc.noise == 0.04
    assert layer.config.forward.adc.bound == (12.0 if preset == "InferenceRPUConfig" else 20.0)
    assert layer.config.mapping.digital_bias is (not preset.startswith("Old"))
    assert made.model().layers[3].config.mapping.digital_bias  # AnalogLinearMapped's always is


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"preset": "TikiTakaUnobtainiumPreset"}, "known are InferenceRPUConfig"), ({"adc": 1}, "2 to 32 bits"),
        ({"dac": 99}, "2 to 32 bits"), ({"output_noise_strength": -1.0}, "ADC.noise=-1.0.: needs"),
        ({"trained": "w"}, "no id"),
    ],
)  # fmt: skip
def test_inference_inputs_that_are_refused(change, told):
    with pytest.raises(DescriptionError, match=told):
        inference_of(inference_protobuf(**({"trained": ID} | change)).SerializeToString())


def test_garbage_in_the_noise_model():
    message = inference_protobuf(ID)
    message.inferencing.noise_model_info.pcm.device_id = "generic"
    with pytest.raises(DescriptionError, match="device_id 'generic' in pcm"):
        inference_of(message.SerializeToString())


def test_zero_bits_are_an_ideal_converter():
    made = inference_of(inference_protobuf(ID, adc=0, dac=0).SerializeToString())
    assert made.model().layers[1].config.forward.dac.res == 0.0


# By a service


def test_a_native_inference_runs_in_the_cloud(service, trained):
    runner = CloudRunner(service.url, service.token)
    given = BasicInferencing(Digits, network(), trained, batch_size=100)
    job = runner.run(given, seed=5, max_elements_train=60, device="cpu")
    assert job.category == "inference" and job.wait(120, progress=False) is Status.COMPLETED, job.logs()
    result = job.get_result()["inference_runs"]
    local = run_inference(given, seed=5, max_elements=60)["inference_runs"]
    assert result["inference_results"] == local["inference_results"] and not result["is_partial"]
    assert [entry["epoch"] for entry in job.epochs()] == [0, 1]
    back = job.get_experiment()
    assert (
        run_inference(back, seed=5, max_elements=60)["inference_runs"]["inference_results"]
        == local["inference_results"]
    )
    shown = service.get(f"/api/v1/experiments/{job.id}").json()
    assert shown["files"] == ["description.json", "weights.pb", "output.pb", "results.json", "results.csv"]
    table = service.get(f"/api/v1/experiments/{job.id}/files/results.csv").text.splitlines()
    assert table[0] == "t_inference,avg_accuracy,std_accuracy,avg_error,avg_loss" and len(table) == 11
    assert service.get(f"/api/v1/experiments/{job.id}/files/tiles.json").status_code == 404


def test_weights_that_are_not_those_that_were_named(service, trained):
    made, file = InferenceDescription.of(BasicInferencing(Digits, network(), trained))

    def put(weights, description=made, id="b" * 32, headers=None):
        body = {"name": "n", "device": "cpu", "description": description.to_json(), "weights": weights}
        return requests.put(
            f"{service.url}/api/v1/experiments/{id}", json=body, headers=headers or service.headers, timeout=30
        )

    for weights, told in ((None, "needs them"), ("%%", "no base64"), (b64encode(b"other").decode(), "SHA-256 differs")):
        answer = put(weights)
        assert answer.status_code == 422 and told in answer.json()["message"]
    garbage = replace(made, weights=hashlib.sha256(b"garbage").hexdigest())
    assert put(b64encode(b"garbage").decode(), garbage).status_code == 422
    taken = service.put(f"/api/v1/experiments/{'d' * 32}", json={"description": Description.of(training()).to_json()})
    assert taken.status_code == 201
    answer = put(b64encode(file).decode(), id="d" * 32, headers=service.user("mallory"))
    assert answer.status_code == 409
    assert not list((service.settings.home / "store" / "experiments" / ("d" * 32)).glob("weights*"))


def changed(file, change):
    """The file of weights, after `change` of its message; and a description that names it."""
    message = schema.training().TrainingOutput.FromString(file)
    change(message)
    return message.SerializeToString()


def held(message, n, name):
    return next(one for one in message.network.layers[n].layer.state_dict if one.name == name)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m.network.layers.pop(), "they have 4 layers, not 5"),
        (lambda m: m.network.layers.add(), "they have 6 layers, not 5"),
        (lambda m: m.network.layers[1].layer.state_dict.pop(0), "is nothing, not float32"),
        (lambda m: m.network.layers[3].layer.ClearField("state_dict"), "is nothing, not float32"),
        (lambda m: setattr(m.network.layers[1].layer.state_dict[0], "name", "tiles.tile.v"), "has no 'tiles.tile.v'"),
        (lambda m: m.network.layers[3].layer.state_dict.add(name="more").t.MergeFrom(
            m.network.layers[3].layer.state_dict[0].t), "layers[3] has no 'more'"),
        (lambda m: held(m, 1, "params.bias").t.dims.append(1), "not float32[8]"),
        (lambda m: (held(m, 1, "params.bias").t.dims.append(2**62), None), "is damaged"),
        (lambda m: held(m, 3, "params.bias").t.float_data.__setitem__(0, float("nan")), "NaN or infinity"),
        (lambda m: held(m, 3, "params.bias").t.float_data.__setitem__(9, float("-inf")), "of layers[3]"),
    ],
)  # fmt: skip
def test_weights_that_do_not_fit_are_refused_when_they_are_submitted(service, trained, change, told):
    made, file = InferenceDescription.of(BasicInferencing(Digits, network(), trained))
    file = changed(file, change)
    made = replace(made, weights=hashlib.sha256(file).hexdigest())
    body = {"description": made.to_json(), "weights": b64encode(file).decode()}
    answer = service.put(f"/api/v1/experiments/{'c' * 32}", json=body)
    assert answer.status_code == 422 and told in answer.json()["message"], answer.text
    assert service.get(f"/api/v1/experiments/{'c' * 32}").status_code == 404
    assert not (service.settings.home / "store" / "experiments" / ("c" * 32)).exists()


def test_a_layer_of_more_arrays_than_any_has_is_refused(service, trained):
    made, file = InferenceDescription.of(BasicInferencing(Digits, network(), trained))

    def more(message):
        for n in range(2000):
            message.network.layers[1].layer.state_dict.add(name=f"x{n}")

    file = changed(file, more)
    made = replace(made, weights=hashlib.sha256(file).hexdigest())
    body = {"description": made.to_json(), "weights": b64encode(file).decode()}
    answer = service.put(f"/api/v1/experiments/{'c' * 32}", json=body)
    assert answer.status_code == 422 and "at most 1000" in answer.json()["message"]


def test_checking_weights_touches_no_accelerator(trained, tmp_path):
    """A service that took its place there would leave none to the workers."""
    made, file = InferenceDescription.of(BasicInferencing(Digits, network(), trained))
    (tmp_path / "weights.pb").write_bytes(file)
    (tmp_path / "description.json").write_text(made.text())
    program = f"""
import json, pathlib
from analogjax.cloud.inference import description_from_json
from analogjax.cloud.wire.tensors import check_weights
from analogjax.cloud.wire.training import weights_in
folder = pathlib.Path({str(tmp_path)!r})
description = description_from_json(json.loads((folder / "description.json").read_text()))
check_weights(description, weights_in((folder / "weights.pb").read_bytes()))
print("checked")
"""
    # where no platform can be had, whatever asks for one fails
    environment = os.environ | {"JAX_PLATFORMS": "none_such"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout == "checked\n", done.stderr[-2000:]


@pytest.mark.slow
def test_an_inference_over_the_protocol_reads_a_training_of_the_service(service, monkeypatch, tmp_path):
    """What aihwkit's `InferenceCloudRunner` does, call by call; its template is a training that ran here."""
    made = service.put(f"/api/v1/experiments/{'e' * 32}", json={"description": Description.of(training()).to_json()})
    assert made.status_code == 201
    service.until("e" * 32, "completed")
    told = plain(trained="e" * 32, layers=Description.of(training()).to_json()["layers"], max_elements=60)
    assert service.put(f"/api/v1/experiments/{'f' * 32}", json={"description": told}).status_code == 201
    job = CloudRunner(service.url, service.token).get_experiment("f" * 32)
    assert job.wait(120, progress=False) is Status.COMPLETED, job.logs()
    result = job.get_result()["inference_runs"]["inference_results"]
    back = job.get_experiment()
    assert run_inference(back, seed=0, max_elements=60)["inference_runs"]["inference_results"] == result
    output = schema.inferencing().InferencingOutput.FromString(
        service.get(f"/api/v1/experiments/{'f' * 32}/files/output.pb").content
    )
    assert [one.avg_accuracy for one in output.inference_runs.inference_results] == [
        np.float32(entry["avg_accuracy"]) for entry in result
    ]
    assert result[0]["t_inference"] == 0.0 and result[-1]["t_inference"] == pytest.approx(86400)
    # of another user's training nobody learns that it exists
    answer = requests.put(
        f"{service.url}/api/v1/experiments/{'f' * 31}0", json={"description": told}, timeout=30,
        headers=service.user("eve"),
    )  # fmt: skip
    assert answer.status_code == 422 and "no experiment of yours" in answer.json()["message"]


def protocol(service, payload):
    made = service.post("/experiments", json={"name": "n", "category": "inference"}).json()
    url = service.post("/inputs", json={"experiment": made["id"], "device": "gpu"}).json()["url"]
    return made["id"], requests.put(url, data=payload, timeout=30)


def test_templates_that_are_refused_over_the_protocol(service):
    for trained, told in (
        ("hwa", "no id of an experiment"),
        ("hwa-lenet5", "weight_template_id"),
        ("0" * 32, "no experiment of yours"),
    ):
        _, answer = protocol(service, inference_protobuf(trained).SerializeToString())
        assert answer.status_code == 422 and told in answer.json()["message"]
    _, answer = protocol(service, protobuf().SerializeToString())
    assert answer.status_code == 422
    slow = service.put(
        f"/api/v1/experiments/{'9' * 32}", json={"description": Description.of(training(epochs=3000)).to_json()}
    )
    assert slow.status_code == 201
    _, answer = protocol(service, inference_protobuf("9" * 32).SerializeToString())
    assert answer.status_code == 422 and "give the id of a training that is completed" in answer.json()["message"]
    service.post(f"/api/v1/experiments/{'9' * 32}/cancel")
    with pytest.raises(Refused, match="no experiment of yours"):
        CloudRunner(service.url, service.token)._connection.json(
            "PUT", f"/api/v1/experiments/{'8' * 32}", {"description": plain(trained="7" * 32)}
        )
