"""What noise models have in common."""

from compat.parameters import View


class BaseNoiseModel(View):
    """A material; `to_native()` is one of `analogjax.physics.inference`."""
