"""What every noise model of inference promises (`analogjax.testing`), for all of ours."""

import pytest

from analogjax import testing
from analogjax.physics import PCMLike, SinglePair, StateIndependent

MODELS = {
    "pcm": PCMLike(),
    "pcm-wide": PCMLike(g_max=40.0, g_converter=SinglePair(g_max=40.0, g_min=2.0)),
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
