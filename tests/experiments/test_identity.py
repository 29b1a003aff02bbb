"""A checkpoint belongs to a run by what the run is, not by what its parts are called."""

import dataclasses
import functools

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from analogjax import AnalogLinear, BasicTraining, LocalRunner, Sequential, TileConfig
from analogjax.data import Split
from analogjax.experiments import Arrays, CheckpointOptions, mse_loss, nll_loss
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
