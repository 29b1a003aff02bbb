"""Experiments: what to train, and running it."""

from compat.aihwkit.experiments.experiments.base import Experiment as Experiment
from compat.aihwkit.experiments.experiments.base import Signals as Signals
from compat.aihwkit.experiments.experiments.inferencing import BasicInferencing as BasicInferencing
from compat.aihwkit.experiments.experiments.training import BasicTraining as BasicTraining
