"""aihwkit's `CloudRunner` against our service, and against servers that speak the composer protocol alone."""

import dataclasses
import inspect
import struct
import subprocess
import sys
import traceback

import jax
import numpy as np
import pytest
import torch
from aihwkit.cloud.client.entities import CloudExperiment, CloudJobStatus
from aihwkit.cloud.client.exceptions import (
    ApiResponseError,
    CredentialsError,
    ExperimentStatusError,
    InvalidResponseFieldError,
    ResponseError,
    Unreachable,
)
from aihwkit.cloud.client.session import ApiSession, ObjectStorageSession
from aihwkit.cloud.client.utils import DEFAULT_URL, ClientConfiguration
from aihwkit.cloud.client.v1.api_client import ApiClient
from aihwkit.cloud.client.v1.parsers import ExperimentParser
from aihwkit.cloud.converter.definitions.i_output_file_pb2 import InferencingOutput
from aihwkit.cloud.converter.definitions.input_file_pb2 import TrainingInput
from aihwkit.cloud.converter.exceptions import ConversionError
from aihwkit.cloud.converter.v1.inferencing import BasicInferencingConverter, BasicInferencingResultConverter
from aihwkit.cloud.converter.v1.mappings import Mappings
from aihwkit.cloud.converter.v1.training import BasicTrainingConverter, BasicTrainingResultConverter, experiment_of
from aihwkit.exceptions import ConfigError
from aihwkit.experiments import BasicInferencing, BasicTraining
from aihwkit.experiments.runners import CloudRunner, InferenceCloudRunner, LocalRunner
from aihwkit.nn import AnalogConv2d, AnalogLinear, AnalogSequential
from aihwkit.simulator import configs as c
from aihwkit.simulator import presets as all_presets
from aihwkit.simulator.presets import CapacitorPreset, EcRam2Preset, EcRamPreset, IdealizedPreset
from aihwkit.simulator.presets.web import OldWebComposerInferenceRPUConfig
from torch import nn

import analogjax.cloud as native
from analogjax.cloud import connection
from analogjax.cloud.wire.training import description_of
from analogjax.tile.presets import preset as tile_preset
from compat.stacked_chips import chips_of
from compat.torchvision.datasets import SVHN, FashionMNIST
from tests.cloud.running_service import ROOT, service_in_thread
from tests.cloud.test_client import Crooked, compile_once, text
from tests.compat.test_compat_experiments import Digits

TOKEN = "s3cret-token"


def network():
    return AnalogSequential(
        AnalogConv2d(1, 8, 26, stride=5, padding=1, rpu_config=EcRamPreset()), nn.Tanh(), nn.Flatten(),
        AnalogLinear(8, 12, bias=False, rpu_config=CapacitorPreset()), nn.LeakyReLU(0.25), nn.Linear(12, 10),
        nn.LogSoftmax(dim=1),
    )  # fmt: skip


def experiment(model=None, **given):
    given = {"batch_size": 100, "epochs": 1, "learning_rate": 0.01} | given
    return BasicTraining(given.pop("dataset", FashionMNIST), network() if model is None else model, **given)


def write_fashion(folder):
    """Files as large as the published ones, with ten patterns for ten classes."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 256, (10, 28, 28)).astype(np.uint8)
    for name, items in (("train", 60_000), ("t10k", 10_000)):
        labels = (np.arange(items) % 10).astype(np.uint8)
        for kind, array in (("images-idx3", patterns[labels]), ("labels-idx1", labels)):
            header = struct.pack(f">{1 + array.ndim}I", 0x800 | array.ndim, *array.shape)
            (folder / f"{name}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_fashion(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def service(tmp_path_factory, root):
    def first_items(payload, seed):
        return dataclasses.replace(description_of(payload, seed), max_elements=1000)

    with pytest.MonkeyPatch.context() as patched:  # the protocol has no word for it, and an epoch takes a minute
        patched.setattr("analogjax.cloud.service.experiments.description_of", first_items)
        compile_once(patched)
        with service_in_thread(tmp_path_factory.mktemp("service") / "home", data_root=str(root)) as running:
            yield running


@pytest.fixture
def runner(service):
    return CloudRunner(service.url, service.token)


@pytest.fixture(scope="module")
def done(service):
    """A training that the service has run to its end."""
    job = CloudRunner(service.url, service.token).run(experiment(), device="cpu")
    assert job.wait(300, progress=False) is CloudJobStatus.COMPLETED, job.logs()
    return job


@pytest.fixture
def crooked(monkeypatch):
    monkeypatch.setattr(connection, "_BACKOFF", 0.01)
    made = Crooked()
    made.answers = [(200, {}, text({"jwt": "a.b.c"}))]
    yield made
    made.close()


@pytest.mark.slow
def test_the_result_has_aihwkits_form(done):
    (entry,) = done.get_result()
    assert entry["epoch"] == 0
    assert set(entry["metrics"]) == {"time_epoch", "accuracy", "train_loss", "valid_loss"}
    assert 0 <= entry["metrics"]["accuracy"] <= 1
    assert done.name == "aihwkit cloud experiment (FashionMNIST, 7 layers)"


@pytest.mark.slow
def test_the_experiment_comes_back_with_the_trained_chips_exact_to_the_bit(service, done, root, tmp_path):
    torch.manual_seed(7)
    trained = done.get_experiment()
    assert isinstance(trained, BasicTraining) and (trained.batch_size, trained.learning_rate) == (100, 0.01)
    remote = native.CloudRunner(service.url, service.token).get_experiment(done.id_)
    variables = remote.get_experiment(root).variables
    for n, layer in enumerate(trained.model):
        if isinstance(layer, AnalogLinear | AnalogConv2d):
            module = layer.analog_module
            chips = chips_of(module.array if hasattr(module, "array") else [[module]])
            ours, theirs = (jax.tree.leaves(t) for t in (chips.tile, variables.tiles[f"layers_{n}"]))
            assert len(ours) == len(theirs) > 1
            assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(ours, theirs, strict=True))
    with np.load(remote.download("weights.npz", tmp_path)) as weights:
        for n in (0, 3):
            assert np.array_equal(trained.model[n].get_weights()[0], weights[f"layers_{n}.weight"])
        assert np.array_equal(trained.model[0].get_weights()[1], weights["layers_0.bias"])
        assert np.array_equal(trained.model[5].weight.detach(), weights["layers_5.weight"])
        assert np.array_equal(trained.model[5].bias.detach(), weights["layers_5.bias"])


@pytest.mark.slow
def test_the_trained_experiment_goes_on_here(done, root):
    trained = done.get_experiment()
    before = trained.model[3].get_weights()[0].clone()
    (entry,) = LocalRunner().run(trained, max_elements_train=200, dataset_root=str(root))
    assert not torch.equal(trained.model[3].get_weights()[0], before) and entry["valid_loss"] < 10
    native_one = native.CloudRunner(*_place(done)).get_experiment(done.id_).get_experiment(root)
    assert native_one.dataset.train.images.shape == (60_000, 1, 28, 28)


def _place(job):
    session = job._api_client.session
    return session.api_url, session.api_token


@pytest.mark.slow
def test_it_is_listed_and_found(runner, done):
    found = runner.get_cloud_experiment(done.id_)
    assert isinstance(found, CloudExperiment) and found.status() is CloudJobStatus.COMPLETED
    assert (found.name, found.created_at, found.input_id) == (done.name, done.created_at, done.input_id)
    assert found.id_ in [one.id_ for one in runner.list_cloud_experiments()]
    assert "worker: completed" in found.logs()


@pytest.mark.slow
def test_a_line_for_each_epoch_while_waiting(runner, done, capsys):
    assert runner.get_cloud_experiment(done.id_).wait() is CloudJobStatus.COMPLETED
    assert capsys.readouterr().out.startswith("Epoch: 0, loss: ")


def test_before_the_end_there_is_no_result_and_cancel_ends_it(runner):
    job = runner.run(experiment(epochs=1000), name="long", device="cpu")
    assert job.status() in (CloudJobStatus.WAITING, CloudJobStatus.RUNNING)
    with pytest.raises(
        ExperimentStatusError, match=r"is (WAITING|RUNNING).*Wait for its end with \.wait\(\)"
    ) as caught:
        job.get_result()
    assert isinstance(caught.value, native.ExperimentStatusError)
    untrained = job.get_experiment()
    assert untrained.model[3].get_weights()[0].shape == (12, 8) and untrained.epochs == 1000
    with pytest.raises(TimeoutError):
        job.wait(0.1, progress=False)
    job.cancel()
    assert job.wait(120, progress=False) is CloudJobStatus.FAILED
    with pytest.raises(ExperimentStatusError, match=r"failed: .*cancel"):
        job.get_result()


def test_a_draft_has_no_experiment(runner):
    draft = ExperimentParser.parse_experiment(
        runner.api_client.experiments.post({"name": "draft", "category": "train"}), runner.api_client
    )
    assert draft.status() is CloudJobStatus.UNKNOWN
    for ask in (draft.get_experiment, draft.wait):
        with pytest.raises(ExperimentStatusError, match="not submitted"):
            ask()


def test_what_the_service_refuses_is_told_in_its_words(runner):
    with pytest.raises(ResponseError, match=r"BatchNorm2d.*not simulated") as caught:
        runner.run(experiment(AnalogSequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(784, 10))))
    assert isinstance(caught.value, native.Refused) and caught.value.status == 422
    assert "/files/" not in str(caught.value)  # a signed address lets its holder in
    with pytest.raises(ApiResponseError, match=r"404 .* for GET /experiments/nothing-there: .") as caught:
        runner.get_cloud_experiment("nothing-there")
    assert caught.value.response.status_code == 404


def test_a_token_that_is_not_accepted(service):
    with pytest.raises(CredentialsError, match="Error while trying to log in: This token is not valid") as caught:
        CloudRunner(service.url, TOKEN)
    assert isinstance(caught.value, native.CredentialsError)
    assert TOKEN not in "".join(traceback.format_exception(caught.value)) and caught.value.__context__ is None


# Conversion


def test_an_experiment_travels_there_and_back():
    model = AnalogSequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(3, 3, 2, 2), nn.BatchNorm2d(3),
        AnalogConv2d(3, 4, (3, 2), (2, 1), (1, 0), 2, bias=False, rpu_config=IdealizedPreset()), nn.Sigmoid(),
        nn.MaxPool2d((2, 2), ceil_mode=True), nn.LogSigmoid(), nn.Flatten(),
        AnalogLinear(8, 10, rpu_config=CapacitorPreset()), nn.LeakyReLU(0.3), nn.Softmax(dim=1),
    )  # fmt: skip
    model[9].analog_module.rpu_config.mapping.weight_scaling_omega = 0.6
    sent = experiment(model, dataset=SVHN, loss_function=nn.CrossEntropyLoss, learning_rate=0.1, epochs=3)
    message = BasicTrainingConverter().to_proto(sent)
    back = BasicTrainingConverter().from_proto(TrainingInput.FromString(message.SerializeToString()))
    assert back.dataset.__name__ == "SVHN" and back.loss_function is nn.CrossEntropyLoss
    assert (back.batch_size, back.epochs, back.learning_rate) == (100, 3, 0.1)
    sent.model[6].kernel_size = 2  # a pair of equal numbers is one
    assert str(back.model) == str(sent.model).replace("stride=(2, 2), padding=0", "stride=2, padding=0")
    assert back.model[9].analog_module.rpu_config.mapping.weight_scaling_omega == 0.6
    assert BasicTrainingConverter().to_proto(back) == message


def changed(config, **fields):
    for name, value in fields.items():
        setattr(config, name, value)
    return config


def rows(layer, *more):
    return AnalogSequential(layer, *more)


def quiet():
    config = EcRamPreset()
    config.forward.out_noise = 0.0
    return config


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dataset": Digits}, "Unsupported dataset: Digits"),
        ({"loss_function": nn.L1Loss}, "Unsupported loss function: L1Loss"),
        ({"model": lambda: nn.Sequential(nn.Flatten())}, "only an AnalogSequential"),
        ({"model": lambda: rows(nn.Flatten(), nn.Dropout(0.1))}, "layer 1 is a Dropout"),
        ({"model": lambda: rows(nn.Sequential(nn.Tanh()))}, "layer 0 is a Sequential"),
        ({"model": lambda: rows(nn.Flatten(2))}, "start_dim=2.* would be lost"),
        ({"model": lambda: rows(nn.Conv2d(2, 2, 3, groups=2))}, "groups=2.* would be lost"),
        ({"model": lambda: rows(nn.MaxPool2d((2, 3)))}, r"kernel_size=\(2, 3\)"),
        ({"model": lambda: rows(nn.Softmax())}, "dim=None"),
        ({"model": lambda: rows(AnalogLinear(4, 2, rpu_config=c.SingleRPUConfig()))}, "SingleRPUConfig is none"),
        ({"model": lambda: rows(AnalogLinear(4, 2, rpu_config=EcRam2Preset()))}, "EcRam2Preset is none"),
        ({"model": lambda: rows(AnalogLinear(4, 2, rpu_config=quiet()))}, "EcRamPreset was changed"),
    ],
)
def test_what_can_not_travel_is_refused_with_a_reason(given, message):
    given = {name: value() if name == "model" else value for name, value in given.items()}
    with pytest.raises(ConversionError, match=message) as caught:
        BasicTrainingConverter().to_proto(experiment(**given))
    assert isinstance(caught.value, native.DescriptionError)


def test_configurations_without_a_preset_are_sent_in_json(service, runner):
    single = c.SingleRPUConfig(device=c.SoftBoundsDevice(dw_min=0.003))
    model = rows(
        AnalogConv2d(1, 2, 5, stride=2, rpu_config=quiet()), nn.Tanh(), nn.Flatten(),
        AnalogLinear(288, 10, rpu_config=single), nn.LogSoftmax(dim=1),
    )  # fmt: skip
    torch.manual_seed(5)
    job = runner.run(experiment(model, epochs=3), name="own tiles", device="cpu")
    found = service.get(f"/api/v1/experiments/{job.id_}").json()
    sent = found["description"]
    assert (found["name"], sent["epochs"], sent["channels_first"]) == ("own tiles", 3, True)
    assert [layer["type"] for layer in sent["layers"]] == [
        "AnalogConv2d",
        "Tanh",
        "Flatten",
        "AnalogLinear",
        "LogSoftmax",
    ]
    assert sent["layers"][3]["config"]["device"]["dw_min"] == pytest.approx(0.003)
    job.cancel()
    assert job.wait(60, progress=False) is CloudJobStatus.FAILED
    with pytest.raises(ConversionError, match=r"sent in JSON.*analogjax\.cloud\.CloudRunner"):
        job.get_experiment()
    with pytest.raises(ConversionError, match="Dropout"):
        runner.run(experiment(rows(nn.Flatten(), nn.Dropout(0.1), AnalogLinear(784, 10))))


def test_a_service_without_json_refuses_them_as_before(crooked):
    crooked.answers.append((404, {}, b"nothing"))
    with pytest.raises(ConversionError, match="SingleRPUConfig is none"):
        CloudRunner(crooked.url, TOKEN).run(experiment(rows(nn.Flatten(), AnalogLinear(784, 10))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: setattr(m.dataset, "dataset_id", "mnist"), "Unsupported dataset: 'mnist'; known are fashion_mnist"),
        (lambda m: setattr(m.network.layers[0].layer, "id", "Conv9d"), "Unsupported layer: 'Conv9d'"),
        (lambda m: setattr(m.network.layers[1].activation_function, "id", "Sin"), "activation function: 'Sin'"),
        (lambda m: setattr(m.training.optimizer, "id", "Adam"), "optimizer: 'Adam'"),
        (lambda m: setattr(m.network.layers[0].layer.arguments[0], "name", "x"), "has no argument 'x'"),
        (lambda m: setattr(m.network.layers[0].layer.arguments[7], "s", b"Own"), "preset 'Own' is unknown"),
    ],
)
def test_what_is_not_known_here_is_refused_with_a_reason(change, message):
    sent = BasicTrainingConverter().to_proto(experiment())
    change(sent)
    with pytest.raises(ConversionError, match=message):
        BasicTrainingConverter().from_proto(sent)


@pytest.mark.parametrize("preset", [name for name in Mappings.presets.values() if "PCM" in name or "TikiTaka" in name])
def test_a_preset_of_other_devices_travels_there_and_back(preset):
    config = getattr(all_presets, preset)()
    model = rows(nn.Flatten(), AnalogLinear(4, 2, rpu_config=config))
    sent = BasicTrainingConverter().to_proto(experiment(model=model))
    assert sent.network.layers[1].layer.arguments[3].s == preset.encode()
    again = BasicTrainingConverter().from_proto(sent).model[1].analog_module.rpu_config
    assert again == config and again.to_native() == tile_preset(preset)


@pytest.mark.slow
def test_an_output_of_another_service_leaves_the_model_untrained(service, done):
    client = done._api_client
    payload, output = client.input_get(done.input_id), client.output_get(done.job.output_id)
    from aihwkit.cloud.converter.definitions.output_file_pb2 import TrainingOutput

    bare = TrainingOutput.FromString(output)
    told = BasicTrainingResultConverter().from_proto(bare)
    assert told["version"] == {"schema": 1, "opset": 1} and told["epochs"] == done.get_result()
    for item in bare.network.layers:
        if item.HasField("layer"):
            item.layer.ClearField("state_dict")
    weights = []
    for given in (None, bare.SerializeToString()):
        torch.manual_seed(3)
        weights.append(experiment_of(payload, given).model[3].get_weights()[0])
    assert torch.equal(*weights)


# Inference


NOISE = {
    "device_id": "pcm", "programming_noise_scale": 1.0, "read_noise_scale": 1.0, "drift_scale": 1.0,
    "drift_compensation": True, "poly_first_order_coef": 0.5, "poly_second_order_coef": 0.25,
    "poly_constant_coef": 0.125,
}  # fmt: skip
ANALOG = {"output_noise_strength": 0.5, "adc": 8, "dac": 7}


def inference():
    model = AnalogSequential(nn.Flatten(), AnalogLinear(784, 10, rpu_config=OldWebComposerInferenceRPUConfig()))
    return BasicInferencing(FashionMNIST, model, 8, weight_template_id="w")


@pytest.mark.parametrize("more", [{}, {"device_id": "generic", "drift_mean": 0.5, "drift_std": 0.25}])
def test_an_inference_is_told_and_comes_back(more):
    message = BasicInferencingConverter().to_proto(inference(), ANALOG, NOISE | more)
    told = getattr(message.inferencing.noise_model_info, "generic" if more else "pcm")
    assert all(getattr(told, name) == value for name, value in (NOISE | more).items())
    back = BasicInferencingConverter().from_proto(message)
    assert (back.batch_size, back.inference_repeats, back.weight_template_id) == (8, 2, "w")
    with pytest.raises(ConfigError, match="fetched by aihwkit from IBM"):
        back.get_model(back.weight_template_id)
    config = next(next(back.model.analog_layers()).analog_tiles()).rpu_config
    assert isinstance(config, OldWebComposerInferenceRPUConfig) and config.forward.out_noise == 0.5
    assert (config.forward.out_res, config.forward.inp_res) == (1 / 254, 1 / 126)
    assert config.noise_model.prog_coeff == [0.125, 0.5, 0.25] and config.drift_compensation is not None
    assert getattr(config.noise_model, "drift_nu_mean", 0.5) == 0.5


@pytest.mark.parametrize(
    ("analog", "noise", "message"),
    [
        ({"adc": 8}, NOISE, "analog_info lacks 'output_noise_strength'"),
        (ANALOG, NOISE | {"drift_mean": 1.0}, "noise_model_info has no 'drift_mean'"),
        (ANALOG | {"adc": "eight"}, NOISE, "can't be 'eight'"),
    ],
)
def test_an_inference_that_lacks_something(analog, noise, message):
    with pytest.raises(ConversionError, match=message):
        BasicInferencingConverter().to_proto(inference(), analog, noise)


def test_results_of_an_inference_go_there_and_back():
    one = {"t_inference": 1.0, "avg_accuracy": 50.0, "std_accuracy": 0.5, "avg_error": 50.0, "avg_loss": 2.0}
    runs = {"inference_repeat": 2, "is_partial": False, "time_elapsed": 1.5, "inference_results": [one, one]}
    converter = BasicInferencingResultConverter()
    message = InferencingOutput.FromString(converter.to_proto({"inference_runs": runs}).SerializeToString())
    assert converter.to_json_from_pb(message) == {"inference_runs": runs}
    assert converter.result_from_proto(message) == [one, one]
    assert converter.to_json({"a": 1}) == {"version": {"schema": 1, "opset": 1}, "a": 1}


def test_our_service_says_what_a_template_is(service):
    runner = InferenceCloudRunner(service.url, service.token)
    with pytest.raises(ResponseError, match="weight_template_id"):
        runner.run(inference(), ANALOG, NOISE)


def test_certificates_are_checked_by_default():
    for kind in (CloudRunner, InferenceCloudRunner, ApiSession):
        assert inspect.signature(kind).parameters["verify"].default is True
    assert ObjectStorageSession().verify is True


# Servers that are others


EXPERIMENT = {"id": "e1", "name": "n", "category": "train", "createdAt": "2026-01-02T03:04:05.000006Z"}


def test_a_server_without_our_api(crooked, monkeypatch):
    monkeypatch.setattr("compat.aihwkit.cloud.client.entities._FIRST_PAUSE", 0.01)
    running, ended = {"id": "j1", "status": "running"}, {"id": "j1", "status": "completed", "output": "o1"}
    job = CloudRunner(crooked.url, TOKEN).api_client
    crooked.answers = [(200, {}, text(EXPERIMENT | {"job": running}))]
    found = job.experiment_get("e1")
    assert found.input_id is None and found.created_at.microsecond == 6
    nothing = (404, {}, text({"message": "no such route"}))
    crooked.answers = [nothing]
    for ask in (found.logs, found.cancel):
        with pytest.raises(native.CloudError, match="does not offer it"):
            ask()
    crooked.answers = [(200, {}, text(running)), nothing, (200, {}, text(running)), (200, {}, text(ended))]
    assert found.wait(20) is CloudJobStatus.COMPLETED and found.job.output_id == "o1"
    payload = BasicTrainingConverter().to_proto(experiment()).SerializeToString()
    place = text({"url": f"{crooked.url}/store?signature=x"})
    crooked.answers = [
        (200, {}, text(EXPERIMENT | {"input": {"id": "i1"}})), (200, {}, place), (200, {}, payload), (200, {}, place),
        (200, {}, b""),
    ]  # fmt: skip
    with pytest.raises(native.DescriptionError):  # an output that is none
        found.get_experiment()
    assert [path for _, path, _ in crooked.seen[-5:]] == [
        "/experiments/e1", "/inputs/i1/file", "/store?signature=x", "/outputs/o1/file", "/store?signature=x",
    ]  # fmt: skip
    assert [token for _, _, token in crooked.seen[-3:]] == [None, "Bearer a.b.c", None]


def test_a_failed_job_asks_nothing_more(crooked):
    crooked.answers = [
        (200, {}, text({"jwt": "a.b.c"})),
        (200, {}, text(EXPERIMENT | {"job": {"id": "j", "status": "failed"}})),
    ]
    client = CloudRunner(crooked.url, TOKEN).api_client
    found = client.experiment_get("e1")
    count = len(crooked.seen)
    assert found.status() is CloudJobStatus.FAILED and len(crooked.seen) == count
    crooked.answers = [(404, {}, b"")]
    with pytest.raises(ExperimentStatusError, match="failed: the service does not say why"):
        found.get_result()


def test_the_login_is_not_redirected(crooked):
    other = Crooked()
    crooked.answers = [(307, {"Location": f"{other.url}/token/login"}, b"")]
    try:
        with pytest.raises(ApiResponseError, match="307"):
            CloudRunner(crooked.url, TOKEN)
        assert other.seen == []
    finally:
        other.close()


def test_what_may_be_repeated_is(crooked):
    client = ApiClient(ApiSession(crooked.url + "/", TOKEN))
    crooked.answers = [(503, {"Retry-After": "0"}, b""), ("break", {}, b""), (200, {}, b"[]")]
    assert client.experiments_list() == []
    assert [path for _, path, _ in crooked.seen] == ["/token/login", *["/experiments/me"] * 3]


def test_a_server_that_is_away(crooked, caplog):
    client = CloudRunner(crooked.url, TOKEN).api_client
    crooked.answers = [("break", {}, b"")]
    with pytest.raises(Unreachable, match="analogjax serve") as caught:
        client.object_storage_session.put(f"{crooked.url}/store?signature={TOKEN}", data=b"x")
    assert TOKEN not in "".join(traceback.format_exception(caught.value)) + caplog.text
    assert caught.value.__context__ is None and isinstance(caught.value, native.ConnectionFailed)


@pytest.mark.parametrize(
    "told",
    [[], {}, EXPERIMENT | {"category": "other"}, EXPERIMENT | {"createdAt": "now"},
     EXPERIMENT | {"job": {"id": "j", "status": "flying"}}],
)  # fmt: skip
def test_answers_that_are_not_the_protocols(crooked, told):
    client = CloudRunner(crooked.url, TOKEN).api_client
    crooked.answers = [(200, {}, text(told))]
    with pytest.raises(InvalidResponseFieldError):
        client.experiment_get("e1")
    crooked.answers = [(200, {}, b"<html>")]
    with pytest.raises(InvalidResponseFieldError, match="not JSON"):
        client.experiment_get("e1")


def test_programs_that_use_no_cloud_need_nothing_for_it():
    program = (
        "import sys, compat; compat.install()\n"
        "for name in ('requests', 'google.protobuf', 'fastapi', 'sqlalchemy'):\n"
        "    sys.modules[name] = None\n"
        "from aihwkit.experiments import BasicTraining\n"
        "from aihwkit.experiments.runners import CloudRunner, LocalRunner\n"
        "try:\n"
        "    CloudRunner('http://127.0.0.1:1', 't')\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert 'pip install "analogjax[cloud]"' in done.stdout


# Configuration


@pytest.fixture
def nothing_set(tmp_path, monkeypatch):
    for name in ("ANALOGJAX_API_TOKEN", "AIHW_API_TOKEN", "ANALOGJAX_API_URL", "AIHW_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def config_file(path, **given):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["[cloud]", *(f"{name} = {value}" for name, value in given.items())]))
    path.chmod(0o600)


def test_the_configuration_is_aihwkits(nothing_set, monkeypatch):
    assert (ClientConfiguration().token, ClientConfiguration().url) == (None, DEFAULT_URL)
    config_file(nothing_set / "here" / "aihwkit.conf", api_token="here", api_url="http://localhost:1")
    assert (ClientConfiguration().token, ClientConfiguration().url) == ("here", "http://localhost:1")
    config_file(nothing_set / "config" / "aihwkit.conf", api_token="documented", api_url="http://localhost:2")
    assert (ClientConfiguration().token, ClientConfiguration().url) == ("documented", "http://localhost:2")
    config_file(nothing_set / "config" / "aihwkit" / "aihwkit.conf", api_token="code", other="x")
    found = ClientConfiguration()
    assert (found.token, found.url) == ("code", "http://localhost:2")
    assert found.stored_config == {"api_token": "code", "api_url": "http://localhost:2", "other": "x"}
    monkeypatch.setenv("AIHW_API_TOKEN", "environment")
    assert ClientConfiguration().token == "environment"


def test_an_address_in_the_folder_gets_no_token_from_elsewhere(nothing_set, monkeypatch):
    config_file(nothing_set / "here" / "aihwkit.conf", api_url="https://thief.example")
    monkeypatch.setenv("AIHW_API_TOKEN", "mine")
    with pytest.warns(UserWarning, match="is not used"):
        assert ClientConfiguration().url == DEFAULT_URL


def test_the_runner_finds_its_configuration(nothing_set, service):
    with pytest.raises(CredentialsError, match=r"No credentials could be found.*aihwkit\.conf"):
        CloudRunner()
    config_file(nothing_set / "config" / "aihwkit.conf", api_token=service.token, api_url=service.url)
    assert isinstance(CloudRunner().list_cloud_experiments(), list)
    assert service.token not in repr(CloudRunner()) + repr(CloudRunner().session)
    (nothing_set / "config" / "aihwkit.conf").write_text("api_token = s3cret")
    with pytest.raises(CredentialsError, match="is not of the form") as caught:
        CloudRunner()
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
