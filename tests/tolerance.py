r"""The tolerances of every test, and statistical assertions that derive theirs.

Deterministic values. `assert_close` compares with a relative tolerance of a few rounding errors of the dtype and an
absolute one of the same size at the scale of the largest expected entry:

    |a - b| <= rtol |b| + rtol max|b|,     rtol = TOLERANCE[dtype], ten times larger on accelerators

Statistical values. A sample `x_1..x_n` (independent) is compared in standard errors:

    mean:  |m - mu| <= n_se s / sqrt(n) + floor            s: sample standard deviation
    std:   |s - sigma| <= n_se sqrt((m4 - s^4) / n) / (2 s) + floor      m4: fourth central moment (delta method)
    count: |k - n p| <= n_se sqrt(n p (1 - p))

`floor = eps max|x|` is the rounding of one stored value: a mean of float32 values may be off by that much.
Distributions: Kolmogorov-Smirnov or chi-squared, p-value above `P_MIN`.
"""

import jax
import numpy as np
from scipy import stats

TOLERANCE = {"float64": 1e-12, "float32": 2e-6, "bfloat16": 2e-2, "float16": 2e-3}
ACCELERATOR = 10.0  # other fusions, other rounding
P_MIN = 1e-4


def tolerance(dtype) -> float:
    """The relative tolerance of `dtype` on the present backend."""
    return TOLERANCE[np.dtype(dtype).name] * (1.0 if jax.default_backend() == "cpu" else ACCELERATOR)


def assert_close(actual, expected, *, dtype=None, factor: float = 1.0) -> None:
    """`actual` equals `expected` to `factor` times the default tolerance; say beside it why a factor is needed."""
    dtype = dtype or getattr(actual, "dtype", np.float64)
    if np.dtype(dtype).kind in "iub":
        np.testing.assert_array_equal(actual, expected)
        return
    rtol = factor * tolerance(dtype)
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    scale = np.max(np.abs(expected), initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * scale)


def assert_same_bits(actual, expected) -> None:
    """Two pytrees of arrays agree in structure, dtype, shape and every bit."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes(), f"largest difference {np.max(np.abs(a - b))}"


def _sample(sample) -> tuple[np.ndarray, float]:
    stored = np.asarray(sample)
    eps = np.finfo(stored.dtype).eps if stored.dtype.kind == "f" else 0.0
    values = stored.astype(np.float64)
    return values, eps * np.max(np.abs(values))


def assert_mean(sample, expected, n_se: float = 4, slack=0.0) -> None:
    """Mean over axis 0 `[n, ...]` is `expected` within `n_se` standard errors (plus a documented `slack`)."""
    x, floor = _sample(sample)
    error, se = np.abs(x.mean(0) - expected), x.std(0, ddof=1) / np.sqrt(len(x))
    assert np.all(error <= n_se * se + floor + slack), (
        f"mean (n={len(x)}): {x.mean(0)} for {expected}, se {se}, slack {slack}"
    )


def assert_std(sample, expected, n_se: float = 4, slack=0.0) -> None:
    """Standard deviation over axis 0 `[n, ...]` is `expected` within `n_se` standard errors (plus `slack`)."""
    x, floor = _sample(sample)
    s = x.std(0, ddof=1)
    m4 = np.mean((x - x.mean(0)) ** 4, 0)
    se = np.sqrt(np.maximum(m4 - s**4, 0) / len(x)) / (2 * np.maximum(s, 1e-300))
    error = np.abs(s - expected)
    assert np.all(error <= n_se * se + floor + slack), (
        f"standard deviation (n={len(x)}): {s} for {expected}, se {se}, slack {slack}"
    )


def assert_count(count: float, n: float, p: float, n_se: float = 4) -> None:
    """`count` successes of `n` independent trials of probability `p`."""
    se = np.sqrt(n * p * (1 - p))
    assert abs(count - n * p) <= n_se * se, f"{count} of {n}, expected {n * p} +- {se:.3g}"


def assert_poisson(count: float, mean: float, n_se: float = 4) -> None:
    """`count` events of a Poisson process of `mean` (large enough to be nearly normal)."""
    assert abs(count - mean) <= n_se * np.sqrt(mean), f"{count} events, expected {mean} +- {np.sqrt(mean):.3g}"


def assert_ks(sample, cdf, p_min: float = P_MIN) -> None:
    """Kolmogorov-Smirnov: `sample` follows the distribution function `cdf` (or another sample)."""
    result = stats.ks_1samp(np.ravel(sample), cdf) if callable(cdf) else stats.ks_2samp(np.ravel(sample), np.ravel(cdf))
    assert result.pvalue > p_min, f"KS distance {result.statistic:.3g}, p = {result.pvalue:.2g} (n={np.size(sample)})"


def assert_chi2(counts, expected=None, p_min: float = P_MIN) -> None:
    """Chi-squared: `counts` of each bin agree with `expected` (default: all bins equal). Neither tail is accepted."""
    counts = np.ravel(counts).astype(np.float64)
    expected = np.full(counts.shape, counts.mean()) if expected is None else np.ravel(expected)
    chi2 = np.sum((counts - expected) ** 2 / expected)
    p = stats.chi2.sf(chi2, len(counts) - 1)
    assert p_min < p < 1 - p_min, f"chi2 {chi2:.1f} for {len(counts)} bins, p = {p:.2g}"


def assert_z_scores(z, p_min: float = P_MIN) -> None:
    """Independent standardised statistics `z`: their squares add up to a chi-squared."""
    z = np.ravel(z)
    p = stats.chi2.sf(np.sum(z**2), len(z))
    assert p_min < p < 1 - p_min, f"sum z^2 = {np.sum(z**2):.1f} for {len(z)} statistics, p = {p:.2g}"
