"""Processes that are started anew find aihwkit too, and what is sent to them."""

import multiprocessing
import sys

if __name__ == "__main__" and sys.argv[1:] == ["install"]:
    import compat

    compat.install()

import torch
from aihwkit.nn import AnalogLinear
from aihwkit.simulator.configs import FloatingPointRPUConfig


class Weights(torch.utils.data.Dataset):
    """Rows of a layer's weights."""

    def __init__(self):
        self.layer = AnalogLinear(2, 3, bias=False, rpu_config=FloatingPointRPUConfig())

    def __len__(self):
        return 3

    def __getitem__(self, n):
        return self.layer.get_weights()[0][n]


def told(config, queue):
    import aitoolbox

    queue.put((type(config).__name__, aitoolbox.__name__))


if __name__ == "__main__":
    data = Weights()
    loader = torch.utils.data.DataLoader(data, batch_size=3, num_workers=1, multiprocessing_context="spawn")
    print(all(torch.equal(rows, data.layer.get_weights()[0]) for rows in loader))
    context = multiprocessing.get_context("forkserver")
    queue = context.Queue()
    process = context.Process(target=told, args=(FloatingPointRPUConfig(), queue))
    process.start()
    print(*queue.get(timeout=120))
    process.join()
