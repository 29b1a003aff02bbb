"""What converters have in common."""

from typing import Any

from compat.aihwkit.exceptions import ConfigError
from compat.overrides import is_plain, watched, what_is_own
from compat.parameters import View


@watched
class BaseConductanceConverter(View):
    """From weights to conductances and back; a subclass has both methods, which are called with torch tensors."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def convert_to_conductances(self, weights: Any) -> tuple[list[Any], dict[str, Any]]:
        """A list of conductances [uS] of weights `[O, I]`, and what leads back."""
        raise NotImplementedError(f"{type(self).__name__} must define convert_to_conductances().")

    def convert_back_to_weights(self, conductances: list[Any], params: dict[str, Any]) -> Any:
        """The weights `[O, I]` of a list of conductances [uS]."""
        raise NotImplementedError(f"{type(self).__name__} must define convert_back_to_weights().")

    def to_native(self) -> Any:
        """One of `analogjax.physics.inference`. Raises `ConfigError` where a method of its own has no such form."""
        self._need_plain()
        return super().to_native()

    def _need_plain(self) -> None:
        if not is_plain(self):
            raise ConfigError(f"{what_is_own(self)}, which can't be compiled: it works with torch tensors only.")
