"""The training loop's settings and history."""

from compat.aitoolbox.torchtrain.train_loop.train_loop import TrainLoop as TrainLoop
