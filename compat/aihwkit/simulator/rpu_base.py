"""What programs ask aihwkit's compiled core: whether it can use CUDA."""

from types import SimpleNamespace


def _is_compiled() -> bool:
    # torch tensors stay on the CPU here; JAX chooses its own device for compiled experiments
    return False


cuda = SimpleNamespace(is_compiled=_is_compiled)
