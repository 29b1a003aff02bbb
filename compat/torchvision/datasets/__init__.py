"""torchvision's datasets, and what downloads files."""

from compat.torchvision.datasets import utils as utils
from compat.torchvision.datasets.labelled import CIFAR10 as CIFAR10
from compat.torchvision.datasets.labelled import MNIST as MNIST
from compat.torchvision.datasets.labelled import SVHN as SVHN
from compat.torchvision.datasets.labelled import FashionMNIST as FashionMNIST
