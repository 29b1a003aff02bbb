"""Which checkpoints stay."""

import math

import pytest

from analogjax.errors import ConfigError
from analogjax.store.retention import Retention

NAN = math.nan
ACCURACY = {1: 0.5, 2: 0.9, 3: 0.8, 4: 0.7, 5: 0.6, 6: 0.4}


@pytest.mark.parametrize(
    ("keep", "metrics", "kept"),
    [
        (Retention(last=2), ACCURACY, {5, 6}),
        (Retention(last=0), ACCURACY, {1, 2, 3, 4, 5, 6}),
        (Retention(last=1, best=2), ACCURACY, {2, 3, 6}),  # Orbax's best_fn would delete the newest, 6
        (Retention(last=1, best=1, mode="min"), ACCURACY, {6}),
        (Retention(last=1, best=2, mode="min"), ACCURACY, {1, 6}),
        (Retention(last=1, every=2), ACCURACY, {2, 4, 6}),
        (Retention(last=1, best=1), {**ACCURACY, 4: NAN}, {2, 6}),  # Orbax ranks NaN best
        (Retention(last=1, best=1), {**ACCURACY, 4: None}, {2, 6}),
        (Retention(last=1, best=1), {1: NAN, 2: NAN}, {2}),
        (Retention(last=1, best=1), {1: 0.5, 2: 0.5, 3: 0.1}, {2, 3}),  # of equals the newer
        (Retention(last=1, best=1), {1: math.inf, 2: 0.5, 3: 0.1}, {1, 3}),
        (Retention(last=3), {7: None}, {7}),
        (Retention(), {}, set()),
    ],
)
def test_what_is_kept(keep, metrics, kept):
    assert set(metrics) - set(keep.superseded(metrics)) == kept


@pytest.mark.parametrize(
    "wrong", [{"last": -1}, {"best": 1.5}, {"every": True}, {"mode": "largest"}], ids=lambda wrong: next(iter(wrong))
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Retention(**wrong)
