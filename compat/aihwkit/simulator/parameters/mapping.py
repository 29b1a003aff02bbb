"""How a logical matrix lies on chips."""

from analogjax.tile import Mapping
from compat.parameters import NATIVE, View, parameters


@parameters(native=Mapping)
class MappingParameter(View):
    """Bias, output scales and splitting; see `analogjax.tile.Mapping`."""

    _tolerant = True

    digital_bias: bool = NATIVE
    weight_scaling_omega: float = NATIVE
    weight_scaling_columnwise: bool = NATIVE
    weight_scaling_lr_compensation: bool = NATIVE
    learn_out_scaling: bool = NATIVE
    out_scaling_columnwise: bool = NATIVE
    max_input_size: int = NATIVE
    max_output_size: int = NATIVE
