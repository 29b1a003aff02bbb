"""The tolerances of every test: `analogjax.testing.closeness`, and tests of counts and distributions.

    count: |k - n p| <= n_se sqrt(n p (1 - p))

Distributions: Kolmogorov-Smirnov or chi-squared, p-value above `P_MIN`.
"""

import numpy as np
from scipy import stats

from analogjax.testing.closeness import TOLERANCE as TOLERANCE
from analogjax.testing.closeness import assert_close as assert_close
from analogjax.testing.closeness import assert_mean as assert_mean
from analogjax.testing.closeness import assert_same_bits as assert_same_bits
from analogjax.testing.closeness import assert_std as assert_std
from analogjax.testing.closeness import tolerance as tolerance

P_MIN = 1e-4


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
