"""What disturbs weights in training, clips and remaps them, and the range of inputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from analogjax import physics, pytree, random
from analogjax.errors import ConfigError
from analogjax.physics import (
    AddNormal,
    ChannelMaxClip,
    ColumnwiseRemap,
    Discretize,
    DiscretizeAddNormal,
    Dorefa,
    DropConnect,
    ExceptLastColumn,
    FixedClip,
    GaussianClip,
    InputRange,
    LayerwiseRemap,
    MaxRange,
    MovingQuantileRange,
    MovingStdRange,
    MultNormal,
    PCMNoise,
    Poly,
    ProgNoise,
    QuantileRange,
)

MODIFIERS = [
    Discretize(res=0.25), Discretize(res=0.25, sto_round=True), Discretize(res=5, like_converters=True),
    MultNormal(std_dev=0.2), AddNormal(std_dev=0.2), DiscretizeAddNormal(res=0.25, std_dev=0.1),
    Dorefa(res=0.1), Poly(), ProgNoise(), PCMNoise(pcm_t_inference=60.0), DropConnect(pdrop=0.5),
    DropConnect(pdrop=0.2, modifier=AddNormal(std_dev=0.1)), ExceptLastColumn(modifier=AddNormal(std_dev=0.1)),
]  # fmt: skip
W = jnp.asarray([[0.4, -0.1, 0.0], [-0.8, 0.3, 0.2]])
N = 20_000


def many(modifier, w, n=N, seed=0):
    """`n` disturbed copies."""
    return np.asarray(jax.jit(jax.vmap(lambda key: modifier.modify(w, key)))(jax.random.split(random.key(seed), n)))


@pytest.mark.parametrize("modifier", MODIFIERS, ids=lambda modifier: repr(modifier)[:50])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_modifier_keeps_shape_and_type_and_repeats(modifier, dtype):
    w = W.astype(dtype)
    first, second = (modifier.modify(w, random.key(3)) for _ in range(2))
    assert isinstance(modifier, physics.WeightModifier)
    assert first.shape == w.shape and first.dtype == w.dtype
    np.testing.assert_array_equal(first, second)
    assert bool(jnp.all(jnp.isfinite(modifier.modify(jnp.zeros_like(w), random.key(4)))))


def test_a_modifier_of_ones_own_is_a_class_with_one_method():
    @pytree
    class Stuck:
        """Every weight of one output reads the same."""

        row: int

        def modify(self, w, key):
            return w.at[self.row].set(0.1)

    assert isinstance(Stuck(row=1), physics.WeightModifier)
    seen = DropConnect(pdrop=0.0, modifier=Stuck(row=1)).modify(W, random.key(0))
    np.testing.assert_array_equal(seen, W.at[1].set(0.1))


def test_rounding_is_half_away_from_zero_and_relative_to_the_largest_weight():
    w = jnp.asarray([[1.0, 0.5, -0.5, 0.125, -0.375]])
    np.testing.assert_allclose(Discretize(res=0.25).modify(w, random.key(0)), [[1.0, 0.5, -0.5, 0.25, -0.5]])
    # of the converters: 0.25 of the full range of 2, half to even; 4 steps are the same
    for res in (0.25, 4):
        seen = Discretize(res=res, like_converters=True).modify(w[:, :4], random.key(0))
        np.testing.assert_allclose(seen, [[1.0, 0.5, -0.5, 0.0]])


def test_a_sweep_of_strengths_is_one_compilation():
    strengths = jnp.asarray([0.0, 0.1, 1.0])
    seen = jax.vmap(lambda std: AddNormal(std_dev=std).modify(W, random.key(1)))(strengths)
    np.testing.assert_allclose(seen[0], W)
    np.testing.assert_allclose(seen[2] - W, 10 * (seen[1] - W), rtol=1e-4, atol=1e-6)


def test_missing_connections_n_20k():
    fraction = (many(DropConnect(pdrop=0.3), jnp.ones((2, 3))) == 0).mean(0)
    assert np.all(np.abs(fraction - 0.3) < 5 * np.sqrt(0.3 * 0.7 / N))


def test_the_last_column_is_left_alone_and_does_not_count():
    w = jnp.asarray([[0.5, 9.0], [-0.25, -9.0]])
    seen = many(ExceptLastColumn(modifier=AddNormal(std_dev=0.1)), w)
    np.testing.assert_array_equal(seen[..., 1], np.broadcast_to(w[:, 1], (N, 2)))
    # the largest of the others is 0.5; a standard deviation is known to 1 / sqrt(2 n)
    assert np.all(np.abs(seen[..., 0].std(0) / 0.05 - 1) < 5 / np.sqrt(2 * N))


class TestPhaseChangeMemory:
    def test_programming_noise_n_20k(self):
        h = np.array([0.1, 0.5, 1.0])
        seen = many(PCMNoise(std_dev=0.1, pcm_t0=1e-9), jnp.asarray([h]))[:, 0]  # read at once: no noise of the read
        expected = 0.1 * (0.26348 + 1.9650 * h - 1.1731 * h**2) / 25
        assert np.all(np.abs(seen.std(0) / expected - 1) < 5 / np.sqrt(2 * N))
        assert np.all(np.abs(seen.mean(0) - h) < 5 * expected / np.sqrt(N))

    def test_signs_stay_and_nothing_stays_nothing(self):
        seen = many(PCMNoise(std_dev=20.0), W)
        assert np.all(seen * np.asarray(W) >= 0) and np.all(seen[:, W == 0] == 0)

    def test_small_targets_are_not_programmed(self):
        # the noise at 0 is 0.26 uS, or 0.0105 of the largest weight
        seen = many(PCMNoise(pcm_zero_thres=2.0), jnp.asarray([[1.0, 0.02, 0.022]]), 100)
        assert np.all(seen[:, 0, 1] == 0) and np.all(seen[:, 0, 2] != 0)

    def test_stuck_devices_n_20k(self):
        quiet = {"std_dev": 0.0}
        w = jnp.asarray([[1.0, 0.5]])
        reset = (many(PCMNoise(pcm_prob_at_reset=0.2, **quiet), w)[:, 0, 1] == 0).mean()
        # beside one at g_max a pair of 0.5 reads 1 or 0.5 - 1 = -0.5, which keeps its sign by reflection
        full = np.isclose(many(PCMNoise(pcm_prob_at_gmax=0.2, **quiet), w)[:, 0, 1], 1.0).mean()
        sizes = many(PCMNoise(pcm_prob_at_random=1.0, **quiet), w)[:, 0, 1]
        assert abs(reset - 0.2) < 5 * np.sqrt(0.16 / N) and abs(full - 0.1) < 5 * np.sqrt(0.09 / N)
        assert abs(sizes.mean() - 0.5) < 5 * np.sqrt(1 / 12 / N)

    def test_drift_varies_from_device_to_device_n_20k(self):
        seen = many(PCMNoise(std_dev=0.0, pcm_t_inference=980.0), jnp.asarray([[1.0]]))[:, 0, 0]
        exponents = -np.log(seen) / np.log(50.0)  # |s xi|, s = 0.008 at g_max
        mean, spread = 0.008 * np.sqrt(2 / np.pi), 0.008 * np.sqrt(1 - 2 / np.pi)
        assert abs(exponents.mean() - mean) < 5 * spread / np.sqrt(N)


@pytest.mark.parametrize("clip", [FixedClip(fixed_value=0.2), GaussianClip(sigma=1.0), ChannelMaxClip()])
def test_padding_does_not_count(clip):
    w = jnp.asarray(np.random.default_rng(0).normal(size=(4, 5)), jnp.float32)
    padded, used = jnp.pad(w, ((0, 2), (0, 3))), jnp.pad(jnp.ones_like(w), ((0, 2), (0, 3)))
    assert isinstance(clip, physics.WeightClip)
    np.testing.assert_allclose(clip.clip(padded, used)[:4, :5], clip.clip(w), rtol=1e-6)
    assert float(jnp.max(jnp.abs(clip.clip(w)))) < float(jnp.max(jnp.abs(w)))


def test_a_range_of_nothing_clips_nothing():
    same = jnp.full((3, 2), 0.7)
    np.testing.assert_array_equal(GaussianClip(sigma=2.0).clip(same), same)
    np.testing.assert_allclose(GaussianClip(sigma=99.0, fixed_value=0.5).clip(W), jnp.clip(W, -0.5, 0.5))


@pytest.mark.parametrize(
    "remap", [LayerwiseRemap(), LayerwiseRemap(one_scale=True, remapped_wmax=0.6), ColumnwiseRemap(),
              ColumnwiseRemap(max_scale_range=1.5), ColumnwiseRemap(max_scale_range=2.0, max_scale_ref=0.9)],
)  # fmt: skip
@pytest.mark.parametrize("scale", [jnp.asarray(0.5), jnp.asarray([0.5, 2.0, 1.0])])
def test_remapping_leaves_the_product(remap, scale):
    w = jnp.concatenate([W, jnp.zeros((1, 3))])  # an output of zeros stays one
    new, scales = remap.remap(w, scale)
    rows = [jnp.broadcast_to(one, (3,))[:, None] for one in (scale, scales)]
    assert isinstance(remap, physics.WeightRemap)
    np.testing.assert_allclose(new * rows[1], w * rows[0], rtol=1e-5)
    assert scales.shape == (scale.shape if isinstance(remap, LayerwiseRemap) else (3,))
    assert bool(jnp.all(jnp.isfinite(new)))


def test_remapped_weights_fill_the_range():
    for remap, peaks in ((LayerwiseRemap(remapped_wmax=0.6), [0.3, 0.6]), (ColumnwiseRemap(), [1.0, 1.0])):
        new, _ = remap.remap(W, jnp.asarray(1.0))
        np.testing.assert_allclose(jnp.max(jnp.abs(new), axis=1), peaks, rtol=1e-6)
    rows = jnp.asarray(np.random.default_rng(2).normal(size=(300, 7)), jnp.float32)
    new, _ = ColumnwiseRemap().remap(rows, jnp.asarray(1.0))
    assert bool(jnp.all(jnp.max(jnp.abs(new), axis=1) == 1.0))  # exactly, so that remapping again changes nothing


class TestInputRange:
    x = jnp.asarray([[0.5, 2.0, -3.0, 1.0], [0.0, -0.5, 4.0, -1.0]])

    def test_beyond_the_range_inputs_are_clipped_and_gradients_pass(self):
        y, back = jax.vjp(lambda x, r: InputRange().limit(x, r), self.x, jnp.asarray(1.0))
        dx, _ = back(jnp.full_like(self.x, 0.3))
        np.testing.assert_allclose(y, jnp.clip(self.x, -1, 1))
        np.testing.assert_allclose(dx, jnp.full_like(self.x, 0.3))

    def test_the_range_grows_where_a_clipped_input_would_be_larger(self):
        d = jnp.asarray([[1.0, -0.5, 0.25, 1.0], [1.0, 1.0, 2.0, -4.0]])
        p = InputRange(gradient_relative=False, decay=0.0)
        # 2 (d < 0), -3 (d > 0) and nothing of 1 (d > 0), 4 (d > 0), -1 (d < 0)
        assert float(p.gradient(self.x, d, jnp.asarray(1.0))) == pytest.approx(-0.75)
        relative = InputRange(decay=0.0, gradient_scale=3.0)
        assert float(relative.gradient(self.x, d, jnp.asarray(0.9))) == pytest.approx(-0.75 * 0.9 * 3)
        dr = jax.grad(lambda r: jnp.sum(d * relative.limit(self.x, r)))(jnp.asarray(0.9))
        assert float(dr) == pytest.approx(-0.75 * 0.9 * 3)
        assert float(InputRange(learn=False).gradient(self.x, d, jnp.asarray(1.0))) == 0.0

    def test_it_shrinks_where_little_is_clipped(self):
        p, none = InputRange(decay=0.1, input_min_percentage=0.8), jnp.zeros_like(self.x)
        assert float(p.gradient(self.x, none, jnp.asarray(5.0))) == pytest.approx(0.5)
        assert float(p.gradient(self.x, none, jnp.asarray(2.5))) == 0.0  # 6 of 8 are within

    def test_it_grows_where_outputs_are_clipped(self):
        p, none = InputRange(decay=0.0, manage_output_clipping=True), jnp.zeros_like(self.x)
        assert float(p.gradient(self.x, none, jnp.asarray(2.0), 0.9)) == pytest.approx(-0.2)
        assert float(p.gradient(self.x, none, jnp.asarray(2.0), 0.96)) == 0.0
        assert float(p.gradient(self.x, none, jnp.asarray(2.0))) == 0.0

    def test_the_first_batches_set_it(self):
        p = InputRange(init_from_data=2, init_std_alpha=2.0)
        r, seen, told = jnp.asarray(p.init_value), jnp.asarray(0), []
        for x in (self.x, jnp.zeros((2, 4)), jnp.ones((1, 1)), 2 * self.x, 9 * self.x):
            r, seen = p.from_data(x, r, seen)
            told.append((round(float(r), 5), int(seen)))
        std = float(np.std(self.x, ddof=1))
        first, second = round(2 * std, 5), round(3 * std, 5)
        assert told == [(first, 1), (first, 1), (first, 1), (pytest.approx(second), 2), (pytest.approx(second), 2)]


class TestCalibration:
    x = jnp.asarray(np.random.default_rng(1).normal(size=(5, 30, 4)), jnp.float32).at[:, 20:].set(0.0)
    told = np.asarray(x[:, :20])

    @pytest.mark.parametrize(
        ("estimator", "expected"),
        [
            (MaxRange(), np.abs(told).max()),
            (QuantileRange(quantile=0.9), np.quantile(told, 0.9)),
            (MovingQuantileRange(quantile=0.9), np.mean([np.quantile(batch, 0.9) for batch in told])),
            (MovingQuantileRange(quantile=1), np.mean([np.abs(batch).max() for batch in told])),
            (MovingStdRange(alpha=2.5), np.mean([2.5 * batch.std(ddof=1) for batch in told])),
        ],
    )
    def test_a_range_of_vectors_that_are_not_zero(self, estimator, expected):
        assert isinstance(estimator, physics.RangeEstimator)
        observe = jax.jit(lambda estimator, x: estimator.observe(x, random.key(0)))
        for x in (jnp.zeros((3, 2, 4)), *self.x):  # any shape in front; a batch of nothing tells nothing
            estimator = observe(estimator, x)
        assert float(estimator.value()) == pytest.approx(float(expected), rel=1e-5)

    @pytest.mark.parametrize(
        "estimator", [MaxRange(), QuantileRange(quantile=0.5), MovingQuantileRange(quantile=0.5), MovingStdRange()]
    )
    def test_a_range_of_nothing_is_0(self, estimator):
        assert float(estimator.value()) == 0.0
        assert float(estimator.observe(jnp.zeros((3, 2)), random.key(0)).value()) == 0.0

    def test_no_more_vectors_are_kept_than_allowed_and_each_as_likely_n_400(self):
        x = jnp.arange(1.0, 11.0)[:, None]

        def kept(key):
            return QuantileRange(quantile=0.5, max_samples=4).observe(x, key).rows[:, 0]

        rows = np.asarray(jax.vmap(kept)(jax.random.split(random.key(5), 400)))
        assert rows.shape == (400, 4) and all(len(set(row)) == 4 for row in rows)
        counts = np.bincount(rows.astype(int).ravel(), minlength=11)[1:] / 400
        assert np.all(np.abs(counts - 0.4) < 5 * np.sqrt(0.24 / 400))


@pytest.mark.parametrize(
    "make",
    [
        lambda: AddNormal(std_dev=-0.1), lambda: MultNormal(std_dev=float("nan")), lambda: Discretize(res=-1),
        lambda: DropConnect(pdrop=1.5), lambda: Poly(coeffs=(0.1, "x")), lambda: ProgNoise(g_max=0),
        lambda: PCMNoise(pcm_t0=0), lambda: AddNormal(std_dev=0.1, assumed_wmax=-1), lambda: FixedClip(fixed_value=0),
        lambda: GaussianClip(sigma=-1), lambda: LayerwiseRemap(remapped_wmax=0),
        lambda: ColumnwiseRemap(remapped_wmax=0.6, max_scale_range=2.0), lambda: InputRange(init_value=0),
        lambda: InputRange(init_from_data=0.5), lambda: InputRange(output_min_percentage=95),
        lambda: QuantileRange(quantile=1.1), lambda: QuantileRange(quantile=0.5, max_samples=0),
        lambda: MovingStdRange(alpha=-1),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(make):
    with pytest.raises(ConfigError, match=r"\(\w+=.*\): "):
        make()
