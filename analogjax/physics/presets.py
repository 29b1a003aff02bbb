"""Named parameter sets of devices, converters and pulses, with aihwkit's values and the paper each was fitted to.

Fields that are not given keep the defaults of their class. Weights and steps in [w], variations relative [1].
"""

from analogjax.physics.adc import ADC
from analogjax.physics.compounds import OneSided
from analogjax.physics.dac import DAC
from analogjax.physics.devices import ConstantStep, ExpStep, LinearStep, SoftBoundsReference
from analogjax.physics.periphery import Periphery
from analogjax.physics.pulses import Pulses

PRESET_PERIPHERY = Periphery(dac=DAC(res=1 / 126), adc=ADC(res=1 / 510, bound=20.0, noise=0.1))
"""7 bit in, 9 bit out, absolute-maximum noise management and iterative bound management (aihwkit's preset IO)."""

STANDARD_PERIPHERY = Periphery(dac=DAC(res=1 / 254), adc=ADC(res=1 / 254, bound=10.0, noise=0.04))
"""8 bit in, 8 bit out (aihwkit's standard IO)."""

PRESET_PULSES = Pulses(desired_bl=31)
"""Trains of up to 31 pulses."""

RERAM_ES = ExpStep(
    dw_min=0.00135, up_down=0.259359, w_max=1.0, w_min=-1.0, a=-0.5, b=-0.5, gamma_up=5.0, gamma_down=5.0,
    A_up=-1.18445, A_down=-0.081404, dw_min_dtod=0.2, up_down_dtod=0.05, w_max_dtod=0.3, w_min_dtod=0.3,
    dw_min_std=5.0, write_noise_std=75.0,
)  # fmt: skip
"""Filamentary ReRAM, fitted with exponential steps to Gong et al. 2018, doi:10.1038/s41467-018-04485-1."""

RERAM_SB = SoftBoundsReference(
    dw_min=0.002, w_max=1.25, w_min=-0.75, mult_noise=False, dw_min_dtod=0.3, up_down_dtod=0.01, w_max_dtod=0.24,
    w_min_dtod=0.4, dw_min_std=3.75, write_noise_std=56.0,
)  # fmt: skip
"""Filamentary ReRAM, a loose fit with soft bounds to Gong et al. 2018, doi:10.1038/s41467-018-04485-1."""

RERAM_ARRAY_OM = SoftBoundsReference(
    dw_min=0.0949, w_max=1.0, w_min=-1.0, dw_min_dtod=0.7829, dw_min_dtod_log_normal=True, up_down_dtod=0.01,
    w_max_dtod=0.3499, w_min_dtod=0.5695, dw_min_std=0.4158, write_noise_std=1.4113, corrupt_devices_range=0.01,
    corrupt_devices_prob=0.0, subtract_symmetry_point=True, reference_std=0.05,
)  # fmt: skip
"""Optimised-material ReRAM array: Gong, Rasch et al. 2022 (IEDM), doi:10.1109/IEDM45625.2022.10019569."""

RERAM_ARRAY_HFO2 = SoftBoundsReference(
    dw_min=0.4622, w_max=1.0, w_min=-1.0, dw_min_dtod=0.7125, dw_min_dtod_log_normal=True, up_down_dtod=0.01,
    w_max_dtod=0.4295, w_min_dtod=0.5990, dw_min_std=0.2174, write_noise_std=0.5841, corrupt_devices_range=0.01,
    corrupt_devices_prob=0.0, subtract_symmetry_point=True, reference_std=0.05,
)  # fmt: skip
"""Baseline HfO2 ReRAM array: Gong, Rasch et al. 2022 (IEDM), doi:10.1109/IEDM45625.2022.10019569."""

CAPACITOR = LinearStep(
    dw_min=0.005, w_max=1.0, w_min=-1.0, mult_noise=False, gamma_up=0.05, gamma_down=0.05, gamma_up_dtod=0.01,
    gamma_down_dtod=0.01, dw_min_dtod=0.1, up_down_dtod=0.06, w_max_dtod=0.07, w_min_dtod=0.07, dw_min_std=0.3,
    mean_bound_reference=True, lifetime=1e6, lifetime_dtod=0.3,
)  # fmt: skip
"""CMOS capacitor cell, leaking: Li et al. 2018 (VLSI), doi:10.1109/VLSIT.2018.8510648."""

EC_RAM = LinearStep(
    dw_min=0.002, w_max=1.1724, w_min=-0.8276, mult_noise=True, gamma_up=0.1153, gamma_down=0.5085, gamma_up_dtod=0.05,
    gamma_down_dtod=0.05, dw_min_dtod=0.1, up_down_dtod=0.01, w_max_dtod=0.05, w_min_dtod=0.05, dw_min_std=0.3,
)  # fmt: skip
"""Lithium electro-chemical RAM: Tang et al. 2018 (IEDM), doi:10.1109/IEDM.2018.8614551."""

EC_RAM_MO = LinearStep(
    dw_min=2.8214e-4, w_max=1.1714, w_min=-0.8286, mult_noise=True, gamma_up=0.4152, gamma_down=0.7342,
    gamma_up_dtod=0.05, gamma_down_dtod=0.05, dw_min_dtod=0.1, up_down_dtod=0.01, w_max_dtod=0.05, w_min_dtod=0.05,
    dw_min_std=2.0,
)  # fmt: skip
"""Metal-oxide electro-chemical RAM: Kim et al. 2019 (IEDM), doi:10.1109/IEDM19573.2019.8993463."""

IDEALIZED = ConstantStep(
    dw_min=0.0002, dw_min_dtod=0.3, dw_min_std=0.3, up_down_dtod=0.0, w_max=1.0, w_min=-1.0, w_max_dtod=0.3,
    w_min_dtod=0.3,
)  # fmt: skip
"""A device with many small, nearly symmetric steps: Rasch et al. 2020, doi:10.1109/MDAT.2019.2952341."""

GOKMEN_VLASOV = ConstantStep(
    dw_min=0.0016, dw_min_dtod=0.3, dw_min_std=0.3, up_down_dtod=0.01, w_max=1.0, w_min=-1.0, w_max_dtod=0.3,
    w_min_dtod=0.3,
)  # fmt: skip
"""The device that was asked for in Gokmen & Vlasov 2016, doi:10.3389/fnins.2016.00333."""

PCM = ExpStep(
    dw_min=0.01, w_max=2.0, w_min=0.0, a=-1.0, b=0.0, gamma_up=2.5, gamma_down=2.5, A_up=-27.235, A_down=-2.235,
    dw_min_dtod=0.2, up_down_dtod=0.05, w_max_dtod=0.1, w_min_dtod=0.0, dw_min_std=0.6, dw_min_std_add=0.042,
    dw_min_std_slope=0.108, reset=0.01, reset_dtod=0.02,
)  # fmt: skip
"""One phase-change memory cell, of positive conductance: Nandakumar et al. 2018, doi:10.1063/1.5042408."""

PCM_CELL = OneSided(
    device=PCM, refresh_every=1, refresh_forward=PRESET_PERIPHERY, refresh_update=PRESET_PULSES
)  # fmt: skip
"""A pair of such cells, one for each sign, refreshed after every mini-batch: Nandakumar et al. 2018, as above."""
