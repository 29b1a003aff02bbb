"""Experiments: what to train or to read, and the runner for this machine."""

from analogjax.experiments.conductance_file import ConductanceFileError as ConductanceFileError
from analogjax.experiments.conductance_file import export_conductances as export_conductances
from analogjax.experiments.conductance_file import import_conductances as import_conductances
from analogjax.experiments.dataset import Arrays as Arrays
from analogjax.experiments.dataset import Batches as Batches
from analogjax.experiments.evaluation import ChipResults as ChipResults
from analogjax.experiments.evaluation import evaluate as evaluate
from analogjax.experiments.hooks import BatchEvent as BatchEvent
from analogjax.experiments.hooks import EpochEvent as EpochEvent
from analogjax.experiments.hooks import Hooks as Hooks
from analogjax.experiments.inferencing import BasicInferencing as BasicInferencing
from analogjax.experiments.inferencing import run_inference as run_inference
from analogjax.experiments.loop import Images as Images
from analogjax.experiments.loop import Program as Program
from analogjax.experiments.loop import RunKeys as RunKeys
from analogjax.experiments.loop import TrainState as TrainState
from analogjax.experiments.losses import cross_entropy_loss as cross_entropy_loss
from analogjax.experiments.losses import mse_loss as mse_loss
from analogjax.experiments.losses import nll_loss as nll_loss
from analogjax.experiments.options import CheckpointOptions as CheckpointOptions
from analogjax.experiments.options import EarlyStop as EarlyStop
from analogjax.experiments.options import StopTraining as StopTraining
from analogjax.experiments.placement import find_device as find_device
from analogjax.experiments.runner import LocalRunner as LocalRunner
from analogjax.experiments.runner import Results as Results
from analogjax.experiments.training import BasicTraining as BasicTraining
