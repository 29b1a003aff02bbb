"""`LightningBackup` and `Resumable` in one process, where Lightning is installed."""

import os
import signal
import sys
import warnings
from pathlib import Path

import pytest

pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    try:
        import lightning.pytorch  # noqa: F401
    except ImportError:
        pytest.importorskip("pytorch_lightning")
    sys.path.insert(0, str(Path(__file__).parent))
    import trained_with_lightning as small

from analogjax.callbacks import LightningBackup
from analogjax.errors import ConfigError
from analogjax.store import CheckpointError, Checkpoints

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:.*srun.*"),
]


class At(small.lightning.Callback):
    """Does something before the n-th batch."""

    def __init__(self, n, act):
        self.left, self.act = n, act

    def on_train_batch_end(self, *_):
        self.left -= 1
        if self.left == 0:
            self.act()


def fail():
    raise RuntimeError("the data are gone")


def fit(folder, *others, **options):
    small.lightning.seed_everything(3, verbose=False)
    backup = LightningBackup(folder, **options)
    net, own = small.Net(), small.trainer(backup, *others)
    own.fit(net, *small.loaders(), ckpt_path=backup.newest())
    return small.bits(net, own), backup


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(tmp_path_factory.mktemp("whole"))[0]


@pytest.mark.parametrize("batch", [5, 8, 13])
def test_a_training_ended_by_an_exception_goes_on_to_the_same_bits(tmp_path, whole, batch):
    with pytest.raises(RuntimeError, match="gone"):
        fit(tmp_path, At(batch, fail))
    # the eighth is the last of its epoch: the end of the epoch follows, which Lightning can't resume before
    assert Checkpoints(tmp_path).latest() == (None if batch == 8 else batch)
    end, backup = fit(tmp_path)
    assert end == whole and backup.best() is not None


def test_a_training_that_is_resumed_between_two_epochs_ends_with_the_same_bits(tmp_path, whole):
    with pytest.raises(RuntimeError, match="gone"):
        fit(tmp_path, At(10, fail))
    Checkpoints(tmp_path).delete(10)
    assert Checkpoints(tmp_path).latest() == 8  # the end of the first epoch
    assert fit(tmp_path)[0] == whole


def test_ctrl_c_waits_for_the_end_of_the_batch_and_saves(tmp_path, whole):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit):  # Lightning's answer to Ctrl-C
        fit(tmp_path, At(12, lambda: os.kill(os.getpid(), signal.SIGINT)))
    assert signal.getsignal(signal.SIGINT) is before
    assert Checkpoints(tmp_path).latest() == 13
    assert fit(tmp_path)[0] == whole


def test_another_training_is_refused(tmp_path):
    fit(tmp_path)
    backup = LightningBackup(tmp_path)
    with pytest.raises(CheckpointError, match=r"ckpt_path=backup.newest\(\)"):
        small.trainer(backup).fit(small.Net(), *small.loaders())
    with pytest.raises((CheckpointError, RuntimeError), match=r"shape|size"):
        small.trainer(backup, epochs=6).fit(small.Net(9), *small.loaders(), ckpt_path=backup.newest())
    other = LightningBackup(tmp_path, settings={"batch_size": 9})
    with pytest.raises(CheckpointError, match="settings"):
        small.trainer(other, epochs=6).fit(small.Net(), *small.loaders(), ckpt_path=other.newest())


def test_the_best_backup_is_an_ordinary_checkpoint_of_lightning(tmp_path):
    _, backup = fit(tmp_path)
    net = small.Net.load_from_checkpoint(backup.best_checkpoint())
    assert net.rate == 0.01
    with pytest.raises(CheckpointError, match="'f1'"):
        LightningBackup(tmp_path, metric="f1").best_checkpoint()


def test_foreign_checkpoints_and_bad_arguments_are_refused(tmp_path):
    Checkpoints(tmp_path / "other").save(1, {"w": small.torch.ones(2).numpy()}, {})
    with pytest.raises(CheckpointError, match="something else than Lightning"):
        LightningBackup(tmp_path / "other").newest()
    with pytest.raises(ConfigError, match="every_steps=True"):
        LightningBackup(tmp_path, every_steps=True)
    assert LightningBackup(tmp_path / "empty").newest() is None
