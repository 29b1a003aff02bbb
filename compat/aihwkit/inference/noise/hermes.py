"""Phase change memory of the HERMES chip."""

from typing import Any

from analogjax.physics.inference import Hermes, SinglePair
from analogjax.physics.inference.hermes import coefficients_of, g_max_of
from compat.aihwkit.inference.noise.law import Law
from compat.overrides import watched
from compat.parameters import NATIVE, parameters


@watched
@parameters(native=Hermes)
class HermesNoiseModel(Law):
    """One or two devices for each conductance; see `analogjax.physics.Hermes`. `None` is the native default."""

    prog_coeff: Any = NATIVE
    g_converter: Any = NATIVE
    num_devices: int = NATIVE
    g_max: Any = NATIVE
    t_read: float = NATIVE
    t_0: Any = NATIVE
    prog_noise_scale: float = NATIVE
    read_noise_scale: float = NATIVE
    drift_scale: float = NATIVE
    prog_coeff_g_max_reference: Any = NATIVE

    def __post_init__(self) -> None:
        known = Hermes(num_devices=self.num_devices) if self.num_devices in (1, 2) else None
        assert known is not None, f"num_devices={self.num_devices!r}: the chip has 1 or 2 for each conductance."
        most = g_max_of(self.num_devices)
        assert self.g_max is None or self.g_max <= most, f"g_max={self.g_max!r}: measured up to {most} uS only."
        self.t_0 = known.t_0 if self.t_0 is None else self.t_0
        self._complete(most)
        if self.prog_coeff_g_max_reference is None:
            self.prog_coeff_g_max_reference = most if self.prog_coeff is None else self.g_max
        self.prog_coeff = [*coefficients_of(self.num_devices)] if self.prog_coeff is None else self.prog_coeff

    def _given(self) -> dict[str, Any]:
        most = g_max_of(self.num_devices)
        usual = tuple(self.prog_coeff) == coefficients_of(self.num_devices)
        reference = self.prog_coeff_g_max_reference
        return self._conductances(SinglePair(g_max=most)) | {
            "prog_coeff": None if usual else tuple(self.prog_coeff),
            "prog_coeff_g_max_reference": None if reference == (most if usual else self.g_max) else reference,
        }
