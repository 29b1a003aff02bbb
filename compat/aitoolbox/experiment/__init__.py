"""Result packages, savers and loaders of experiments."""

from compat.aitoolbox.experiment.result_package.basic_packages import (
    BinaryClassificationResultPackage as BinaryClassificationResultPackage,
)
from compat.aitoolbox.experiment.result_package.basic_packages import (
    ClassificationResultPackage as ClassificationResultPackage,
)
from compat.aitoolbox.experiment.result_package.basic_packages import RegressionResultPackage as RegressionResultPackage
