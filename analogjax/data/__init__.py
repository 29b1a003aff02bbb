"""Datasets of labelled images, and batches of them by index."""

from analogjax.data.batches import sequential_indices as sequential_indices
from analogjax.data.batches import shuffled_indices as shuffled_indices
from analogjax.data.batches import steps_per_epoch as steps_per_epoch
from analogjax.data.catalog import CIFAR10 as CIFAR10
from analogjax.data.catalog import DATASETS as DATASETS
from analogjax.data.catalog import MNIST as MNIST
from analogjax.data.catalog import SVHN as SVHN
from analogjax.data.catalog import Digits as Digits
from analogjax.data.catalog import FashionMNIST as FashionMNIST
from analogjax.data.catalog import named as named
from analogjax.data.dataset import Dataset as Dataset
from analogjax.data.download import RemoteFile as RemoteFile
from analogjax.data.errors import DatasetError as DatasetError
from analogjax.data.errors import UnreachableError as UnreachableError
from analogjax.data.places import default_root as default_root
from analogjax.data.split import Split as Split
