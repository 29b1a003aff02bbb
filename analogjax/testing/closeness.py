r"""Assertions for tests of physics, with tolerances that follow from rounding and from standard errors.

Deterministic values. `assert_close` compares with a relative tolerance of a few rounding errors of the dtype and an
absolute one of the same size at the scale of the largest expected entry:

    |a - b| <= rtol |b| + rtol max|b|,     rtol = TOLERANCE[dtype], ten times larger on accelerators

Statistical values. A sample `x_1..x_n` (independent) is compared in standard errors:

    mean:  |m - mu| <= n_se s / sqrt(n) + floor            s: sample standard deviation
    std:   |s - sigma| <= n_se sqrt((m4 - s^4) / n) / (2 s) + floor      m4: fourth central moment (delta method)

`floor = eps max|x|` is the rounding of one stored value: a mean of float32 values may be off by that much.
"""

from typing import Any

import jax
import numpy as np

TOLERANCE = {"float64": 1e-12, "float32": 2e-6, "bfloat16": 2e-2, "float16": 2e-3}
ACCELERATOR = 10.0  # other fusions, other rounding


def tolerance(dtype: Any) -> float:
    """The relative tolerance of `dtype` on the present backend."""
    return TOLERANCE[np.dtype(dtype).name] * (1.0 if jax.default_backend() == "cpu" else ACCELERATOR)


def assert_close(actual: Any, expected: Any, *, dtype: Any = None, factor: float = 1.0, terms: float = 0.0) -> None:
    """Assert that `actual` equals `expected` to `factor` times the default tolerance.

    `terms` is the size of what `expected` is a sum of, if that may cancel: the absolute tolerance is at least at its
    scale. Explain next to the call why a factor is needed.
    """
    dtype = dtype or getattr(actual, "dtype", np.float64)
    if np.dtype(dtype).kind in "iub":
        np.testing.assert_array_equal(actual, expected)
        return
    rtol = factor * tolerance(dtype)
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    scale = np.max(np.abs(expected), initial=terms)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * scale)


def assert_same_bits(actual: Any, expected: Any) -> None:
    """Assert that two pytrees of arrays agree in structure, dtype, shape and every bit."""
    one, other = jax.tree.structure(actual), jax.tree.structure(expected)
    assert one == other, f"{one} is not {other}"  # type: ignore[operator]
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes(), f"largest difference {np.max(np.abs(a - b))}"


def _sample(sample: Any) -> tuple[np.ndarray, float]:
    stored = np.asarray(sample)
    eps = np.finfo(stored.dtype).eps if stored.dtype.kind == "f" else 0.0
    values = stored.astype(np.float64)
    return values, eps * np.max(np.abs(values))


def assert_mean(sample: Any, expected: Any, n_se: float = 4, slack: Any = 0.0) -> None:
    """Assert that the mean over axis 0 `[n, ...]` is `expected` within `n_se` standard errors (plus a documented
    `slack`).
    """
    x, floor = _sample(sample)
    error, se = np.abs(x.mean(0) - expected), x.std(0, ddof=1) / np.sqrt(len(x))
    assert np.all(error <= n_se * se + floor + slack), (
        f"mean (n={len(x)}): {x.mean(0)} for {expected}, se {se}, slack {slack}"
    )


def assert_std(sample: Any, expected: Any, n_se: float = 4, slack: Any = 0.0) -> None:
    """Assert that the standard deviation over axis 0 `[n, ...]` is `expected` within `n_se` standard errors (plus
    `slack`).
    """
    x, floor = _sample(sample)
    s = x.std(0, ddof=1)
    m4 = np.mean((x - x.mean(0)) ** 4, 0)
    se = np.sqrt(np.maximum(m4 - s**4, 0) / len(x)) / (2 * np.maximum(s, 1e-300))
    error = np.abs(s - expected)
    assert np.all(error <= n_se * se + floor + slack), (
        f"standard deviation (n={len(x)}): {s} for {expected}, se {se}, slack {slack}"
    )
