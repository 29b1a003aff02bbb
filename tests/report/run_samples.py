"""A recorded run for the tests of this folder."""

from analogjax.store.runs import RunRecord, read_run

CONFIG = {"dataset": "Digits", "device": "SoftBounds", "layers": [8], "set": {"dw_min": 0.002}, "epochs": 3, "lr": 0.05}


def entry(epoch, accuracy=0.5, **more):
    loss = 2.0 - epoch / 10
    return {"epoch": epoch, "time_epoch": 1.5, "accuracy": accuracy, "train_loss": loss, "valid_loss": loss} | more


def recorded(folder, *, accuracies=(0.25, 0.75, 0.5), config=CONFIG, seed=1, status="completed"):
    """The record of a run in `folder`, and the run as it is read."""
    record = RunRecord.begin(folder, config=config, seed=seed)
    for epoch, accuracy in enumerate(accuracies):
        record.epoch(entry(epoch, accuracy))
    record.finish(status)
    return record, read_run(folder)
