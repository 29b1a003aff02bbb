"""A promise that something of one's own can be held to: a check with a name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Promise:
    """One promise about one object. Calling it raises `AssertionError` where it is broken; pytest shows its name."""

    check: Callable[[Any], None]
    about: Any
    costly: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "__name__", self.check.__name__)  # pytest shows it

    def __call__(self) -> None:
        self.check(self.about)


def check(promises: list[Promise]) -> None:
    """Check all of them; the first that is broken is told by its name. Raises `AssertionError`."""
    for promise in promises:
        try:
            promise()
        except Exception as error:  # whatever it is, the promise is not kept
            raise AssertionError(f"{promise.about!r} breaks {promise.check.__name__!r}: {error}") from error
