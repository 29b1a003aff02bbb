"""How an update is pulsed."""

from analogjax.physics import Pulses
from compat.aihwkit.simulator.parameters.enums import PulseType
from compat.parameters import NATIVE, View, parameters


@parameters(native=Pulses, harmless=["d_sparsity"])
class UpdateParameters(View):
    """Pulse trains and their management; see `analogjax.physics.Pulses`. `d_sparsity` is a statistic, not an option."""

    desired_bl: int = NATIVE
    fixed_bl: bool = NATIVE
    pulse_type: PulseType = NATIVE
    res: float = NATIVE
    x_res_implicit: float = 0
    d_res_implicit: float = 0
    d_sparsity: bool = False
    sto_round: bool = NATIVE
    update_bl_management: bool = NATIVE
    update_management: bool = NATIVE
    um_grad_scale: float = NATIVE
