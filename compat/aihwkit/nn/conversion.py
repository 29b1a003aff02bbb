"""From digital models to analog ones."""

import copy
from collections.abc import Callable
from typing import Any

from compat.aihwkit.exceptions import ArgumentError
from compat.aihwkit.nn.modules.base import AnalogLayerBase
from compat.aihwkit.nn.modules.container import AnalogSequential, AnalogWrapper
from compat.aihwkit.nn.modules.conv import AnalogConv2d
from compat.aihwkit.nn.modules.linear import AnalogLinear
from compat.torch_package import torch

_CONVERSIONS: dict[type, Any] = {
    torch.nn.Linear: AnalogLinear, torch.nn.Conv2d: AnalogConv2d, torch.nn.Sequential: AnalogSequential,
}  # fmt: skip
_UNSUPPORTED = (torch.nn.Conv1d, torch.nn.Conv3d)


def specific_rpu_config_id(module_name: str, module: Any, rpu_config: Any) -> Any:
    """The configuration of a module: the given one."""
    return rpu_config


def convert_to_analog(
    module: Any,
    rpu_config: Any,
    tile_module_class: type | None = None,
    conversion_map: dict[type, Any] | None = None,
    specific_rpu_config_fun: Callable | None = None,
    module_name: str = "",
    ensure_analog_root: bool = True,
    exclude_modules: list[str] | None = None,
    inplace: bool = False,
    verbose: bool = False,
) -> Any:
    """An analog model with the weights of a digital one (a copy, unless `inplace`).

    `torch.nn.Linear`, `Conv2d` and `Sequential` are converted, by exact type. Raises `ArgumentError` for `Conv1d` and
    `Conv3d`, which would become analog in aihwkit and are not supported yet; list them in `exclude_modules` to leave
    them digital.
    """
    module = module if inplace else copy.deepcopy(module)
    choose = specific_rpu_config_fun or specific_rpu_config_id
    known = _CONVERSIONS if conversion_map is None else conversion_map
    excluded = set(exclude_modules or ())

    def visit(name: str, part: Any) -> Any:
        if name in excluded or (isinstance(part, AnalogLayerBase) and not part.IS_CONTAINER):
            return part
        for child_name, child in part.named_children():
            setattr(part, child_name, visit(f"{name}.{child_name}" if name else child_name, child))
        if type(part) in known:
            if verbose:
                print(f"converting {name or 'the root'}: {type(part).__name__}")
            return known[type(part)].from_digital(
                part, choose(name, part, copy.deepcopy(rpu_config)), tile_module_class
            )
        if type(part) in _UNSUPPORTED:
            raise ArgumentError(f"convert_to_analog: {name} is a {type(part).__name__}, which is not supported yet.")
        return part

    module = visit(module_name, module)
    if ensure_analog_root and not isinstance(module, AnalogLayerBase):
        return AnalogWrapper(module)
    return module
