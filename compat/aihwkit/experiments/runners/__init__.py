"""Runners."""

from compat.aihwkit.experiments.runners.local import LocalRunner as LocalRunner
from compat.aihwkit.experiments.runners.metrics import LocalMetric as LocalMetric
