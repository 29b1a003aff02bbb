"""Digital factors against drift."""

from analogjax.physics.inference.compensations.compensation import Compensation as Compensation
from analogjax.physics.inference.compensations.exact_reference import ExactReference as ExactReference
from analogjax.physics.inference.compensations.global_mean import GlobalCompensation as GlobalCompensation
from analogjax.physics.inference.compensations.per_column import PerColumnCompensation as PerColumnCompensation
