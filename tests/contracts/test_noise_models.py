"""What every noise model of inference promises (`analogjax.testing`), for all of ours."""

from dataclasses import replace

import pytest

from analogjax import testing
from analogjax.physics import (
    CustomPairs,
    DriftTable,
    Fusion,
    Hermes,
    Levels,
    NPairs,
    PCMLike,
    ReRAMCMO,
    ReRAMWan2022,
    SingleDevice,
    SinglePair,
    StateIndependent,
    WriteVerify,
)

MODELS = {
    "pcm": PCMLike(),
    "pcm-wide": PCMLike(g_max=40.0, g_converter=SinglePair(g_max=40.0, g_min=2.0)),
    "pcm-table": PCMLike(
        exponents=DriftTable(g=(0.0, 10.0, 25.0), nu_mean=(0.08, 0.05, 0.03), nu_std=(0.03, 0.02, 0.01))
    ),
    "pcm-two-pairs": PCMLike(g_converter=NPairs(f_lst=(1.0, 3.0)), keeps_conductances=True),
    "pcm-custom-pairs": PCMLike(g_converter=CustomPairs(f_lst=(1.0,), g_lst=((0.0, 0.0, 25.0), (25.0, 0.0, 0.0)))),
    "pcm-levels": PCMLike(g_converter=Levels(levels=(0.0, 5.0, 10.0, 15.0, 20.0, 25.0))),
    "pcm-verified": WriteVerify(material=PCMLike(), tolerance=0.5, read_noise=0.1),
    "fusion": StateIndependent(g_converter=Fusion()),
    "hermes": Hermes(),
    "hermes-one-device": Hermes(num_devices=1),
    "reram-wan": ReRAMWan2022(),
    "reram-cmo": ReRAMCMO(),
    "reram-cmo-narrow": ReRAMCMO(g_converter=SingleDevice(g_max=10.0, g_min=1.0), keeps_conductances=True),
    "state-independent": StateIndependent(),
    "state-independent-steep": StateIndependent(prog_coeff=(0.1, 1.0), drift_nu_mean=0.1),
}


@pytest.mark.parametrize(
    "promise",
    [
        pytest.param(p, id=f"{name}-{p.check.__name__}")
        for name, one in MODELS.items()
        for p in testing.noise_model(one)
    ],
)
def test_promise(promise):
    promise()


def test_a_model_without_noise_is_told_what_it_lacks():
    still = replace(MODELS["pcm"], prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0)
    (chosen,) = (one for one in testing.noise_model(still) if one.check.__name__ == "one_key_is_one_chip")
    with pytest.raises(AssertionError, match="no noise; give it some"):
        chosen()
