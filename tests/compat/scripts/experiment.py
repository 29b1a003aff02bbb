"""An experiment on a dataset of one's own, run by LocalRunner."""

import sys

import torch
from aihwkit.experiments import BasicTraining
from aihwkit.experiments.runners import LocalRunner
from aihwkit.nn import AnalogLinear, AnalogSequential
from aihwkit.simulator.configs import ConstantStepDevice, SingleRPUConfig
from torch.utils.data import Dataset
from torchvision.datasets import FashionMNIST
from torchvision.transforms import Compose

assert issubclass(FashionMNIST, Dataset) and callable(Compose)


class Stripes(Dataset):
    """Horizontal or vertical stripes, with noise."""

    def __init__(self, root, train=True, transform=None):
        generator = torch.Generator().manual_seed(int(train))
        self.labels = torch.randint(0, 2, (200,), generator=generator)
        noise = 0.2 * torch.rand(200, 4, 4, generator=generator)
        lines = torch.tensor([0.0, 0.8, 0.0, 0.8]).expand(4, 4)
        self.images = torch.stack([(lines if label else lines.T) + n for label, n in zip(self.labels, noise)])  # noqa: B905
        self.transform = transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(self.images[index].numpy()), self.labels[index]


def main():
    """Train and print."""
    torch.manual_seed(int(sys.argv[1]))
    config = SingleRPUConfig(device=ConstantStepDevice())
    layers = [AnalogLinear(16, 8, True, rpu_config=config), torch.nn.Sigmoid(), torch.nn.Linear(8, 2)]
    model = AnalogSequential(torch.nn.Flatten(), *layers, torch.nn.LogSoftmax(dim=1))
    experiment = BasicTraining(dataset=Stripes, model=model, epochs=4, batch_size=10, learning_rate=0.2)
    results = LocalRunner(device=torch.device("cpu")).run(experiment, dataset_root="nowhere", stdout=True)
    print("accuracy", results[-1]["accuracy"])


if __name__ == "__main__":
    main()
