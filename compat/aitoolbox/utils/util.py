"""Functions about functions, and one about lists."""

import functools
import types
from collections.abc import Callable
from typing import Any


def function_exists(object_to_check: Any, fn_name: str) -> bool:
    """Whether the object has a callable of this name."""
    return callable(getattr(object_to_check, fn_name, None))


def copy_function(fn: Callable[..., Any]) -> Any:
    """A new plain function that does what `fn` does; of a method, the unbound function."""
    source: Any = getattr(fn, "__func__", fn)
    made = types.FunctionType(
        source.__code__, source.__globals__, source.__name__, source.__defaults__, source.__closure__
    )
    made.__kwdefaults__ = source.__kwdefaults__
    return functools.update_wrapper(made, source)


def _empty() -> None:
    pass


def _documented() -> None:
    """Nothing."""


def is_empty_function(fn: Callable[..., Any]) -> bool:
    """Whether the body of `fn` is `pass`, `return None` or only a docstring."""
    code = fn.__code__
    only_docstring = all(constant is None or constant == fn.__doc__ for constant in code.co_consts)
    # a docstring takes the first place among the constants, which the code refers to by their place
    return only_docstring and code.co_code in (_empty.__code__.co_code, _documented.__code__.co_code)


def flatten_list_of_lists(nested_list: list[Any] | None) -> list[Any] | None:
    """The items of the lists in one list; `None` of `None`."""
    return None if nested_list is None else [item for inner in nested_list for item in inner]
