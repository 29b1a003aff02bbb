"""What programs ask aihwkit's compiled core for: tiles and parameters, and whether it can use CUDA."""

from types import SimpleNamespace

from compat.aihwkit.simulator.rpu_base import devices as devices
from compat.aihwkit.simulator.rpu_base import tiles as tiles


def _is_compiled() -> bool:
    # torch tensors stay on the CPU here; JAX chooses its own device for compiled experiments
    return False


cuda = SimpleNamespace(is_compiled=_is_compiled)
