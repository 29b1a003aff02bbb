"""From parameters to bindings, as functions; see `compat.bindings`."""

from sys import version_info as version_info
from typing import Any

from compat import bindings
from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.parameters.enums import RPUDataType
from compat.parameters import check_all_fields
from compat.parameters import check_fields as check_fields_of

ALL_SKIP_FIELD = "is_perfect"  # where it is set, no other field is shown
FIELD_MAP = {"forward": "forward_io", "backward": "backward_io"}
ALWAYS_INCLUDE = ["forward", "backward", "update"]  # what bindings of a tile have
HAS_ORIGIN = True


def get_bindings_class(params: Any, data_type: Any = RPUDataType.FLOAT) -> type | None:
    """The class that parameters are bound to; `None`: they are not bound."""
    _check(params, data_type)
    kind: Any = type(params)
    return None if bindings.name_of(kind) is None else bindings.class_of(kind)


def parameters_to_bindings(params: Any, data_type: Any = RPUDataType.FLOAT, check_fields: bool = True) -> Any:
    """The parameters, bound; what is not bound stays as it is. Raises `ConfigError` for a wrong name or type."""
    if get_bindings_class(params, data_type) is None:
        return params
    if check_fields:
        check_fields_of(params)
    made = bindings.of(params)
    made._inside.clear()  # devices inside are bound by those who bind the cell
    return made


def tile_parameters_to_bindings(params: Any, data_type: Any = RPUDataType.FLOAT) -> Any:
    """The parameters of a tile, bound. Raises `ConfigError` for a wrong name or type."""
    if get_bindings_class(params, data_type) is None:
        return params
    check_all_fields(params)
    return bindings.of(params)


def _check(params: Any, data_type: Any) -> None:
    if data_type is not RPUDataType.FLOAT:
        raise ConfigError(f"{type(params).__name__}: bindings have float32 numbers here, not {data_type}.")
