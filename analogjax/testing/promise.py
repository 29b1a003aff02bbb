"""A promise: a named check that a custom device, compound, noise model or layer can be held to."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from analogjax.errors import ConfigError


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


def assert_follows(about: Any, protocol: type) -> None:
    """Assert that it is an object with the methods and properties of a protocol."""
    name = about.__name__ if isinstance(about, type) else ""
    assert not name, f"it is a class, and is tested with its numbers: give an object, such as {name}()"
    members = [member for one in protocol.__mro__ for member in vars(one) if not member.startswith("_")]
    missing = [member for member in members if not hasattr(about, member)]
    assert not missing, f"these methods or properties are missing: {', '.join(missing)}"


def check(promises: Iterable[Promise]) -> None:
    """Check all promises; the first broken one is reported by name.

    Raises `AssertionError`, or `ConfigError` if these are no promises.
    """
    given = list(promises) if isinstance(promises, Iterable) else [promises]
    if not all(isinstance(promise, Promise) for promise in given):
        raise ConfigError(f"check({promises!r}): needs promises, such as those of testing.device(...).")
    for promise in given:
        try:
            promise()
        except Exception as error:  # whatever it is, the promise is not kept
            raise AssertionError(
                f"{promise.about!r} breaks {promise.check.__name__!r}: {error or type(error).__name__}"
            ) from error
