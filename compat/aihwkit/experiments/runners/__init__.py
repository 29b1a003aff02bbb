"""Runners."""

from compat.aihwkit.experiments.runners.cloud import CloudRunner as CloudRunner
from compat.aihwkit.experiments.runners.i_cloud import InferenceCloudRunner as InferenceCloudRunner
from compat.aihwkit.experiments.runners.i_local import InferenceLocalRunner as InferenceLocalRunner
from compat.aihwkit.experiments.runners.i_metrics import InferenceLocalMetric as InferenceLocalMetric
from compat.aihwkit.experiments.runners.local import LocalRunner as LocalRunner
from compat.aihwkit.experiments.runners.metrics import LocalMetric as LocalMetric
