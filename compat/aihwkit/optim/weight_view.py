"""Tensors that stand for the weights of a tile: one shows their values and takes none, one shows their shape alone."""

from collections.abc import Callable
from typing import Any

from compat.aihwkit.exceptions import PlaceholderError
from compat.torch_package import torch

_tree_map: Any = torch.utils._pytree.tree_map
_Disabled: Any = torch._C.DisableTorchFunctionSubclass

# what torch asks of a tensor without looking at its values, by the names of the functions
_METADATA = frozenset(
    """
    __get__ __len__ __reduce__ __reduce_ex__ _is_view _is_zerotensor data_ptr dense_dim detach dim element_size
    get_device is_complex is_conj is_contiguous is_distributed is_floating_point is_inference is_neg is_pinned is_shared
    is_signed ndimension nelement numel requires_grad_ size sparse_dim storage_offset stride type
    empty_like full_like ones_like rand_like randint_like randn_like zeros_like
    """.split()
)


def is_inplace_operation(func_name: str) -> bool:
    """Whether a function of torch writes to its first argument, by its name."""
    return func_name.endswith("_") and not func_name.endswith("__")


def raise_readonly_error(func_name: str) -> None:
    """Raise the error for a write to the weights of a tile."""
    raise PlaceholderError(
        f"In-place operation '{func_name}' is not allowed on analog weights: what is seen of them is read-only, for a "
        "write would pass by the devices. Write them with tile.set_weights(), or pulse the devices with tile.update()."
    )


def raise_if_readonly_write_target(
    func_name: str, args: Any, kwargs: Any, is_readonly: Callable[[Any], bool]
) -> None:  # fmt: skip
    """Raise where a function of torch would write to what `is_readonly`: in place, or as its `out`."""
    if _written(func_name, args, kwargs, is_readonly):
        raise_readonly_error(func_name)


def _written(func_name: str, args: Any, kwargs: Any, is_meant: Callable[[Any], bool]) -> bool:
    if is_inplace_operation(func_name) and args and is_meant(args[0]):
        return True
    return any(map(is_meant, torch.utils._pytree.tree_leaves((kwargs or {}).get("out"))))


class ReadOnlyWeightView(torch.Tensor):
    """A tensor whose values can be read, and not be written: `view += 1` and the like raise `PlaceholderError`.

    What is computed from it is an ordinary tensor.
    """

    @staticmethod
    def __new__(cls, data: Any) -> "ReadOnlyWeightView":
        """A view of `data`, which shares its memory."""
        return data if isinstance(data, ReadOnlyWeightView) else torch.Tensor._make_subclass(cls, data)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Everything that torch does with a view comes here."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        raise_if_readonly_write_target(name, args, kwargs, lambda value: isinstance(value, cls))
        return func(*_plain(cls, args), **_plain(cls, kwargs))

    def __setitem__(self, key: Any, value: Any) -> None:
        raise_readonly_error("__setitem__")


class PlaceholderDataView(torch.Tensor):
    """A tensor that has a shape, a number type and a device, and no values: asking for some raises `PlaceholderError`.

    Functions that make a tensor of the same kind, such as `torch.zeros_like`, give an ordinary one.
    """

    @staticmethod
    def __new__(cls, data: Any) -> "PlaceholderDataView":
        """A placeholder like `data`."""
        return data if isinstance(data, PlaceholderDataView) else torch.Tensor._make_subclass(cls, data.detach())

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Everything that torch does with a placeholder comes here."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name not in _METADATA or _written(name, args, kwargs, lambda value: isinstance(value, cls)):
            raise _has_no_values(name)
        found = func(*_plain(cls, args), **_plain(cls, kwargs))
        return cls(found) if name == "detach" else found

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        with _Disabled():
            return f"PlaceholderDataView(shape={self.shape}, dtype={self.dtype}, device={self.device})"

    def __setitem__(self, key: Any, value: Any) -> None:
        raise _has_no_values("__setitem__")


def _plain(kind: type, given: Any) -> Any:
    """Arguments in which views of a kind are ordinary tensors."""

    def plain(value: Any) -> Any:
        if not isinstance(value, kind):
            return value
        with _Disabled():
            return value.as_subclass(torch.Tensor)  # type: ignore[attr-defined]

    return _tree_map(plain, given)


def _has_no_values(name: str) -> PlaceholderError:
    return PlaceholderError(
        f"{name or 'this operation'}: an analog context only stands for the weights of its chips, and has no values in "
        "placeholder mode. Read them with tile.get_weights(), or after context.enable_data_view(); write them with "
        "tile.set_weights(). context.enable_buffer() gives it values of its own."
    )
