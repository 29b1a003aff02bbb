"""`KerasBackup` in one process: interrupted trainings go on exactly, and what does not belong together is refused."""

import os
import signal
import sys
from pathlib import Path

import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")
if keras.backend.backend() == "tensorflow":
    pytest.skip("Keras runs on TensorFlow", allow_module_level=True)
sys.path.insert(0, str(Path(__file__).parent))
import trained_with_keras as small  # noqa: E402

from analogjax.callbacks import KerasBackup  # noqa: E402
from analogjax.errors import ConfigError  # noqa: E402
from analogjax.store import CheckpointError, Checkpoints  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside Keras 3.15


class At(keras.callbacks.Callback):
    """Does something after the n-th batch."""

    def __init__(self, n, act):
        super().__init__()
        self.left, self.act = n, act

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            self.act(self.model)


def fail(_model):
    raise RuntimeError("the data are gone")


def press_ctrl_c(_model):
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def whole():
    keras.utils.set_random_seed(3)
    made = small.model()
    return small.bits(made, small.fit(made, None))


def again(folder, **options):
    keras.utils.set_random_seed(3)
    made, backup = small.model(), KerasBackup(folder, **options)
    return small.bits(made, small.fit(made, backup)), backup, made


@pytest.mark.parametrize(
    ("act", "error", "last"),
    # Ctrl-C is answered at the end of the next batch, as this callback comes after ours
    [(fail, RuntimeError, 13), (press_ctrl_c, KeyboardInterrupt, 14)],
    ids=["exception", "Ctrl-C"],
)
def test_an_ended_training_is_saved_and_goes_on_to_the_same_bits(tmp_path, whole, act, error, last):
    keras.utils.set_random_seed(3)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(error), KerasBackup(tmp_path) as backup:  # no backup within the epoch is due
        small.fit(small.model(), backup, At(13, act))
    assert signal.getsignal(signal.SIGINT) is before
    assert Checkpoints(tmp_path).latest() == last
    assert again(tmp_path)[0] == whole


def test_without_a_with_block_the_last_due_backup_is_resumed_from(tmp_path, whole):
    keras.utils.set_random_seed(3)
    with pytest.raises(RuntimeError, match="gone"):
        small.fit(small.model(), KerasBackup(tmp_path, every_steps=5), At(13, fail))
    assert again(tmp_path)[0] == whole


def test_a_finished_training_is_not_repeated_and_keeps_history_and_best(tmp_path, whole):
    end, backup, _ = again(tmp_path, restore_best=False)
    assert end == whole
    count = At(1, lambda model: fail(model))
    made = small.model()
    with KerasBackup(tmp_path) as once_more:
        history = small.fit(made, once_more, count)
    assert small.bits(made, history) == whole and count.left == 1
    assert once_more.best() == backup.best()
    losses = history.history["val_loss"]
    assert once_more.best()["epoch"] == losses.index(min(losses))


def test_the_best_epoch_is_restored(tmp_path):
    x = small.data()[0]
    made = small.model()
    with KerasBackup(tmp_path, metric="loss", restore_best=True) as backup:
        history = small.fit(made, backup, At(9, lambda model: model.optimizer.learning_rate.assign(10.0)))
    assert backup.best()["epoch"] == history.history["loss"].index(min(history.history["loss"]))
    other = small.model()
    backup.load_best(other)
    assert (other.predict(x, verbose=0) == made.predict(x, verbose=0)).all()


def test_a_training_that_stopped_early_stays_stopped(tmp_path):
    stop = keras.callbacks.EarlyStopping(monitor="loss", patience=0, mode="max")
    with KerasBackup(tmp_path, callbacks=[stop]) as backup:
        epochs = small.fit(small.model(), backup, stop).epoch
    assert len(epochs) < 4
    with KerasBackup(tmp_path) as backup:
        assert small.fit(small.model(), backup).epoch == epochs


@pytest.mark.parametrize(
    ("changed", "options", "settings", "message"),
    [
        ({"units": 9}, {}, {}, r"dense.*float32\[6, 8\] there and is .*float32\[6, 9\] here"),
        ({"rate": 0.02}, {}, {}, "compiled.*learning_rate was 0.009.* there and is 0.01"),
        ({}, {"batch_size": 12}, {}, "steps was 8 there and is 5 here"),
        ({}, {}, {"data": "b"}, "settings.data was 'a' there and is 'b' here"),
    ],
)
def test_another_training_is_refused(tmp_path, changed, options, settings, message):
    with KerasBackup(tmp_path, settings={"data": "a"}) as backup:
        small.fit(small.model(), backup, epochs=1)
    steps = Checkpoints(tmp_path).steps()
    with pytest.raises(CheckpointError, match=message), KerasBackup(tmp_path, settings={"data": "a"} | settings) as two:
        small.fit(small.model(**changed), two, **options)
    assert Checkpoints(tmp_path).steps() == steps


def test_what_cannot_be_backed_up_is_refused_before_the_first_step(tmp_path):
    with pytest.raises(ConfigError, match="every=-1"):
        KerasBackup(tmp_path, every=-1)
    with pytest.raises(ConfigError, match="keep_best=1"):
        KerasBackup(tmp_path, keep_best=0, restore_best=True)
    with pytest.raises(ConfigError, match="settings"):
        KerasBackup(tmp_path, settings={"x": object()})
    stop = keras.callbacks.EarlyStopping(restore_best_weights=True)
    with pytest.raises(ConfigError, match="restore_best=True"):
        small.fit(small.model(), KerasBackup(tmp_path, callbacks=[stop]), stop)
    Checkpoints(tmp_path / "other").save(1, {"w": small.data()[0]}, {})
    with pytest.raises(CheckpointError, match="something else than Keras"):
        small.fit(small.model(), KerasBackup(tmp_path / "other"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match="file"):
        KerasBackup(tmp_path / "file")


def test_a_metric_that_no_epoch_has_is_named(tmp_path):
    backup = KerasBackup(tmp_path, metric="f1")
    small.fit(small.model(), backup, epochs=1)
    assert backup.best() is None
    with pytest.raises(CheckpointError, match="'f1'"):
        backup.load_best(small.model())
