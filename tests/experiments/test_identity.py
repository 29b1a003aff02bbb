"""A checkpoint belongs to a run by what the run is, not by what its parts are called."""

import dataclasses
import functools
import os
import subprocess
import sys

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from analogjax import AnalogLinear, BasicTraining, LocalRunner, Sequential, TileConfig
from analogjax.data import Split
from analogjax.experiments import Arrays, Batches, CheckpointOptions, mse_loss, nll_loss
from analogjax.physics import Ideal, Periphery, SoftBounds
from analogjax.store import CheckpointError

PERFECT = Periphery(is_perfect=True)
IDEAL = TileConfig(device=Ideal(), forward=PERFECT, backward=PERFECT)
run = functools.partial(LocalRunner("cpu").run, stdout=False)
STEP = 0.5


def data(value=0.1, label=0, items=16):
    split = Split(images=np.full((items, 4), value, np.float32), labels=np.full(items, label, np.int32))
    return Arrays(split, split)


def scaled(x):
    return STEP * x


class Gated(linen.Module):
    gate: float = 1.0

    @linen.compact
    def __call__(self, x):
        return self.gate * AnalogLinear(2, IDEAL)(x)


def model(activation=jax.nn.log_softmax, config=IDEAL, width=2):
    return Sequential(AnalogLinear(width, config), activation)


def experiment(**changes):
    given = {"dataset": data(), "model": model(), "batch_size": 8, "epochs": 1, "learning_rate": 0.1}
    return BasicTraining(**(given | changes))


def warm(peak):
    """A schedule that is the same for 50,000 steps."""
    return optax.join_schedules([optax.constant_schedule(0.01), optax.constant_schedule(peak)], [50_000])


class Block(linen.Module):
    """A layer that another model makes within its `__call__`."""

    @linen.compact
    def __call__(self, x):
        return jnp.tanh(x)


def another_block():
    class Block(linen.Module):
        @linen.compact
        def __call__(self, x):
            return 50.0 * jnp.tanh(x)

    Block.__module__, Block.__qualname__ = __name__, "Block"
    return Block


class Holder(linen.Module):
    @linen.compact
    def __call__(self, x):
        return Block()(AnalogLinear(2, IDEAL)(x))


class First(linen.Module):
    gain = 4.0

    def scaled(self, x):
        return x

    @linen.compact
    def __call__(self, x):
        return self.scaled(AnalogLinear(2, IDEAL)(x))


def derived(**members):
    return type("Derived", (type("Base", (First,), {**members, "__module__": __name__}),), {"__module__": __name__})()


def louder(gain):
    def decorate(function):
        @functools.wraps(function)
        def wrapped(x):
            return gain * function(x)

        return wrapped

    return decorate(plain)


def plain(x):
    return x


def stepped(at):
    return optax.piecewise_constant_schedule(0.1, {at: 0.5})


PAIRS = {  # settings that look alike, and what the refusal names
    "optimizer of another rate": ({"optimizer": optax.adam(1e-3)}, {"optimizer": optax.adam(1.0)}, "optimizer"),
    "another optimizer": ({"optimizer": optax.sgd(0.1)}, {"optimizer": optax.adam(0.1)}, "optimizer"),
    "an optimizer that differs later": (
        {"optimizer": optax.sgd(warm(1))},
        {"optimizer": optax.sgd(warm(2))},
        "optimizer",
    ),
    "momentum": ({"optimizer": optax.sgd(0.1)}, {"optimizer": optax.sgd(0.1, momentum=0.9)}, "optimizer"),
    "weight decay": ({}, {"weight_decay": 0.01}, "optimizer"),
    "rate": ({}, {"learning_rate": 0.2}, "learning_rate"),
    "schedule": ({"learning_rate": lambda n: 0.1}, {"learning_rate": lambda n: 0.3}, "learning_rate"),
    "a schedule that differs later": ({"learning_rate": warm(1)}, {"learning_rate": warm(2)}, "learning_rate"),
    "pixels": ({}, {"dataset": data(0.9)}, "train_data"),
    "labels": ({}, {"dataset": data(label=1)}, "train_data"),
    "normalisation": ({}, {"dataset": dataclasses.replace(data(), mean=(0.5,))}, "normalisation"),
    "test items": ({}, {"dataset": dataclasses.replace(data(), test=data(0.2).test)}, "test_data"),
    "loss": ({"loss_function": lambda y, t: -y[:, 0]}, {"loss_function": lambda y, t: -y[:, 1]}, "loss_function"),
    "a scaled loss": (
        {"loss_function": functools.partial(lambda y, t, by: by * y[:, 0], by=1.0)},
        {"loss_function": functools.partial(lambda y, t, by: by * y[:, 0], by=2.0)},
        "loss_function",
    ),
    "activation": ({"model": model(lambda x: x)}, {"model": model(lambda x: -x)}, "model"),
    "a constant of an activation": (
        {"model": model(functools.partial(jnp.multiply, 2.0))},
        {"model": model(functools.partial(jnp.multiply, 3.0))},
        "model",
    ),
    "device": ({}, {"model": model(config=dataclasses.replace(IDEAL, device=SoftBounds()))}, "model"),
    "parameter of a device": (
        {"model": model(config=TileConfig(device=SoftBounds(dw_min=0.01)))},
        {"model": model(config=TileConfig(device=SoftBounds(dw_min=0.02)))},
        "model",
    ),
    "a field of one's own model": ({"model": Gated(1.0)}, {"model": Gated(2.0)}, "model"),
    "a number of an optimizer that acts on large gradients": (
        {"optimizer": optax.chain(optax.clip_by_global_norm(20.0), optax.sgd(0.1))},
        {"optimizer": optax.chain(optax.clip_by_global_norm(1000.0), optax.sgd(0.1))},
        "optimizer",
    ),
    "a step of a schedule": ({"learning_rate": stepped(60)}, {"learning_rate": stepped(90)}, "learning_rate"),
    "a step of an optimizer's": (
        {"optimizer": optax.sgd(stepped(21))},
        {"optimizer": optax.sgd(stepped(84))},
        "optimizer",
    ),
    "nearly the same rate": ({"learning_rate": 0.1}, {"learning_rate": 0.100009}, "learning_rate"),
    "nearly the same device": (
        {"model": model(config=TileConfig(device=SoftBounds(dw_min=0.01)))},
        {"model": model(config=TileConfig(device=SoftBounds(dw_min=0.0100005)))},
        "model",
    ),
    "a method of a base class": (
        {"model": derived(scaled=lambda self, x: x)},
        {"model": derived(scaled=lambda self, x: 2 * x)},
        "model",
    ),
    "an attribute of a class": ({"model": derived(gain=1.0)}, {"model": derived(gain=2.0)}, "model"),
    "a static method": (
        {"model": derived(other=staticmethod(lambda x: x))},
        {"model": derived(other=staticmethod(lambda x: -x))},
        "model",
    ),
    "a decorator": ({"model": model(louder(1.0))}, {"model": model(louder(3.0))}, "model"),
    "metric": (
        {"metrics": {"m": lambda y, t: y[:, 0]}},
        {"metrics": {"m": lambda y, t: y[:, 1]}},
        "metrics",
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_another_run_is_refused_and_named(name, tmp_path):
    first, then, what = PAIRS[name]
    run(experiment(**first), checkpoint_dir=tmp_path)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    with pytest.raises(CheckpointError, match=rf"of another run: [\w, ]*\b{what}\b"):
        run(experiment(epochs=2, **then), checkpoint_dir=tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    assert len(run(experiment(epochs=2, **first), checkpoint_dir=tmp_path)) == 2


def test_a_global_of_a_function_counts(tmp_path, monkeypatch):
    run(experiment(model=model(scaled)), checkpoint_dir=tmp_path)
    monkeypatch.setattr("test_identity.STEP", 0.25)
    with pytest.raises(CheckpointError, match="model"):
        run(experiment(model=model(scaled), epochs=2), checkpoint_dir=tmp_path)


def test_other_variables_to_begin_with_are_another_run(tmp_path):
    made = [run(experiment(), seed=seed).variables for seed in (1, 2)]
    run(experiment(), variables=made[0], checkpoint_dir=tmp_path)
    with pytest.raises(CheckpointError, match="variables"):
        run(experiment(epochs=2), variables=made[1], checkpoint_dir=tmp_path)
    assert len(run(experiment(epochs=2), variables=made[0], checkpoint_dir=tmp_path)) == 2


def test_equal_settings_written_anew_go_on(tmp_path):
    def made(epochs):
        return experiment(
            model=model(lambda x: jax.nn.log_softmax(x)),
            optimizer=optax.chain(optax.clip(1.0), optax.adamw(optax.cosine_decay_schedule(0.1, 100))),
            loss_function=lambda y, t: nll_loss(y, t),
            learning_rate=optax.exponential_decay(0.1, 10, 0.9),
            metrics={"first": lambda y, t: y[:, 0]},
            epochs=epochs,
        )

    first = run(made(1), checkpoint_dir=tmp_path)
    both = run(made(2), checkpoint_dir=tmp_path)
    assert both[0] == first[0] and len(both) == 2 and "first" in both[1]


def test_what_is_kept_are_the_best_by_loss_where_there_are_no_classes(tmp_path):
    targets = np.linspace(-1, 1, 16, dtype=np.float32)[:, None]
    split = Split(images=np.random.default_rng(0).random((16, 4), np.float32), labels=targets)
    fitted = BasicTraining(
        Arrays(split, split), Sequential(AnalogLinear(1, IDEAL)), 8, lambda y, t: mse_loss(y, t), epochs=3
    )
    found = run(fitted, checkpoint_dir=tmp_path, checkpoints=CheckpointOptions(keep_last=1, keep_best=1))
    assert "accuracy" not in found[0] and found[-1]["valid_loss"] < found[0]["valid_loss"]


def test_a_schedule_that_cannot_be_asked_is_told(tmp_path):
    with pytest.raises(Exception, match=r"no such step"):
        run(experiment(learning_rate=_broken), checkpoint_dir=tmp_path)


def _broken(step):
    raise KeyError("no such step")


def test_another_seed_is_another_run_however_near(tmp_path):
    run(experiment(), checkpoint_dir=tmp_path, seed=12345)
    with pytest.raises(CheckpointError, match="seed was 12345 there and is 12346 here"):
        run(experiment(epochs=2), checkpoint_dir=tmp_path, seed=12346)


def test_a_class_that_a_model_makes_counts(tmp_path, monkeypatch):
    run(experiment(model=Holder()), checkpoint_dir=tmp_path)
    monkeypatch.setattr("test_identity.Block", another_block())
    with pytest.raises(CheckpointError, match=r"model.*Block"):
        run(experiment(model=Holder(), epochs=2), checkpoint_dir=tmp_path)


def test_a_global_of_a_function_within_a_function_counts(tmp_path, monkeypatch):
    inner = model(lambda x: jax.vmap(lambda v: STEP * v)(x))
    run(experiment(model=inner), checkpoint_dir=tmp_path)
    monkeypatch.setattr("test_identity.STEP", 0.25)
    with pytest.raises(CheckpointError, match="model"):
        run(experiment(model=inner, epochs=2), checkpoint_dir=tmp_path)


mean = 1.0  # has the name of a method of arrays


def test_what_is_the_same_goes_on(tmp_path, monkeypatch):
    """Data of another kind with the same values, and names that only look like globals."""
    given = data()
    other = Arrays(
        *(Split(split.images.astype(float).tolist(), jnp.asarray(split.labels)) for split in (given.train,) * 2)
    )
    function = model(lambda x: x * x.mean(-1, keepdims=True))
    run(experiment(model=function), checkpoint_dir=tmp_path)
    monkeypatch.setattr("test_identity.mean", 2.0)
    assert len(run(experiment(model=function, dataset=other, epochs=2), checkpoint_dir=tmp_path)) == 2


def test_sets_are_the_same_in_every_process():
    program = (
        "from analogjax.experiments.fingerprint import of_function; "
        "print(of_function(lambda x: x if x in {'tanh', 'relu', 'gelu'} else None))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    texts = {
        subprocess.run(
            [sys.executable, "-c", program], env=environment | {"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "7")
    }  # fmt: skip
    assert len(texts) == 1


@pytest.mark.parametrize("change", ["second batch", "test batch", "mean"])
def test_other_batches_are_another_run(change, tmp_path):
    def batches(n=0):
        first, second, test = ((np.full((8, 4), v, np.float32), np.zeros(8, int)) for v in (0.1, 0.2, 0.3))
        train = [first, (second[0] + (n and change == "second batch"), second[1])]
        tests = [(test[0] + (n and change == "test batch"), test[1])]
        return Batches(lambda epoch: iter(train), lambda: iter(tests), mean=(0.5 * (n and change == "mean"),))

    run(experiment(dataset=batches()), checkpoint_dir=tmp_path)
    with pytest.raises(CheckpointError, match="another run"):
        run(experiment(dataset=batches(1), epochs=2), checkpoint_dir=tmp_path)
    assert len(run(experiment(dataset=batches(), epochs=2), checkpoint_dir=tmp_path)) == 2
