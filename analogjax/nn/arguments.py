"""Which values the arguments of torch's layers may have, and how a layer changes the shape of one item, without arrays.

A check takes a value as torch, JSON or a protocol gives it and returns its complete form, or raises a `ConfigError`
that states what is allowed. A shape rule takes complete arguments and the shape of an item, channels first, and returns
the shape after the layer, or raises a `ShapeError` that states what the layer needs.
"""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from analogjax._typing import Shape
from analogjax.errors import ConfigError, ShapeError

REQUIRED: Any = object()
Arguments = Mapping[str, Any]
_MOST = 1 << 20  # of any one size: what a person means is smaller, what is larger is a mistake or an attack
_COUNTED = {1: "one whole number", 2: "two whole numbers", 3: "three whole numbers"}
_ITEMS = {
    1: "sequences (channels, length)",
    2: "images (channels, height, width)",
    3: "volumes (channels, depth, height, width)",
}


@dataclass(frozen=True)
class Argument:
    """One argument of a torch layer."""

    native: str | None  # its name in the native form; None: not an argument there, as only one value is possible
    check: Callable[[Any], Any]
    wire: Any = None  # its type in aihwkit's protocol: int, bool, float, or [int] for several; None: not in it
    default: Any = REQUIRED

    def complete(self, value: Any) -> Any:
        """Return the complete form of a value; `None` gives the default. Raises `ConfigError`."""
        return None if value is None and self.default is None else self.check(value)


def whole(low: int) -> Callable[[Any], int]:
    """A whole number of at least `low`."""

    def check(value: Any) -> int:
        if not _is_whole(value, low):
            raise _unfit(value, f"a whole number from {low} to {_MOST}")
        return value

    return check


def each(axes: int, low: int) -> Callable[[Any], tuple[int, ...]]:
    """A whole number of at least `low` for each of so many axes, or one for all of them."""

    def check(value: Any) -> tuple[int, ...]:
        several = (value,) * axes if isinstance(value, int) else value
        if not _are_whole(several, low) or len(several) != axes:
            raise _unfit(value, f"{_COUNTED[axes]} of {low} or more")
        return tuple(several)

    return check


def sizes(value: Any) -> tuple[int, ...]:
    """The shape of an item of one to three axes behind that of channels."""
    if not _are_whole(value, 1) or not 2 <= len(value) <= 4:
        raise _unfit(value, "two to four whole numbers of 1 or more, that of channels first")
    return tuple(value)


def only(expected: Any) -> Callable[[Any], Any]:
    """The one value that has a native form."""

    def check(value: Any) -> Any:
        if isinstance(value, bool) or value != expected:
            raise _unfit(value, f"{expected}, the only one that has a native form")
        return expected

    return check


def undilated(value: Any) -> tuple[int, ...]:
    """The dilation of a pool over images."""
    if (given := each(2, 1)(value)) != (1, 1):
        raise ConfigError(f"{given}: a dilation other than 1 can't be trained.")
    return given


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise _unfit(value, "true or false")
    return value


def number(value: Any) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
        raise _unfit(value, "a finite number")
    return float(value)


def axis(value: Any) -> int:
    """The number of an axis."""
    if not _is_whole(value, -4):
        raise _unfit(value, "the number of an axis")
    return value


def tanh_form(value: Any) -> bool:
    """Which GELU: whether it is approximated by tanh; torch has words for it."""
    return flag({"none": False, "tanh": True}.get(value, value) if isinstance(value, str) else value)


def _is_whole(value: Any, low: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= _MOST


def _are_whole(values: Any, low: int) -> bool:
    return isinstance(values, (list, tuple)) and all(_is_whole(value, low) for value in values)


def _unfit(value: Any, meant: str) -> ConfigError:
    return ConfigError(f"{str(value)[:60]!r} is not {meant}.")


def same(arguments: Arguments, shape: Shape) -> Shape:
    """The layer changes no shape."""
    return shape


def flat(arguments: Arguments, shape: Shape) -> Shape:
    """All numbers of an item in a row."""
    return (math.prod(shape),)


def unflattened(arguments: Arguments, shape: Shape) -> Shape:
    """A flat item split into channels and places."""
    wanted = arguments["unflattened_size"]
    if len(shape) != 1 or shape[0] != math.prod(wanted):
        raise ShapeError(f"unflattened_size={tuple(wanted)} needs flat ones of {math.prod(wanted)} numbers")
    return tuple(wanted)


def along_classes(arguments: Arguments, shape: Shape) -> Shape:
    """A function along the only axis of a flat item."""
    if arguments["dim"] not in (1, -1) or len(shape) != 1:
        raise ShapeError("it is known along the classes of flat items only (dim=1)")
    return shape


def multiplied(arguments: Arguments, shape: Shape) -> Shape:
    """A matrix times a flat item."""
    wanted = arguments["in_features"]
    if len(shape) != 1:
        raise ShapeError("it needs flat ones: put Flatten before it")
    if wanted not in (None, shape[0]):
        raise ShapeError(f"in_features={wanted}")
    return (arguments["out_features"],)


def convolved(arguments: Arguments, shape: Shape) -> Shape:
    """A kernel at each place of an item."""
    return _windowed(arguments, shape, arguments["in_channels"], arguments["out_channels"])


def convolved_back(arguments: Arguments, shape: Shape) -> Shape:
    """A kernel spread from each place of an item."""
    kernel, wanted = arguments["kernel_size"], arguments["in_channels"]
    if len(shape) != len(kernel) + 1:
        raise ShapeError(f"it needs {_ITEMS[len(kernel)]}")
    if wanted not in (None, shape[0]):
        raise ShapeError(f"in_channels={wanted}")
    names = ("stride", "padding", "dilation", "output_padding")
    axes = zip(shape[1:], kernel, *(arguments[name] for name in names), strict=True)
    places = (
        (size - 1) * stride - 2 * pad + apart * (k - 1) + more + 1 for size, k, stride, pad, apart, more in axes
    )  # fmt: skip
    return (arguments["out_channels"], *places)


def pooled(arguments: Arguments, shape: Shape) -> Shape:
    """A window at each place of each channel of an item."""
    if any(2 * pad > kernel for pad, kernel in zip(arguments["padding"], arguments["kernel_size"], strict=True)):
        raise ShapeError("its padding is more than half of its window")
    return _windowed(arguments, shape, None, None)


def _windowed(arguments: Arguments, shape: Shape, wanted: int | None, channels: int | None) -> Shape:
    kernel = arguments["kernel_size"]
    if len(shape) != len(kernel) + 1:
        raise ShapeError(f"it needs {_ITEMS[len(kernel)]}")
    if wanted not in (None, shape[0]):
        raise ShapeError(f"in_channels={wanted}")
    axes = zip(
        shape[1:], kernel, arguments["stride"] or kernel, arguments["padding"], arguments["dilation"], strict=True
    )
    left = shape[0] if channels is None else channels
    return (left, *(_places(*values, arguments.get("ceil_mode", False)) for values in axes))


def _places(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if room < 0:
        return 0
    places = (-(-room // stride) if ceil_mode else room // stride) + 1
    # a window that would begin in the padding on the far side is left out
    return places - 1 if ceil_mode and (places - 1) * stride >= size + padding else places
