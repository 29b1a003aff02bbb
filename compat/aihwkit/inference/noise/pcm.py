"""Phase change memory."""

from typing import Any

from analogjax.physics.inference import PCMLike
from compat.aihwkit.inference.noise.base import BaseNoiseModel
from compat.parameters import NATIVE, parameters


@parameters(native=PCMLike)
class PCMLikeNoiseModel(BaseNoiseModel):
    """Programming noise, drift and read noise of PCM; see `analogjax.physics.PCMLike`. `None` is the native default."""

    prog_coeff: Any = NATIVE
    g_converter: Any = NATIVE
    g_max: Any = NATIVE
    t_read: float = NATIVE
    t_0: float = NATIVE
    prog_noise_scale: float = NATIVE
    read_noise_scale: float = NATIVE
    drift_scale: float = NATIVE
    prog_coeff_g_max_reference: Any = NATIVE
