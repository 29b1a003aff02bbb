"""The logical weights as an analog context shows them: a tensor to look at, which nobody may write to."""

from collections.abc import Callable
from typing import Any, NoReturn

from compat.aihwkit.exceptions import PlaceholderError
from compat.torch_package import torch


def is_inplace_operation(func_name: str) -> bool:
    """Whether a function of torch of that name writes to its first argument."""
    return func_name.endswith("_") and not func_name.endswith("__")


def raise_readonly_error(func_name: str) -> NoReturn:
    """Raise the `PlaceholderError` for a write."""
    raise PlaceholderError(
        f"{func_name}: these are copies of the weights on the chips, and are not written to. Write weights with "
        "tile.set_weights(), or change them by pulses with tile.update()."
    )


def raise_if_readonly_write_target(func_name: str, args: Any, kwargs: Any, is_readonly: Callable[[Any], bool]) -> None:
    """Raise `PlaceholderError` where a function of torch would write to something of which `is_readonly` holds."""
    outs = kwargs.get("out", ())
    targets = list(outs) if isinstance(outs, (list, tuple)) else [outs]
    if is_inplace_operation(func_name) and args:
        targets.append(args[0])
    if any(is_readonly(target) for target in targets):
        raise_readonly_error(func_name)


class ReadOnlyWeightView(torch.Tensor):
    """A tensor of weights; what is computed from it is an ordinary tensor."""

    @staticmethod
    def __new__(cls, data: Any) -> "ReadOnlyWeightView":
        """The values of a tensor."""
        return data if isinstance(data, cls) else torch.Tensor._make_subclass(cls, data)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Everything that torch does with it comes here."""
        kwargs = kwargs or {}
        raise_if_readonly_write_target(
            getattr(func, "__name__", ""), args, kwargs, lambda value: isinstance(value, ReadOnlyWeightView)
        )

        def plain(value: Any) -> Any:
            return value.as_subclass(torch.Tensor) if isinstance(value, ReadOnlyWeightView) else value

        args, kwargs = torch.utils._pytree.tree_map(plain, (args, kwargs))
        return func(*args, **kwargs)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise_readonly_error("__setitem__")
