"""A matrix on chips as an operator; expected products are those of numpy, on an exact tile."""

import numpy as np
import pytest
import torch
from aihwkit.exceptions import InputTypeError
from aihwkit.linalg import AnalogMatrix
from aihwkit.simulator.configs import ConstantStepDevice, FloatingPointRPUConfig, SingleRPUConfig
from aihwkit.simulator.parameters import IOParameters
from scipy.sparse.linalg import gmres

W = np.arange(12, dtype=np.float32).reshape(3, 4) / 12 - 0.3
X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
D = np.linspace(1, -0.5, 6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def exact():
    return AnalogMatrix(W, FloatingPointRPUConfig())


def test_products_take_rows_as_in_aihwkit(exact):
    np.testing.assert_allclose(exact @ X, X @ W.T, rtol=1e-5)
    np.testing.assert_allclose(D @ exact, D @ W, rtol=1e-5)
    np.testing.assert_allclose(exact @ X[0], W @ X[0], rtol=1e-5)
    np.testing.assert_allclose(D[0] @ exact, D[0] @ W, rtol=1e-5, atol=1e-7)
    y, x = exact @ torch.tensor(X), torch.tensor(D) @ exact
    assert isinstance(y, torch.Tensor) and isinstance(x, torch.Tensor) and not y.requires_grad
    np.testing.assert_allclose(y, X @ W.T, rtol=1e-5)


def test_scipy_takes_columns(exact):
    assert exact.shape == (3, 4) and exact.dtype == np.float32
    np.testing.assert_allclose(exact.matmat(X.T), W @ X.T, rtol=1e-5)
    np.testing.assert_allclose(exact.rmatmat(D.T), W.T @ D.T, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(exact.matvec(X[:1].T), W @ X[:1].T, rtol=1e-5)
    np.testing.assert_allclose((2 * exact).T @ D[0], 2 * W.T @ D[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose((exact + exact).H.matvec(D[0].astype(float)), 2 * W.T @ D[0], rtol=1e-5, atol=1e-7)


def test_a_solver_of_scipy_runs_on_chips():
    a = np.eye(4) + 0.2 * W[[0, 1, 2, 0]]
    x, info = gmres(AnalogMatrix(a, FloatingPointRPUConfig()), np.ones(4), rtol=1e-5)
    assert info == 0
    np.testing.assert_allclose(a @ x, np.ones(4), atol=1e-4)


def test_a_rank_update(exact):
    exact.ger(X, torch.tensor(D), 0.5)
    np.testing.assert_allclose(exact @ np.eye(4), (W + 0.5 * D.T @ X).T, rtol=1e-5, atol=1e-6)
    exact.ger(X[0], D[0])
    np.testing.assert_allclose(exact @ np.eye(4), (W + 0.5 * D.T @ X + np.outer(D[0], X[0])).T, rtol=1e-5, atol=1e-6)


def test_an_update_pulses_the_devices():
    config = SingleRPUConfig(
        device=ConstantStepDevice(dw_min=0.01, dw_min_dtod=0, dw_min_std=0, w_max_dtod=0, w_min_dtod=0, up_down_dtod=0),
        forward=IOParameters(is_perfect=True),
    )  # fmt: skip
    matrix = AnalogMatrix(np.zeros((2, 3)), config)
    matrix.ger(np.ones((1, 3)), np.ones((1, 2)), 0.05)
    steps = (matrix @ np.eye(3)) / 0.01
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)  # whole pulses, up
    assert steps.min() > 0


def test_a_large_matrix_is_cut_over_chips():
    config = FloatingPointRPUConfig()
    config.mapping.max_input_size, config.mapping.max_output_size = 3, 2
    cut = AnalogMatrix(torch.tensor(W), config, device="cpu")
    np.testing.assert_allclose(cut @ X, X @ W.T, rtol=1e-5)
    np.testing.assert_allclose(D @ cut.to("cpu"), D @ W, rtol=1e-5)


def test_what_does_not_fit(exact):
    with pytest.raises(InputTypeError, match="real numbers"):
        exact @ X.astype(complex)
    with pytest.raises(InputTypeError, match=r"\(2,\) and A 3 x 4"):
        D[0, :2] @ exact
