"""`sweep`: the same results as runs one by one, whatever is trained together, and nothing is repeated."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from analogjax import AnalogLinear, BasicTraining, Digits, LocalRunner, Sequential
from analogjax.data import Split
from analogjax.errors import ConfigError
from analogjax.experiments import Arrays, Batches, LogUniform, Uniform, mse_loss, stretch, sweep, sweep_records
from analogjax.experiments.progress import Progress
from analogjax.experiments.sweep import SweepResults, SweepRun
from analogjax.experiments.sweep_points import points_of
from analogjax.experiments.together import Together
from analogjax.nn import flatten
from analogjax.physics import ConstantStep
from analogjax.store import CheckpointError, remove_run
from analogjax.store.run_folder import RunError, list_runs, read_run
from analogjax.tile import TileConfig

MODEL = Sequential(flatten, AnalogLinear(6), jax.nn.sigmoid, AnalogLinear(10), jax.nn.log_softmax)
SMALL = BasicTraining(Digits, MODEL, batch_size=16, epochs=2)
ITEMS = 100  # the last batch of an epoch has 4


def of_step(dw_min: float, epochs: int = 1) -> BasicTraining:
    model = Sequential(flatten, AnalogLinear(10, TileConfig(device=ConstantStep(dw_min=dw_min))), jax.nn.log_softmax)
    return BasicTraining(Digits, model, batch_size=16, epochs=epochs)


def entries(results):
    return [{name: value for name, value in entry.items() if name != "time_epoch"} for entry in results]


def bits(variables):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(variables)]


def test_runs_trained_together_have_the_bits_of_runs_alone():
    found = sweep(SMALL, {"learning_rate": [0.02, 0.1], "seed": [3, 4], "chip": [0, 2]}, max_elements_train=ITEMS)
    assert [run.point for run in found[:3]] == [
        {"learning_rate": 0.02, "seed": 3, "chip": 0},
        {"learning_rate": 0.02, "seed": 3, "chip": 2},
        {"learning_rate": 0.02, "seed": 4, "chip": 0},
    ]
    for run in found[1::3]:
        own = replace(SMALL, learning_rate=run.point["learning_rate"])
        alone = LocalRunner().run(own, ITEMS, stdout=False, seed=run.point["seed"], chip=run.point["chip"])
        assert entries(run.results) == entries(alone)
        assert bits(run.results.variables) == bits(alone.variables)
    assert len({run.results[-1]["train_loss"] for run in found}) == 8


def test_side_by_side_they_differ_by_rounding_only():
    axes = {"seed": [3, 4]}
    one, two = (sweep(SMALL, axes, max_elements_train=ITEMS, at_once=width) for width in (1, 2))
    for a, b in zip(one, two, strict=True):
        assert a.results[0]["train_loss"] == pytest.approx(b.results[0]["train_loss"], rel=1e-4)


def test_a_chip_has_its_own_devices_and_the_seeds_data():
    first, second, again = (
        LocalRunner().run(replace(SMALL, epochs=0), ITEMS, stdout=False, seed=1, chip=chip) for chip in (0, 1, 1)
    )
    assert bits(first.variables) != bits(second.variables) and bits(second.variables) == bits(again.variables)
    assert bits(LocalRunner().run(replace(SMALL, epochs=0), ITEMS, stdout=False, seed=1).variables) == bits(
        first.variables
    )


@pytest.mark.parametrize("chip", [-1, True, 1.0, 2**31])
def test_a_wrong_chip_is_refused(chip):
    with pytest.raises(ConfigError, match="chip="):
        LocalRunner().run(SMALL, ITEMS, chip=chip)


def test_a_chip_is_refused_for_trained_variables_and_other_checkpoints(tmp_path):
    trained = LocalRunner().run(replace(SMALL, epochs=1), ITEMS, stdout=False, checkpoint_dir=tmp_path)
    with pytest.raises(ConfigError, match="chips of their own"):
        LocalRunner().run(SMALL, ITEMS, chip=1, variables=trained.variables)
    with pytest.raises(CheckpointError, match="chip"):
        LocalRunner().run(replace(SMALL, epochs=1), ITEMS, stdout=False, chip=1, checkpoint_dir=tmp_path)


def test_an_array_is_traced_and_a_list_is_not():
    seen = []

    def make(dw_min):
        seen.append(dw_min)
        return of_step(dw_min)

    sweep(make, {"dw_min": [0.001, 0.01]}, max_elements_train=ITEMS)
    assert not any(isinstance(value, jax.core.Tracer) for value in seen)
    seen.clear()
    traced = sweep(make, {"dw_min": np.array([0.001, 0.01])}, max_elements_train=ITEMS)
    assert any(isinstance(value, jax.core.Tracer) for value in seen)
    alone = sweep(of_step, {"dw_min": [0.001, 0.01]}, max_elements_train=ITEMS)
    for a, b in zip(traced, alone, strict=True):
        assert a.point["dw_min"] == b.point["dw_min"]
        # the same draws; constants that are compiled in are rounded otherwise
        assert a.results[0]["train_loss"] == pytest.approx(b.results[0]["train_loss"], rel=0.02)
    assert traced[0].results[0]["train_loss"] != traced[1].results[0]["train_loss"]


def test_a_function_that_needs_the_number_says_how():
    with pytest.raises(ConfigError, match="as a list of numbers"):
        sweep(lambda scale: of_step(float(scale)), {"scale": np.array([0.001, 0.01])}, max_elements_train=ITEMS)


def test_programs_that_differ_follow_one_another():
    calls = []
    axes = {"batch_size": [16, 20], "seed": [0, 1]}
    found = sweep(replace(SMALL, epochs=1), axes, max_elements_train=ITEMS, on_run=lambda run: calls.append(run.point))
    assert calls == [run.point for run in found] and len(calls) == 4
    alone = LocalRunner().run(replace(SMALL, epochs=1, batch_size=20), ITEMS, stdout=False, seed=1)
    assert entries(found[3].results) == entries(alone)


class Mixing(linen.Module):
    @linen.compact
    def __call__(self, x, training: bool = False):
        x = linen.BatchNorm(use_running_average=not training)(flatten(x))
        return jax.nn.log_softmax(AnalogLinear(10)(x))


def test_layers_that_mix_items_are_run_alone_where_a_batch_is_short():
    experiment = BasicTraining(Digits, Mixing(), batch_size=16, epochs=1)
    found = sweep(experiment, {"seed": [0, 1]}, max_elements_train=ITEMS)
    alone = LocalRunner().run(experiment, ITEMS, stdout=False, seed=1)
    assert entries(found[1].results) == entries(alone)


def test_batches_are_run_one_by_one():
    generator = np.random.default_rng(0)
    batches = [(generator.normal(size=(8, 5)).astype(np.float32), np.arange(8) % 3) for _ in range(3)]
    data = Batches(train=batches, test=batches[:1])
    experiment = BasicTraining(data, Sequential(AnalogLinear(3), jax.nn.log_softmax), batch_size=8, epochs=1)
    assert len(sweep(experiment, {"seed": [0, 1]})) == 2


def test_one_run_that_diverges_is_told_and_the_others_go_on(tmp_path):
    x = np.linspace(-1, 1, 40, dtype=np.float32).reshape(20, 2)
    data = Arrays(Split(x, np.arange(20) % 2), Split(x, np.arange(20) % 2))
    model = Sequential(linen.Dense(2), jax.nn.log_softmax)
    experiment = BasicTraining(data, model, batch_size=5, epochs=3)
    axes = {"learning_rate": [0.1, 3e38]}
    found = sweep(experiment, axes, root=tmp_path)
    assert found[0].error is None and len(found[0].results) == 3
    assert "NonFiniteError: the loss became" in found[1].error and "3e+38" in found[1].error
    states = {read_run(tmp_path / run.name).status["status"] for run in found}
    assert states == {"completed", "failed"}
    assert found.best("valid_loss", "min").point == {"learning_rate": 0.1}
    with pytest.raises(Exception, match="the loss became"):
        sweep(experiment, axes, stop_on_error=True)


def test_completed_runs_are_read_and_new_values_are_added(tmp_path):
    first = sweep(SMALL, {"seed": [0, 1]}, max_elements_train=ITEMS, root=tmp_path)
    again = sweep(SMALL, {"seed": [0, 1, 2]}, max_elements_train=ITEMS, root=tmp_path)
    assert [run.was_recorded for run in again] == [True, True, False]
    assert [list(run.results) for run in again[:2]] == [list(run.results) for run in first]
    assert {run.id for run in list_runs(tmp_path)} == {run.name for run in again}
    recorded = read_run(tmp_path / again[2].name)
    assert recorded.config["sweep"] == {"seed": 2} and recorded.seed == 2
    assert recorded.epochs == list(again[2].results)
    assert not list((tmp_path / "together").rglob("*.json"))


def test_values_with_the_names_of_others_are_refused(tmp_path):
    def make(loss):
        return replace(SMALL, epochs=0, loss_function=loss)

    def one(outputs, targets):
        return -jnp.take_along_axis(outputs, targets[:, None], 1)[:, 0]

    def two(outputs, targets):
        return -2 * jnp.take_along_axis(outputs, targets[:, None], 1)[:, 0]

    two.__name__ = two.__qualname__ = "one"
    sweep(make, {"loss": [one]}, max_elements_train=ITEMS, root=tmp_path)
    with pytest.raises(RunError, match="loss_function differs"):
        sweep(make, {"loss": [two]}, max_elements_train=ITEMS, root=tmp_path)
    with pytest.raises(ConfigError, match="told apart"):
        sweep(make, {"loss": [one, two]}, max_elements_train=ITEMS)


def test_an_optimizer_made_by_the_function_is_shared_by_seeds():
    made = []

    def make(rate):
        made.append(rate)
        return replace(SMALL, epochs=1, optimizer=optax.adam(rate))

    found = sweep(make, {"rate": [0.01, 0.1], "seed": [0, 1, 2]}, max_elements_train=ITEMS)
    assert made == [0.01, 0.1] and len(found) == 6


PROGRAM = """
import sys
from tests.experiments.test_sweep import SMALL, sweep
from dataclasses import replace
from analogjax.experiments import sweep_records
sweep_records._EVERY = 0.0
print("ready", flush=True)
axes = {"learning_rate": [0.02, 0.1], "batch_size": [16, 20], "seed": [0, 1]}
sweep(replace(SMALL, epochs=30), axes, max_elements_train=100, root=sys.argv[1],
      on_run=lambda run: print(run.name, run.was_recorded, flush=True), progress=False)
print("done", flush=True)
"""


@pytest.mark.slow
def test_a_killed_sweep_repeats_no_finished_run(tmp_path):
    root = tmp_path / "sweep"
    environment = os.environ | {
        "PYTHONPATH": os.getcwd(), "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "TF_CPP_MIN_LOG_LEVEL": "3",
    }  # fmt: skip
    finished: set[str] = set()
    made: list[str] = []
    for kill in (2, 5, 7, None):  # lines after which it is killed: within the first group, the second, later
        command = [sys.executable, "-c", PROGRAM, str(root)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
            for lines, line in enumerate(child.stdout, start=1):
                name, _, recorded = line.strip().partition(" ")
                if recorded == "False":
                    assert name not in finished, "a finished run was made again"
                    made.append(name)
                if recorded:
                    finished.add(name)
                if lines == kill:
                    time.sleep(0.05 * kill)
                    child.send_signal(signal.SIGKILL)
                    break
            child.stdout.read()
    # a run may have ended just before the kill without being told of
    states = [run.status for run in list_runs(root)]
    assert states == ["completed"] * 8 and len(made) == len(set(made))
    whole = sweep(
        replace(SMALL, epochs=30), {"learning_rate": [0.02, 0.1], "batch_size": [16, 20], "seed": [0, 1]},
        max_elements_train=100,
    )  # fmt: skip
    for run in whole:
        assert entries(read_run(root / run.name).epochs) == entries(run.results)


def test_axes_are_checked_before_anything_runs(tmp_path):
    for axes, words in [
        ({}, "at least one axis"),
        ({"seed": []}, "empty"),
        ({"seed": [1, 1]}, "twice"),
        ({"seed": 3}, "give a list"),
        ({"seed": "012"}, "give a list"),
        ({"seed": [0.5]}, "whole number"),
        ({"chip": [-1]}, "0 or more"),
        ({"dw_min": [0.1]}, "give a function of dw_min"),
        ({"learning_rate": [-1.0]}, "learning_rate"),
        ({"learning_rate": Uniform(0.1, 0.2)}, "samples=N"),
        ({"learning_rate": np.ones((2, 2))}, "one number per run"),
        ({"seed": range(400), "chip": range(400)}, "160000 runs"),
    ]:
        with pytest.raises(ConfigError, match=words):
            sweep(SMALL, axes, root=tmp_path)
    with pytest.raises(ConfigError, match="has 3 outputs"):
        wrong = Sequential(flatten, AnalogLinear(3), jax.nn.log_softmax)
        sweep(replace(SMALL, model=wrong), {"seed": [0]}, root=tmp_path)
    with pytest.raises(ConfigError, match="return a BasicTraining"):
        sweep(lambda a: None, {"a": [1]})
    for wrong in ({"at_once": 0}, {"memory": 0}, {"samples": 2}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            sweep(SMALL, {"seed": [0]}, **wrong)
    assert not list(tmp_path.iterdir())


def test_samples_are_drawn_within_bounds_and_stay_the_same():
    axes = {"rate": LogUniform(1e-3, 1e-1), "seed": [0, 1], "scale": Uniform(-1, 2)}
    few, many = points_of(axes, 3), points_of(axes, 50)
    assert many[:6] == few and len(many) == 100
    rates = np.log([point["rate"] for point in many[::2]])
    assert all(-1 <= point["scale"] <= 2 and 1e-3 <= point["rate"] <= 1e-1 for point in many)
    # the mean of n = 50 uniform logarithms, within 4 standard errors
    width = np.log(100)
    assert abs(rates.mean() - np.log(1e-2)) < 4 * width / np.sqrt(12 * 50)
    assert points_of({"rate": axes["rate"]}, 3, 1) != points_of({"rate": axes["rate"]}, 3)
    for wrong in (lambda: Uniform(2, 1), lambda: LogUniform(0, 1), lambda: Uniform(0, float("inf"))):
        with pytest.raises(ConfigError, match="low < high"):
            wrong()


def test_memory_bounds_the_runs_of_a_call(monkeypatch):
    from analogjax.experiments import sweep_data

    sizes = []
    together = sweep_data.Together
    monkeypatch.setattr(sweep_data, "Together", lambda *a: sizes.append(len(a[1])) or together(*a))
    whole = sweep(replace(SMALL, epochs=1), {"seed": range(3)}, max_elements_train=ITEMS)
    parts = sweep(replace(SMALL, epochs=1), {"seed": range(3)}, max_elements_train=ITEMS, memory=1.0)
    assert sizes == [3, 1, 1, 1]
    assert [entries(run.results) for run in whole] == [entries(run.results) for run in parts]


def test_progress_in_a_log_is_a_line_every_so_often(capsys):
    with Progress("work", 10, every=0.0) as told:
        told.advance(4, "1 of 2 runs")
    with Progress("work", 10, shown=False, every=0.0) as told:
        told.advance(4)
    with Progress("work", None, every=0.0) as told:
        told.advance(2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("work: 4 of 10 steps (40%), 1 of 2 runs, about") and lines[0].endswith("left")
    assert lines[1] == "work: 2 steps"


def test_rows_are_flat_and_plain():
    found = sweep(replace(SMALL, epochs=1), {"seed": [0, 1]}, max_elements_train=ITEMS)
    rows = json.loads(json.dumps(found.rows()))
    assert [row["seed"] for row in rows] == [0, 1] and rows[0]["accuracy"] == found[0].results[-1]["accuracy"]
    with pytest.raises(ConfigError, match="no completed run"):
        found.best("nothing")
    with pytest.raises(ConfigError, match="'max' or 'min'"):
        found.best(mode="most")


X = np.sin(np.arange(96, dtype=np.float32)).reshape(32, 3)
TARGETS = Arrays(Split(X, X[:, :1]), Split(X, X[:, :1]))
DIGITAL = BasicTraining(TARGETS, Sequential(linen.Dense(1)), batch_size=8, loss_function=mse_loss, epochs=2)


def test_data_made_of_a_traced_value_are_those_of_each_run():
    def make(scale):
        return replace(DIGITAL, dataset=Arrays(Split(scale * X, X[:, :1]), Split(X, X[:, :1])))

    for run in sweep(make, {"scale": np.array([0.25, 2.0]), "seed": [0, 1]}):
        alone = LocalRunner().run(make(run.point["scale"]), stdout=False, seed=run.point["seed"])
        assert entries(run.results) == entries(alone)


@pytest.mark.parametrize("kind", ["arrays", "batches"])
def test_records_of_another_optimizer_are_refused(tmp_path, kind):
    data = TARGETS if kind == "arrays" else Batches([(X[:8], X[:8, :1])], [(X[:8], X[:8, :1])])

    def run(rate):
        return sweep(replace(DIGITAL, dataset=data, optimizer=optax.adam(rate)), {"seed": [0]}, root=tmp_path)

    run(1e-3)
    assert run(1e-3)[0].was_recorded
    with pytest.raises(RunError, match="optimizer differs"):
        run(0.1)


def test_a_removed_run_does_not_go_on_from_its_old_checkpoint(tmp_path, monkeypatch):
    def large(outputs, targets):
        return 9.0 * jnp.mean((outputs - targets) ** 2, -1)

    def small(outputs, targets):
        return 0.1 * jnp.mean((outputs - targets) ** 2, -1)

    small.__name__ = small.__qualname__ = large.__qualname__ = large.__name__ = "own"
    axes, root, epoch = {"seed": [0, 1]}, tmp_path / "sweep", Together.run_epoch

    def stopped_after_two(self, looked):
        if self.epoch == 2:
            raise KeyboardInterrupt
        epoch(self, looked)

    monkeypatch.setattr(sweep_records, "_EVERY", 0.0)
    longer = replace(DIGITAL, epochs=4)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Together, "run_epoch", stopped_after_two)
        sweep(replace(longer, loss_function=large), axes, root=root)
    with pytest.raises(RunError, match="remove that run"):
        sweep(replace(longer, loss_function=small), axes, root=root)
    for run in list_runs(root):
        remove_run(run.location)
    assert list((root / "together").rglob("*.json"))
    found = sweep(replace(longer, loss_function=small), axes, root=root)
    fresh = sweep(replace(longer, loss_function=small), axes)
    assert [entries(run.results) for run in found] == [entries(run.results) for run in fresh]


def test_a_stopped_group_goes_on_from_its_checkpoint(tmp_path, monkeypatch):
    epochs, epoch = [], Together.run_epoch

    def stopped(self, looked):
        if self.epoch == 1 and not epochs[1:]:
            epochs.append("stopped")
            raise KeyboardInterrupt
        epochs.append(self.epoch)
        epoch(self, looked)

    monkeypatch.setattr(sweep_records, "_EVERY", 0.0)
    monkeypatch.setattr(Together, "run_epoch", stopped)
    with pytest.raises(KeyboardInterrupt):
        sweep(DIGITAL, {"seed": [0, 1]}, root=tmp_path)
    found = sweep(DIGITAL, {"seed": [0, 1]}, root=tmp_path)
    assert epochs == [0, "stopped", 1]
    assert [entries(run.results) for run in found] == [entries(run.results) for run in sweep(DIGITAL, {"seed": [0, 1]})]


def test_ctrl_c_within_an_epoch_loses_no_step(tmp_path, monkeypatch):
    starts, looks, check = [], [], Together._check

    def looked_at(self, start, stop):
        starts.append((self.epoch, start))
        check(self, start, stop)
        looks.append(stop)
        if len(looks) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(stretch, "FIRST", 1)
    monkeypatch.setattr(stretch, "after", lambda *_: 1)
    monkeypatch.setattr(Together, "_check", looked_at)
    with pytest.raises(KeyboardInterrupt):
        sweep(DIGITAL, {"seed": [0, 1]}, root=tmp_path)
    assert {run.status for run in list_runs(tmp_path)} == {"interrupted"}
    found = sweep(DIGITAL, {"seed": [0, 1]}, root=tmp_path)
    assert starts == [(epoch, step) for epoch in range(2) for step in range(4)]  # each once
    fresh = sweep(DIGITAL, {"seed": [0, 1]})
    assert [entries(run.results) for run in found] == [entries(run.results) for run in fresh]
    assert all(entry["time_epoch"] > 0 for run in found for entry in run.results)


def test_a_group_is_saved_within_a_long_epoch(tmp_path, monkeypatch):
    saves = []
    save = sweep_records.SavedTogether.save
    monkeypatch.setattr(
        sweep_records.SavedTogether, "save", lambda self, group: (saves.append(group.taken), save(self, group))
    )
    monkeypatch.setattr(sweep_records, "_EVERY", 0.0)
    monkeypatch.setattr(stretch, "FIRST", 3)
    monkeypatch.setattr(stretch, "after", lambda *_: 3)
    sweep(DIGITAL, {"seed": [0, 1]}, root=tmp_path)
    assert saves == [3, 4, 7, 8]


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
@pytest.mark.parametrize("keep", [False, True])
def test_what_a_record_keeps_does_not_depend_on_company(tmp_path, seeds, keep):
    for run in sweep(DIGITAL, {"seed": seeds}, root=tmp_path, keep_models=keep):
        names = {path.relative_to(tmp_path / run.name).parts[0] for path in (tmp_path / run.name).rglob("*.json")}
        assert ("model" in names) == keep and ("checkpoints" in names) == (keep and len(seeds) == 1)
        assert "tiles.json" in names


def test_tiles_of_runs_trained_together_are_those_of_runs_alone(tmp_path):
    for root, seeds in (("together", [1, 2]), ("alone", [1])):
        sweep(SMALL, {"seed": seeds}, max_elements_train=ITEMS, root=tmp_path / root)
    alone = next((tmp_path / "alone").glob("*/tiles.json"))
    other = tmp_path / "together" / alone.parent.name / "tiles.json"
    assert json.loads(other.read_text()) == json.loads(alone.read_text())
    assert json.loads(alone.read_text())[0]["moved"]["counts"]


def test_the_best_run_is_none_with_nan():
    runs = [SweepRun({"n": n}, str(n), [{"q": q}]) for n, q in enumerate([np.nan, 2.0, 1.0, np.nan])]
    assert SweepResults(runs).best("q", "min").point == {"n": 2}
    assert SweepResults(runs).best("q", "max").point == {"n": 1}
    with pytest.raises(ConfigError, match="NaN in all completed runs"):
        SweepResults(runs[:1]).best("q")


@pytest.mark.parametrize("name", ["accuracy", "seconds", "own"])
def test_an_axis_is_not_named_like_a_result(name):
    def make(**axes):
        return replace(DIGITAL, metrics={"own": lambda outputs, targets: jnp.ones(len(outputs))})

    with pytest.raises(ConfigError, match=f"axes\\['{name}'\\]: a result"):
        sweep(make, {name: [0.1, 0.2]})


def test_a_row_has_the_epochs_of_its_point_where_these_are_an_axis():
    assert SweepRun({"epochs": 3}, "a", [], error="NonFiniteError").row()["epochs"] == 3
    assert SweepRun({"seed": 3}, "a", [], error="NonFiniteError").row()["epochs"] == 0
