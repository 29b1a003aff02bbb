"""A small stand-in for torchvision: `datasets`, `transforms`, `utils`, and `models` without trained weights."""

from compat.torchvision import datasets as datasets
from compat.torchvision import models as models
from compat.torchvision import transforms as transforms
from compat.torchvision import utils as utils

__version__ = "0+analogjax"
