"""Numbers of fewer bits, and the equivalent circuit of a column; expected are the formats of other libraries, and the
circuit solved as a system of equations."""

import numpy as np
import pytest
import torch
from aihwkit.exceptions import ArgumentError, InputTypeError
from aihwkit.extension import EXTENSION_COMPILED, FloatPrecisionCast, extension_ops
from aihwkit.extension.aihwkit_extension.ops import float_precision_cast, thevenin_equiv

VALUES = torch.tensor([0.0, 1.0, -1.0, 1.03, -1.97, 3.14159, -1e-3, 0.2, 511.0, -513.0, 1e9, -1e9, 1e-9, torch.inf])


def test_all_operators_are_there():
    assert EXTENSION_COMPILED and extension_ops.float_precision_cast is float_precision_cast


def test_seven_bits_are_bfloat16_with_halves_away_from_zero():
    x = torch.randn(1000, generator=torch.Generator().manual_seed(1))  # no halves among them
    assert torch.equal(float_precision_cast(x, 8, 7, True), x.bfloat16().float())


@pytest.mark.parametrize(("exponent", "mantissa"), [(3, 4), (5, 10), (4, 3), (6, 9), (8, 12)])
@pytest.mark.parametrize("to_inf", [True, False])
def test_fewer_bits(exponent, mantissa, to_inf):
    found = float_precision_cast(VALUES, exponent, mantissa, to_inf).double().numpy()
    bias = 2 ** (exponent - 1) - 1
    least, too_large = 2.0 ** (1 - bias), 2.0 ** (2**exponent - 1 - bias)
    for x, y in zip(VALUES.double().numpy(), found, strict=True):
        if abs(x) < 0.9 * least:  # and nothing is between that and the least number
            assert y == 0
        elif abs(x) < too_large * (1 - 2.0**-mantissa):
            step = 2.0 ** (np.floor(np.log2(abs(x))) - mantissa)
            assert y / step == np.round(y / step)
            assert abs(y - x) <= (step if (exponent, mantissa) == (6, 9) else step / 2)
        else:
            assert np.sign(y) == np.sign(x) and (np.isinf(y) if to_inf else abs(y) >= too_large / 2)


def test_the_example_of_aihwkits_documentation():
    x = 1 + torch.tensor([1.0, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64])
    expected = torch.tensor([2.0, 1.5, 1.25, 1.125, 1.0625, 1.0625, 1.0])
    assert torch.equal(float_precision_cast(x, 3, 4, False), expected)


def test_as_a_layer_the_gradient_passes():
    x = torch.tensor([0.3, -0.7], requires_grad=True)
    y = FloatPrecisionCast(5, 3, saturate_to_inf=False)(x)
    assert y.tolist() == [0.3125, -0.6875]
    (3 * y).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_other_numbers_and_bits_are_refused():
    with pytest.raises(InputTypeError, match=r"torch.float64, and float32"):
        float_precision_cast(VALUES.double(), 5, 3, True)
    with pytest.raises(ArgumentError, match="exponent=9"):
        float_precision_cast(VALUES, 9, 3, True)


def test_a_column_is_what_kirchhoff_says():
    rng = np.random.default_rng(2)
    x = torch.tensor(rng.uniform(-1, 1, (2, 5)))
    gp, gm = (torch.tensor(rng.uniform(1, 20, (3, 5))) for _ in range(2))
    r_s, steps = 4e4, 4  # so large that wires matter
    voltage, resistance = thevenin_equiv(x, gp, gm, r_s, 1.0, steps).numpy()
    assert voltage.shape == (2, 3, steps)
    wire = 1e-6 * r_s
    for b, o, n in np.ndindex(2, 3, steps):
        t = n / (steps - 1)
        on = np.where(x[b].numpy() > t, 0.2, 0.0) - np.where(x[b].numpy() < -t, 0.2, 0.0)
        p, m = gp[o].numpy(), gm[o].numpy()
        # nodes 0..4 along the column, each with its two devices, wires between neighbours; no current to the ADC
        laplace = np.diag(p + m) + (np.diag([1, 2, 2, 2, 1]) - np.eye(5, k=1) - np.eye(5, k=-1)) / wire
        assert voltage[b, o, n] == pytest.approx(np.linalg.solve(laplace, p * (0.4 + on) + m * (0.4 - on))[-1])
        assert resistance[b, o, n] == pytest.approx(np.linalg.inv(laplace)[-1, -1] + wire / 2)
