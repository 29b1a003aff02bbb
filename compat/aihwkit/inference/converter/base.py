"""What converters have in common."""

from compat.parameters import View


class BaseConductanceConverter(View):
    """From weights to conductances; `to_native()` is one of `analogjax.physics.inference`."""
