"""Neural networks on analog in-memory-computing chips, simulated in JAX."""

from analogjax._pytree import pytree as pytree
from analogjax._version import __version__ as __version__
from analogjax.data import CIFAR10 as CIFAR10
from analogjax.data import MNIST as MNIST
from analogjax.data import SVHN as SVHN
from analogjax.data import Digits as Digits
from analogjax.data import FashionMNIST as FashionMNIST
from analogjax.errors import AnalogError as AnalogError
from analogjax.experiments import BasicTraining as BasicTraining
from analogjax.experiments import LocalRunner as LocalRunner
from analogjax.nn import AnalogLinear as AnalogLinear
from analogjax.nn import Sequential as Sequential
from analogjax.tile import TileConfig as TileConfig
