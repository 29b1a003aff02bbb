"""How the simulation runs, not what it simulates."""

from compat.aihwkit.simulator.parameters.enums import RPUDataType
from compat.parameters import View, check_fields, parameters, unsupported


@parameters()
class RuntimeParameter(View):
    """Number type and memory; the memory switches change no result and have nothing to do here."""

    _tolerant = True

    data_type: RPUDataType = RPUDataType.FLOAT
    on_the_fly_bindings: bool = False
    offload_input: bool = False
    offload_gradient: bool = False

    def check(self, data_types: tuple[RPUDataType, ...] = (RPUDataType.FLOAT,)) -> None:
        """Raise `ConfigError` unless the settings are well formed, and the number type is one of `data_types`."""
        check_fields(self)
        if self.data_type not in data_types:
            names = " and ".join(f"RPUDataType.{one.name}" for one in data_types)
            raise unsupported(self, "data_type", f"these tiles know {names}")
