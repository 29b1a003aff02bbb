"""What compensations have in common."""

from compat.parameters import View


class BaseDriftCompensation(View):
    """A compensation of drift; `to_native()` is one of `analogjax.physics.inference`."""
