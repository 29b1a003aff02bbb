"""A promise: a named check that a custom device, compound, noise model or layer can be held to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Promise:
    """One check of one object. Calling it raises `AssertionError` if it fails; pytest shows its name."""

    check: Callable[[Any], None]
    about: Any
    costly: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "__name__", self.check.__name__)  # pytest shows it

    def __call__(self) -> None:
        self.check(self.about)


def check(promises: list[Promise]) -> None:
    """Check all promises; the first broken one is reported by name. Raises `AssertionError`."""
    for promise in promises:
        try:
            promise()
        except Exception as error:  # whatever it is, the promise is not kept
            raise AssertionError(f"{promise.about!r} breaks {promise.check.__name__!r}: {error}") from error
