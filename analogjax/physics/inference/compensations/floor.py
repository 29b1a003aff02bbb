"""The smallest readout that compensations divide by."""

from typing import Any

from analogjax._pytree import is_static
from analogjax.physics.checks import check, check_number


def check_floor(compensation: Any) -> None:
    """Check that `least` is above 0. Raises `ConfigError`."""
    check_number(compensation, "least")
    good = not is_static(compensation.least) or compensation.least > 0
    check(compensation, good, "least", "needs a number above 0.")
