"""A small stand-in for torchvision, for programs that only load a dataset: `datasets` and `transforms`."""

from compat.torchvision import datasets as datasets
from compat.torchvision import transforms as transforms

__version__ = "0+analogjax"
