"""What every noise model of inference promises (`analogjax.testing`), for all of ours."""

from dataclasses import replace

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


def test_a_model_without_noise_is_told_what_it_lacks():
    still = replace(MODELS["pcm"], prog_noise_scale=0.0, read_noise_scale=0.0, drift_scale=0.0)
    (chosen,) = (one for one in testing.noise_model(still) if one.check.__name__ == "one_key_is_one_chip")
    with pytest.raises(AssertionError, match="no noise; give it some"):
        chosen()
