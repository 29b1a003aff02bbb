"""A small training with Lightning for the tests: `train(folder, **options)` returns its bits."""

import hashlib
import logging
import warnings

import torch

try:
    import lightning.pytorch as lightning
except ImportError:
    import pytorch_lightning as lightning

from analogjax.callbacks import LightningBackup, Resumable


class Net(lightning.LightningModule):
    def __init__(self, width=8, rate=0.01):
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Linear(6, width), torch.nn.BatchNorm1d(width), torch.nn.Dropout(0.3), torch.nn.Linear(width, 3)
        )
        self.rate = rate

    def training_step(self, batch, index):
        loss = torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.rate)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.7)]


def loaders():
    dice = torch.Generator().manual_seed(0)
    x, y = torch.randn(60, 6, generator=dice), torch.randint(0, 3, (60,), generator=dice)
    whole = torch.utils.data.TensorDataset(x, y)
    test = torch.utils.data.TensorDataset(x[:20], y[:20])
    return (
        Resumable(torch.utils.data.DataLoader(whole, batch_size=8, shuffle=True, num_workers=0)),
        torch.utils.data.DataLoader(test, batch_size=20, num_workers=0),
    )


def trainer(backup, *others, epochs=4, **options):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu"}
    quiet |= {"enable_model_summary": False, "num_sanity_val_steps": 0, "max_epochs": epochs}
    return lightning.Trainer(callbacks=[backup, *others] if backup else list(others), **quiet | options)


def bits(net, own):
    values = [value.numpy().tobytes() for value in net.state_dict().values()]
    state = own.optimizers[0].state_dict()["state"]
    values += [one.numpy().tobytes() for number in sorted(state) for one in state[number].values()]
    return hashlib.sha256(b"".join(values) + repr(own.global_step).encode()).hexdigest()


def train(folder, epochs=4, keep_last=2):
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*num_workers.*|.*many workers.*")
    lightning.seed_everything(3, verbose=False)
    net, (train_loader, test_loader) = Net(), loaders()
    backup = LightningBackup(folder, every_steps=1, keep_last=keep_last)
    own = trainer(backup, epochs=epochs)
    own.fit(net, train_loader, test_loader, ckpt_path=backup.newest())
    return {"end": bits(net, own), "best": backup.best()}
