"""Optimisers of analog tiles."""

from analogjax.optim.pulsed import PulsedSGD as PulsedSGD
from analogjax.optim.pulsed import PulsedState as PulsedState
from analogjax.optim.pulsed import joined as joined
