"""Models over sequences and volumes on a service: the very numbers of a local run, trained and then read."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import AnalogLinear, BasicTraining, Digits, LocalRunner, Sequential, TileConfig, nn, random
from analogjax.cloud import CloudRunner, Status
from analogjax.cloud.description import Description
from analogjax.cloud.inference import InferenceDescription
from analogjax.cloud.wire.tensors import weights_of
from analogjax.cloud.wire.training import output, weights_in
from analogjax.experiments import BasicInferencing
from analogjax.physics import Periphery
from analogjax.tile import Mapping
from tests.cloud.running_service import service_in_thread
from tests.cloud.test_client import compile_once
from tests.tolerance import assert_close, assert_same_bits

LAYERS = {
    "sequences": ((1, 64), nn.AnalogConv1d(2, kernel_size=(5,), strides=(4,), padding=(2,))),
    "volumes": ((1, 4, 4, 4), nn.AnalogConv3d(2, kernel_size=(2, 2, 3), strides=(2, 2, 1))),
}


def training(kind, config=TileConfig(), **given):  # noqa: B008 - frozen
    sizes, convolution = LAYERS[kind]
    model = Sequential(
        nn.flatten, partial(nn.unflatten, sizes=sizes), convolution.clone(config=config), jnp.tanh, nn.flatten,
        AnalogLinear(10, config), jax.nn.log_softmax,
    )  # fmt: skip
    return BasicTraining(**({"dataset": Digits, "model": model, "batch_size": 50, "epochs": 1} | given))


def test_a_service_trains_what_a_local_runner_does(tmp_path, monkeypatch):
    compile_once(monkeypatch)
    experiment = training("sequences")
    local = LocalRunner().run(experiment, 200, seed=3, progress=False)
    with service_in_thread(tmp_path / "home") as service:
        job = CloudRunner(service.url, service.token).run(experiment, seed=3, max_elements_train=200, device="cpu")
        assert job.wait(120, progress=False) is Status.COMPLETED, job.logs()
        (entry,) = job.get_result()
        assert entry["train_loss"] == local[0]["train_loss"] and entry["accuracy"] == local[0]["accuracy"]
        trained = job.get_experiment()
    assert_same_bits(trained.variables.tiles, local.variables.tiles)
    assert [type(layer) for layer in trained.model.layers][2] is nn.AnalogConv1d


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("mapping", [Mapping(), Mapping(digital_bias=False)], ids=["digital bias", "analog bias"])
def test_trained_weights_are_written_on_new_chips(kind, mapping):
    perfect = Periphery(is_perfect=True)
    source = training(kind, TileConfig(forward=perfect, mapping=mapping))
    x = random.uniform(random.key(1), (3, 8, 8, 1))
    variables = nn.init(source.model, x, random.key(2))
    reading = training(kind, TileConfig(forward=perfect, mapping=Mapping(weight_scaling_omega=1.0)))
    there = InferenceDescription.of(
        BasicInferencing(Digits, reading.model, nn.init(reading.model, x, random.key(4)))
    )[0]  # fmt: skip
    told = Description.of(source)
    chips = there.written(told, weights_in(output(told, [], weights_of(told, variables))))
    expected = nn.apply(source.model, variables, x, key=random.key(3))
    # weights of the range of the devices, scaled to 1 and back
    assert_close(nn.apply(there.model(), chips, x, key=random.key(3)), expected)
    assert np.ptp(expected) > 0.1
