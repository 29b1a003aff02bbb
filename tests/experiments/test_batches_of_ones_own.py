"""Data of one's own: batches from iterators of any library, targets of any kind, metrics, early stops."""

import functools
import json

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_run import bits

from analogjax import AnalogLinear, BasicTraining, LocalRunner, Sequential, TileConfig
from analogjax.data import Split
from analogjax.errors import ConfigError, NonFiniteError, ShapeError
from analogjax.experiments import (
    Arrays,
    Batches,
    CheckpointOptions,
    EarlyStop,
    Hooks,
    StopTraining,
    cross_entropy_loss,
)
from analogjax.physics import ConstantStep, FloatingPoint, Ideal, Periphery

PERFECT = Periphery(is_perfect=True)
IDEAL = TileConfig(device=Ideal(), forward=PERFECT, backward=PERFECT)
NOISY = TileConfig(device=ConstantStep(dw_min=0.01))
run = functools.partial(LocalRunner("cpu").run, stdout=False)
RNG = np.random.default_rng(0)
X = RNG.random((40, 4), np.float32)
Y = (X.sum(1) > 2).astype(np.int64)
SIZE = 8


def in_order(epoch=0, x=X, y=Y):
    """Batches of an epoch in an order of its own, the last one short."""
    order = np.random.default_rng(epoch).permutation(len(x))[:37]
    return [(x[rows], y[rows]) for rows in np.array_split(order, range(SIZE, 37, SIZE))]


TEST = in_order(99)


def experiment(train=in_order, test=TEST, epochs=3, config=NOISY, **more):
    given = {"loss_function": cross_entropy_loss, "batch_size": SIZE, "epochs": epochs, "learning_rate": 0.1}
    model = Sequential(AnalogLinear(3, config), jnp.tanh, AnalogLinear(2, config))
    return BasicTraining(Batches(train, test, steps=more.pop("steps", None)), model, **(given | more))


class Grains:
    """An iterator without an end that can be put back, as those of grain."""

    def __init__(self):
        self.at = 0

    def __iter__(self):
        return self

    def __next__(self):
        epoch, step = divmod(self.at, 5)
        self.at += 1
        return in_order(epoch)[step]

    def get_state(self):
        return json.dumps({"at": self.at}).encode()

    def set_state(self, state):
        self.at = json.loads(state)["at"]


class Loader:
    """A loader with a state, as those of torchdata and datasets."""

    def __init__(self):
        self.epoch, self.at, self.from_state = -1, 0, False

    def __iter__(self):
        if not self.from_state:
            self.epoch, self.at = self.epoch + 1, 0
        self.from_state = False
        batches = in_order(self.epoch)
        while self.at < len(batches):
            self.at += 1
            yield batches[self.at - 1]

    def state_dict(self):
        return {"epoch": self.epoch, "at": self.at}

    def load_state_dict(self, state):
        self.epoch, self.at, self.from_state = state["epoch"], state["at"], True


class Killed(Exception):
    pass


def killed_at(epoch, step):
    def kill(event):
        if (event.epoch, event.step) == (epoch, step):
            raise Killed

    return Hooks(on_batch=kill)


SOURCES = {
    "function": (lambda: in_order, None),
    "grain": (Grains, 5),
    "stateful loader": (Loader, None),
    "list": (lambda: in_order(0), None),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_killed_run_goes_on_within_an_epoch_exactly(name, tmp_path):
    make, steps = SOURCES[name]
    whole = bits(run(experiment(make(), steps=steps)))
    options = {"checkpoint_dir": tmp_path, "checkpoints": CheckpointOptions(every_steps=2)}
    with pytest.raises(Killed):
        run(experiment(make(), steps=steps), hooks=killed_at(1, 3), **options)
    resumed = run(experiment(make(), steps=steps), **options)
    assert bits(resumed) == whole
    assert [entry["epoch"] for entry in resumed] == [0, 1, 2]


def test_batches_and_the_same_batches_from_a_hook_give_the_same_bits():
    seen = []
    watched = run(experiment(), hooks=Hooks(on_batch=lambda event: seen.append((event.epoch, event.step))))
    assert bits(watched) == bits(run(experiment()))
    assert seen == [(epoch, step) for epoch in range(3) for step in range(5)]


def test_streamed_losses_are_those_of_the_arrays():
    quiet = experiment(lambda epoch: in_order(0), epochs=1, config=IDEAL, learning_rate=0.0)
    found = run(quiet)
    order = np.concatenate([x for x, _ in in_order(0)]), np.concatenate([y for _, y in in_order(0)])
    split, test = Split(*order), Split(*(np.concatenate(part) for part in zip(*TEST, strict=True)))
    import dataclasses

    same = run(dataclasses.replace(quiet, dataset=Arrays(split, test)))
    assert found[0]["train_loss"] == pytest.approx(same[0]["train_loss"], rel=1e-5)
    assert found[0]["valid_loss"] == pytest.approx(same[0]["valid_loss"], rel=1e-5)
    assert found[0]["accuracy"] == same[0]["accuracy"]


def test_batches_of_dicts_and_of_torch():
    torch = pytest.importorskip("torch")
    dataset = torch.utils.data.TensorDataset(torch.as_tensor(X), torch.as_tensor(Y))
    loader = torch.utils.data.DataLoader(dataset, batch_size=SIZE)
    assert len(run(experiment(loader, loader, epochs=2))) == 2
    named = [{"x": x, "label": y, "other": None} for x, y in in_order()]
    data = Batches(named, named, fields=("x", "label"))
    model = Sequential(AnalogLinear(2, IDEAL))
    assert len(run(BasicTraining(data, model, SIZE, cross_entropy_loss, epochs=1))) == 1


def test_a_loader_that_cannot_be_restored_says_so(tmp_path):
    class Shuffled:
        def __iter__(self):
            return iter(in_order(int(RNG.integers(100))))

    with pytest.raises(ConfigError, match=r"every_steps=2.*get_state"):
        run(experiment(Shuffled()), checkpoint_dir=tmp_path, checkpoints=CheckpointOptions(every_steps=2))
    run(experiment(Shuffled(), epochs=1), checkpoint_dir=tmp_path)
    with pytest.warns(UserWarning, match="order of its batches can't be restored"):
        assert len(run(experiment(Shuffled(), epochs=2), checkpoint_dir=tmp_path)) == 2


def test_a_generator_that_cannot_be_restored_is_not_gone_on_with(tmp_path):
    def endless():
        while True:
            yield from in_order()

    run(experiment(endless(), steps=5, epochs=1), checkpoint_dir=tmp_path)
    with pytest.raises(ConfigError, match="can't be restored"):
        run(experiment(endless(), steps=5, epochs=2), checkpoint_dir=tmp_path)


def changed(n, change):
    return lambda epoch: [change(*pair) if k == n else pair for k, pair in enumerate(in_order(epoch))]


WRONG = {
    "another shape": (changed(2, lambda x, y: (x[:, :3], y)), ShapeError, r"batch 2 of epoch 0.*\[8, 3\].*\[8, 4\]"),
    "another dtype": (changed(2, lambda x, y: (x.astype(np.float64), y)), ShapeError, "batch 2 of epoch 0"),
    "too long": (changed(1, lambda x, y: (np.tile(x, (2, 1)), np.tile(y, 2))), ShapeError, "batch 1"),
    "short in the middle": (changed(1, lambda x, y: (x[:3], y[:3])), ConfigError, "short but not the last"),
    "no pair": (changed(1, lambda x, y: (x, y, y)), ConfigError, r"tuple of 3; a batch is a pair"),
    "a dict": (changed(1, lambda x, y: {"x": x, "y": y}), ConfigError, "fields="),
    "unequal numbers": (changed(1, lambda x, y: (x, y[:-1])), ShapeError, "different numbers of items"),
    "nothing at all": (
        lambda epoch: [in_order()[0], None, in_order()[1]],
        ConfigError,
        "batch 1 of epoch 0: is a None",
    ),
    "a NaN": (changed(3, lambda x, y: (x * np.nan, y)), NonFiniteError, "batch 3 of epoch 0: x holds NaN"),
    "nothing": (lambda epoch: [], ConfigError, "ended before the first one"),
}


@pytest.mark.parametrize("name", WRONG)
def test_batches_that_are_not_like_the_others_are_told(name):
    train, kind, message = WRONG[name]
    with pytest.raises(kind, match=message):
        run(experiment(train))


def test_an_iterator_that_ends_early_keeps_the_results():
    batches = iter([*in_order(0), *in_order(1)[:2]])
    with pytest.raises(ConfigError, match="ended before batch 2 of epoch 1, with steps=5") as caught:
        run(experiment(batches, steps=5))
    assert [entry["epoch"] for entry in caught.value.results] == [0]
    assert caught.value.results.variables.tiles


def test_what_cannot_be_gone_through_again_is_refused():
    with pytest.raises(ConfigError, match="steps"):
        Batches(iter(in_order()), TEST)
    with pytest.raises(ConfigError, match="after each epoch"):
        Batches(in_order, iter(TEST))
    with pytest.raises(ConfigError, match="can be iterated"):
        Batches(3, TEST)
    with pytest.raises(ConfigError, match="batch_size=4"):
        run(experiment(batch_size=4))
    with pytest.raises(ConfigError, match="max_elements_train"):
        run(experiment(), 100)


def regression(**more):
    targets = np.stack([X.sum(1) - 2, X[:, 0]], 1)
    split = Split(images=X, labels=targets)
    model = Sequential(AnalogLinear(2, IDEAL))
    loss = lambda y, t: jnp.mean((y - t) ** 2, -1)  # noqa: E731
    return BasicTraining(Arrays(split, split), model, SIZE, loss, **({"epochs": 4, "learning_rate": 0.2} | more))


def test_targets_are_trained_as_they_are(capsys):
    found = LocalRunner("cpu").run(regression(epochs=60))
    assert "accuracy" not in found[0] and found[-1]["valid_loss"] < 0.01 < found[0]["valid_loss"]
    assert "accuracy" not in capsys.readouterr().out
    w, b = found.variables.tiles["layers_0"]["tile"].read(), found.variables.params["layers_0"]["bias"]
    np.testing.assert_allclose(w @ X[0] + b, [X[0].sum() - 2, X[0, 0]], atol=0.2)


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        (np.array(["a"] * 40), ConfigError, "real numbers"),
        (np.full(40, 2**40), ConfigError, "int32"),
        (np.full(40, np.nan), NonFiniteError, "label of item 0"),
        (np.zeros(39), ShapeError, "40 images and 39 labels"),
        (np.full(40, 1j), ConfigError, "real numbers"),
    ],
)
def test_labels_that_are_no_targets_are_refused(labels, kind, message):
    split = Split(images=X, labels=labels)
    with pytest.raises(kind, match=message):
        run(BasicTraining(Arrays(split, split), Sequential(AnalogLinear(2, IDEAL)), SIZE, epochs=1))


def test_whole_numbers_stay_whole_and_images_alone_get_a_channel():
    class Words(linen.Module):
        @linen.compact
        def __call__(self, x):
            assert x.dtype == jnp.int32 and x.shape[1:] == (5,)
            return AnalogLinear(2, IDEAL)(linen.Embed(7, 3)(x).mean(1))

    words = Split(images=np.arange(50).reshape(10, 5) % 7, labels=np.arange(10) % 2)
    assert run(BasicTraining(Arrays(words, words), Words(), 5, cross_entropy_loss, epochs=1))
    series = Split(images=np.ones((10, 5, 3), np.float32), labels=np.arange(10) % 2)
    model = Sequential(lambda x: x.reshape(-1, 15) if x.ndim == 3 else 1 / 0, AnalogLinear(2, IDEAL))
    assert run(BasicTraining(Arrays(series, series), model, 5, cross_entropy_loss, epochs=1))


def test_metrics_are_means_over_the_test_items():
    found = run(regression(epochs=1, metrics={"worst": lambda y, t: jnp.max(jnp.abs(y - t), -1)}))
    w, b = found.variables.tiles["layers_0"]["tile"].read(), found.variables.params["layers_0"]["bias"]
    expected = np.abs(X @ w.T + b - np.stack([X.sum(1) - 2, X[:, 0]], 1)).max(1).mean()
    assert found[0]["worst"] == pytest.approx(expected, rel=1e-4)


def _fails(y, t):
    raise IndexError("no class 7")


@pytest.mark.parametrize(
    ("metrics", "kind", "message"),
    [
        ({"bad": _fails}, ConfigError, r"metrics\['bad'\] raised IndexError: no class 7"),
        ({"mean": lambda y, t: y.mean()}, ShapeError, r"metrics\['mean'\] returned shape \[\]"),
        ({"accuracy": lambda y, t: y[:, 0]}, ConfigError, "metrics="),
        ({"text": "mse"}, ConfigError, "metrics="),
    ],
)
def test_a_metric_that_fails_does_so_before_the_first_step(metrics, kind, message, tmp_path):
    with pytest.raises(kind, match=message):
        run(regression(metrics=metrics), checkpoint_dir=tmp_path / "run", record=tmp_path / "record")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("loss", [lambda y, t: jnp.mean((y - t) ** 2), lambda y, t: (y - t) ** 2])
def test_a_loss_that_is_not_one_of_each_item_is_told(loss):
    import dataclasses

    with pytest.raises(ShapeError, match=r"loss_function returned shape .* for a batch of 8 items"):
        run(dataclasses.replace(regression(), loss_function=loss))


def test_an_early_stop_keeps_the_results(tmp_path):
    still = regression(epochs=20, learning_rate=0.0)
    options = {"early_stop": EarlyStop(patience=2), "checkpoint_dir": tmp_path}
    found = run(still, **options)
    assert len(found) == 3 and found.variables.tiles
    again = run(still, **options)  # the same call again finds that it is done
    assert list(again) == list(found)
    longer = run(still, early_stop=EarlyStop(patience=4), checkpoint_dir=tmp_path)
    assert len(longer) == 5


def test_early_stop_refuses_what_makes_no_sense():
    for wrong in ({"patience": 0}, {"mode": "least"}, {"min_delta": -1.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            EarlyStop(**wrong)
    with pytest.raises(ConfigError, match="the results have train_loss, valid_loss"):
        run(regression(), early_stop=EarlyStop("accuracy"))


@pytest.mark.parametrize("hook", ["on_epoch", "on_batch"])
def test_a_hook_ends_a_training_and_the_results_stay(hook, tmp_path):
    def stop(event):
        if event.epoch == 1 and getattr(event, "step", 2) == 2:
            raise StopTraining

    found = run(regression(), hooks=Hooks(**{hook: stop}), checkpoint_dir=tmp_path)
    assert len(found) == (2 if hook == "on_epoch" else 1)
    assert bits(run(regression(), checkpoint_dir=tmp_path)) == bits(run(regression()))


def test_weight_decay_is_that_of_torch():
    decayed = run(regression(epochs=1, weight_decay=0.5)).variables
    by_hand = optax.chain(optax.add_decayed_weights(0.5), optax.sgd(0.2))
    same = run(regression(epochs=1, optimizer=by_hand)).variables
    plain = run(regression(epochs=1)).variables
    assert bits_of(decayed) == bits_of(same) != bits_of(plain)
    with pytest.raises(ConfigError, match="add_decayed_weights"):
        regression(weight_decay=0.1, optimizer=optax.sgd(0.1))
    with pytest.raises(ConfigError, match="weight_decay"):
        regression(weight_decay=-1.0)


def bits_of(variables):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(variables.params)]


def test_dropout_and_batch_statistics_in_a_run(tmp_path):
    split = Split(images=X, labels=Y)
    model = Sequential(
        AnalogLinear(6, NOISY), linen.BatchNorm(momentum=0.5), linen.Dropout(0.2), jnp.tanh, AnalogLinear(2, NOISY)
    )
    training = BasicTraining(Arrays(split, split), model, 16, cross_entropy_loss, epochs=3, learning_rate=0.1)
    whole = run(training)
    stats = whole.variables.collections["batch_stats"]["layers_1"]
    assert np.all(np.asarray(stats["mean"]) != 0) and np.all(np.asarray(stats["var"]) != 1)
    with pytest.raises(Killed):
        run(training, hooks=killed_at(1, 1), checkpoint_dir=tmp_path)
    assert bits(run(training, checkpoint_dir=tmp_path)) == bits(whole)


def test_an_inference_runs_by_the_same_runner():
    from analogjax.experiments import BasicInferencing, run_inference

    split = Split(images=X, labels=Y)
    trained = run(BasicTraining(Arrays(split, split), Sequential(AnalogLinear(2)), 8, cross_entropy_loss, epochs=1))
    reading = BasicInferencing(
        Arrays(split, split), Sequential(AnalogLinear(2)), trained.variables, 40, inference_repeats=1
    )
    found, same = run(reading, seed=3), run_inference(reading, seed=3)
    assert found["inference_runs"]["inference_results"] == same["inference_runs"]["inference_results"]
    with pytest.raises(ConfigError, match="checkpoint_dir"):
        run(reading, checkpoint_dir="nowhere")


def test_an_inference_of_targets_is_refused():
    from analogjax.experiments import BasicInferencing

    fitted = regression(epochs=1)
    reading = BasicInferencing(fitted.dataset, fitted.model, run(fitted).variables)
    with pytest.raises(ConfigError, match="accuracy of a classifier"):
        run(reading)


@pytest.mark.parametrize("label", [-1, 2])
@pytest.mark.parametrize("where", ["train", "test"])
def test_labels_that_are_no_classes_of_the_model_are_told(label, where):
    wrong = Split(images=X, labels=np.where(np.arange(40) == 5, label, Y))
    right = Split(images=X, labels=Y)
    dataset = Arrays(wrong, right) if where == "train" else Arrays(right, wrong)
    model = Sequential(AnalogLinear(2, IDEAL))
    with pytest.raises(ConfigError, match=f"label of item 5 is {label}, and the model has 2 outputs"):
        run(BasicTraining(dataset, model, SIZE, cross_entropy_loss, epochs=1))
    batches = [(wrong.images, wrong.labels)] * 2
    with pytest.raises(ConfigError, match=f"is {label}, and the model has 2 outputs"):
        run(BasicTraining(Batches(batches, batches), model, 40, cross_entropy_loss, epochs=1))


def test_batch_statistics_see_the_items_alone():
    """A batch of 3 items is the same whether 3 or 16 were wanted, also where it is the last one of several."""
    perfect = TileConfig(device=FloatingPoint(), forward=PERFECT, backward=PERFECT)
    model = Sequential(AnalogLinear(4, perfect), linen.BatchNorm(), jnp.tanh, AnalogLinear(2, perfect))
    three = Split(images=X[:3], labels=Y[:3])
    found = [
        run(BasicTraining(Arrays(three, three), model, size, cross_entropy_loss, epochs=3, learning_rate=0.1))
        for size in (3, 16)
    ]
    for a, b in zip(*found, strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], rel=1e-5)
    eleven = Split(images=X[:11], labels=Y[:11])
    training = BasicTraining(Arrays(eleven, eleven), model, 4, cross_entropy_loss, epochs=2, learning_rate=0.1)
    seen = []
    whole = run(training, hooks=Hooks(on_batch=lambda event: seen.append((event.epoch, event.step))))
    assert seen == [(epoch, step) for epoch in range(2) for step in range(3)]
    assert bits(whole) == bits(run(training))


def test_results_survive_any_error_of_a_hook():
    def fails(event):
        if event.epoch == 1:
            raise OSError("the disk of the user")

    with pytest.raises(OSError) as caught:
        run(regression(), hooks=Hooks(on_epoch=fails))
    assert [entry["epoch"] for entry in caught.value.results] == [0, 1]


def test_early_stop_knows_that_accuracy_should_grow():
    assert EarlyStop("accuracy").mode == "max" and EarlyStop("valid_loss").mode == "min"
    growing = [{"accuracy": 0.1 * n} for n in range(5)]
    assert not EarlyStop("accuracy", patience=1).due(growing)
