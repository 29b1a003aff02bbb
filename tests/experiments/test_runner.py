"""`BasicTraining` and `LocalRunner`."""

import dataclasses
import os
import re
import signal
from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_run import bits, experiment

from analogjax import AnalogLinear, BasicTraining, Digits, LocalRunner, Sequential, nn, random
from analogjax.data import Split
from analogjax.errors import ConfigError, NonFiniteError, ShapeError
from analogjax.experiments import (
    Arrays,
    CheckpointOptions,
    Hooks,
    Images,
    Program,
    RunKeys,
    cross_entropy_loss,
    mse_loss,
)
from analogjax.physics import Ideal, Periphery, SoftBounds
from analogjax.store import CheckpointError
from analogjax.tile import TileConfig

run = LocalRunner("cpu").run


@pytest.fixture(scope="module")
def whole() -> dict:
    return bits(run(experiment(), 320, stdout=False, seed=5))


def test_same_seed_same_bits_and_another_seed_other_bits(whole: dict) -> None:
    assert bits(run(experiment(), 320, stdout=False, seed=5)) == whole
    assert bits(run(experiment(1), 320, stdout=False, seed=6)) != bits(run(experiment(1), 320, stdout=False, seed=5))


def test_batch_by_batch_from_python_gives_the_same_bits(whole: dict) -> None:
    seen = []
    hooks = Hooks(on_batch=lambda event: seen.append((event.epoch, event.step, event.loss)))
    found = run(experiment(), 320, stdout=False, seed=5, hooks=hooks)
    assert bits(found) == whole
    assert [entry[:2] for entry in seen] == [(e, s) for e in range(4) for s in range(20)]
    assert np.mean([loss for e, _, loss in seen if e == 0]) == pytest.approx(found[0]["train_loss"], rel=1e-5)


def test_a_step_outside_the_loop_gives_the_same_bits() -> None:
    program, keys = Program.of(experiment()), RunKeys.of(random.key(5))
    split = Digits.load(train=True).head(64)
    data = Images(
        jnp.asarray(split.images)[..., None], jnp.asarray(split.labels), jnp.asarray([0.3]), jnp.asarray([0.4])
    )
    state = program.start(data, keys.init)
    order = program.order(data, 0, keys.order)
    looped = jax.jit(program.advance)(state, data, order, 0, 4, keys.noise)
    single = state
    for n in range(4):
        step = jax.jit(
            lambda s, n: program.step(s, *data.batch(order[0][n]), order[1][n], jax.random.fold_in(keys.noise, n))
        )
        single, _ = step(single, n)
    same = jax.tree.map(lambda a, b: bool(jnp.all(a == b)), looped.variables, single.variables)
    assert all(jax.tree.leaves(same))


def small_program(**changes: object) -> tuple[Program, RunKeys, Images]:
    split, experiment_ = Digits.load(train=True).head(64), experiment(**changes)
    images = jnp.asarray(split.images)[..., None]
    return Program.of(experiment_), RunKeys.of(random.key(5)), Images(
        images, jnp.asarray(split.labels), jnp.asarray([0.3]), jnp.asarray([0.4])
    )  # fmt: skip


def test_every_epoch_reads_with_noise_of_its_own() -> None:
    """At a learning rate of 0, the same batches again: only the noise of the chips can change the losses."""
    program, keys, data = small_program(learning_rate=0.0)
    start, order = program.start(data, keys.init), program.order(data, 0, keys.order)
    advance = jax.jit(program.advance)
    first = advance(start, data, order, 0, 4, keys.noise)
    second = advance(first, data, order, 0, 4, keys.noise)
    weights = [[np.asarray(leaf) for leaf in jax.tree.leaves(s.variables)] for s in (start, second)]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    assert np.all(first.losses != second.losses)
    assert jnp.array_equal(first.losses, advance(start, data, order, 0, 4, keys.noise).losses)


def test_every_batch_of_a_validation_has_noise_of_its_own() -> None:
    program, keys, data = small_program()
    variables, rows = program.start(data, keys.init).variables, jnp.arange(16)[None]

    def loss(batches: int) -> float:
        """Of the same items so many times over."""
        indices = jnp.repeat(rows, batches, 0)
        return float(program.evaluate(variables, data, (indices, jnp.ones(indices.shape)), keys.validation)["loss"])

    assert abs(loss(2) / 2 - loss(1)) > 1e-4 * loss(1)


def test_results_are_what_is_promised(capsys: pytest.CaptureFixture) -> None:
    found = run(experiment(2), 320, seed=5)
    assert [list(entry) for entry in found] == [["epoch", "time_epoch", "accuracy", "train_loss", "valid_loss"]] * 2
    assert [entry["epoch"] for entry in found] == [0, 1]
    assert found[1]["train_loss"] < found[0]["train_loss"] and 0 <= found[1]["accuracy"] <= 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Epoch: 0, loss: {found[0]['train_loss']:.8f}"
    assert lines[1].startswith("Number of images: 320, accuracy: ") and "%, validation loss: " in lines[1]
    assert lines[2].startswith("Time for epoch 0: ") and lines[2].endswith("s")


def test_stdout_false_prints_nothing(capsys: pytest.CaptureFixture) -> None:
    run(experiment(1), 320, stdout=False)
    assert capsys.readouterr().out == ""


def test_it_learns_and_the_last_partial_batch_counts() -> None:
    found = run(dataclasses.replace(experiment(6), batch_size=10), 1437, stdout=False)
    assert found[-1]["accuracy"] > 0.8


def test_weightless_padding_changes_nothing() -> None:
    """A batch filled with padding moves weights exactly as the short batch does (no noise: bits may be compared)."""
    quiet = TileConfig(device=Ideal(), forward=Periphery(is_perfect=True), backward=Periphery(is_perfect=True))
    model = Sequential(nn.flatten, AnalogLinear(10, quiet), jax.nn.log_softmax)
    program = Program.of(BasicTraining(Digits, model, batch_size=4))
    split = Digits.load(train=True).head(8)
    data = Images(jnp.asarray(split.images), jnp.asarray(split.labels), jnp.zeros(1), jnp.ones(1))
    state = program.start(data, random.key(0))
    x, y = data.batch(jnp.arange(4))
    padded, _ = program.step(state, x, y, jnp.asarray([1.0, 1.0, 1.0, 0.0]), random.key(1))
    short, _ = program.step(state, x[:3], y[:3], jnp.ones(3), random.key(1))
    np.testing.assert_allclose(*(jax.tree.leaves(s.variables.tiles)[-2] for s in (padded, short)), rtol=1e-5, atol=1e-7)


def test_resumed_run_equals_the_uninterrupted_one(whole: dict, tmp_path) -> None:
    class Stop(Exception):
        pass

    def stop(event: object) -> None:
        if event.epoch == 1 and event.step == 13:
            raise Stop

    with pytest.raises(Stop):
        run(
            experiment(), 320, stdout=False, seed=5, checkpoint_dir=tmp_path,
            checkpoints=CheckpointOptions(every_steps=5),
            hooks=Hooks(on_batch=stop),
        )  # fmt: skip
    resumed = run(experiment(), 320, stdout=False, seed=5, checkpoint_dir=tmp_path)
    assert bits(resumed) == whole
    again = run(experiment(), 320, stdout=False, seed=5, checkpoint_dir=tmp_path)
    assert bits(again) == whole  # nothing left to do: the same list


def test_ctrl_c_within_an_epoch_loses_no_step(whole: dict, tmp_path) -> None:
    steps = []

    def stop(event: object) -> None:
        steps.append((event.epoch, event.step))
        if len(steps) == 27:
            os.kill(os.getpid(), signal.SIGINT)

    for ends in (pytest.raises(KeyboardInterrupt), nullcontext()):
        with ends:
            found = run(experiment(), 320, stdout=False, seed=5, checkpoint_dir=tmp_path, hooks=Hooks(on_batch=stop))
    assert steps == [(epoch, step) for epoch in range(4) for step in range(20)]  # each once
    assert bits(found) == whole


def test_a_finished_run_can_be_prolonged(whole: dict, tmp_path) -> None:
    run(experiment(2), 320, stdout=False, seed=5, checkpoint_dir=tmp_path)
    assert bits(run(experiment(4), 320, stdout=False, seed=5, checkpoint_dir=tmp_path)) == whole


def test_checkpoint_of_another_run_is_refused(tmp_path) -> None:
    run(experiment(1), 320, stdout=False, checkpoint_dir=tmp_path)
    with pytest.raises(CheckpointError, match="seed was 0 there and is 1 here"):
        run(experiment(1), 320, stdout=False, checkpoint_dir=tmp_path, seed=1)
    other = Sequential(nn.flatten, AnalogLinear(10), jax.nn.log_softmax)
    with pytest.raises(CheckpointError, match=r"model\S* was"):
        run(experiment(1, model=other), 320, stdout=False, checkpoint_dir=tmp_path)


def test_unwritable_checkpoint_folder(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="file"):
        run(experiment(1), 320, stdout=False, checkpoint_dir=tmp_path / "file")


def test_training_goes_on_from_given_variables() -> None:
    first = run(experiment(2), 320, stdout=False)
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(first.variables)]
    second = run(experiment(1), 320, stdout=False, variables=first.variables, seed=1)
    assert second[0]["train_loss"] < first[0]["train_loss"]
    after = [np.asarray(leaf) for leaf in jax.tree.leaves(first.variables)]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))  # the caller's are untouched


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": -1.0}, "learning_rate=-1.0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"epochs": 2.5}, "epochs=2.5"),
        ({"model": jax.nn.relu}, "model="),
        ({"dataset": 3}, "dataset=3"),
    ],
)
def test_bad_values_are_named(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        experiment(**change)


def test_layer_sizes_that_do_not_fit() -> None:
    model = Sequential(nn.flatten, AnalogLinear(12, in_features=63), jax.nn.log_softmax)
    with pytest.raises(ShapeError, match="last axis must be 63"):
        run(experiment(1, model=model), 320, stdout=False)


def test_device_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="this JAX sees cpu:0"):
        LocalRunner("cuda").run(experiment(1))


def _arrays(images: np.ndarray) -> Arrays:
    split = Split(images=images, labels=np.zeros(len(images), np.int32))
    return Arrays(train=split, test=split)


def test_nan_in_the_data_is_named() -> None:
    images = np.zeros((20, 8, 8), np.float32)
    images[7, 3, 3] = np.nan
    with pytest.raises(NonFiniteError, match="item 7"):
        run(experiment(1, dataset=_arrays(images)), stdout=False)


def test_nan_in_the_loss_stops_the_run() -> None:
    def broken(outputs: jax.Array, labels: jax.Array) -> jax.Array:
        return jnp.full(labels.shape, jnp.nan) + outputs.sum()

    with pytest.raises(NonFiniteError, match="epoch 0, step 0"):
        run(experiment(1, loss_function=broken), 320, stdout=False)


def test_losses_agree_with_their_formulas() -> None:
    logits = jnp.asarray([[1.0, 2.0, -1.0], [0.0, 0.5, 3.0]])
    labels = jnp.asarray([1, 0])
    p = np.exp(np.asarray(logits)) / np.exp(np.asarray(logits)).sum(-1, keepdims=True)
    np.testing.assert_allclose(cross_entropy_loss(logits, labels), -np.log(p[[0, 1], [1, 0]]), rtol=1e-6)
    np.testing.assert_allclose(mse_loss(logits, labels), ((np.asarray(logits) - np.eye(3)[[1, 0]]) ** 2).mean(-1))


def test_a_run_is_compiled_once_and_its_equals_not_again(caplog: pytest.LogCaptureFixture) -> None:
    """Not for its second stretch, nor its second epoch, nor another seed of an equal experiment."""

    def linear(features: int) -> AnalogLinear:
        return AnalogLinear(features, TileConfig(device=SoftBounds(dw_min=0.00517)))  # no other test's

    def compiled(seed: int) -> tuple[dict, list[str]]:
        model = Sequential(nn.flatten, linear(7), jax.nn.sigmoid, linear(10), jax.nn.log_softmax)
        caplog.clear()
        with jax.log_compiles(), caplog.at_level("WARNING"):
            found = run(BasicTraining(Digits, model, batch_size=8, epochs=2), 200, stdout=False, seed=seed)
        finished = (re.match(r"Finished XLA compilation of (\S+)", record.getMessage()) for record in caplog.records)
        return bits(found), [match[1] for match in finished if match]

    first, names = compiled(1)
    assert [names.count(f"jit({name})") for name in ("make", "order", "advance", "evaluate")] == [1, 1, 1, 1]
    again, names = compiled(1)
    assert again == first and names == []
    assert compiled(2)[1] == []
