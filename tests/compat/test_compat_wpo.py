"""Weight programming optimisation by aihwkit's names."""

import numpy as np
import pytest
import torch
from aihwkit.exceptions import ConfigError
from aihwkit.inference import (
    CustomPairConductanceConverter,
    DualPairConductanceConverter,
    PCMLikeNoiseModel,
    SinglePairConductanceConverter,
)
from aihwkit.inference.converter import wpo

from tests.compat.chips import Halves, config


def optimizer(f_lst, noise_model=None, baseline=None, **settings):
    made = config(noise_model or PCMLikeNoiseModel(), max_input_size=32)
    quick = {"popsize": 2, "maxiter": 2, "baseline_iterations": 3, "polish": False, "disp": False, "callback": None}
    baseline = baseline or SinglePairConductanceConverter(g_min=0.5)
    return wpo.WeightProgrammingOptimizer(
        torch.randn(16, 16), f_lst, made, [1.0, 3600.0], baseline, **(quick | {"nbins": 3} | settings)
    )


def test_weights_are_sampled_by_rank():
    weights = torch.arange(101.0)[torch.randperm(101)] / 100
    few = wpo.downsample_weight_distribution(weights, torch.Size([3, 7]))
    assert torch.allclose(few.flatten().sort()[0], torch.linspace(0, 1, 21), atol=1e-6)
    many = wpo.downsample_weight_distribution(weights, torch.Size([301]))
    assert torch.allclose(many.sort()[0], torch.linspace(0, 1, 301), atol=1e-6)
    assert sorted(wpo.shuffle_weights(weights).tolist()) == sorted(weights.tolist())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("f_lst", [[1.0], [1.0, 3.0], [None, 2.0, None]])
def test_every_point_is_a_table_that_leads_back(f_lst, symmetric):
    made = optimizer(f_lst, symmetric=symmetric)
    bounds = made.generate_hop_bounds()
    x = np.random.default_rng(0).random(len(bounds))
    f, g = wpo.denormalize(x, vars(made))
    CustomPairConductanceConverter(f, g, g_max=made.g_max, g_min=made.g_min)  # raises if it does not
    parted, k_w, x_g = wpo.partition_parameters(x, vars(made))
    assert np.allclose(parted, f) and len(x_g) == len(bounds) - 1 - f_lst.count(None)
    held = sum(a * (np.array(plus) - minus) for a, plus, minus in zip(f, g[::2], g[1::2], strict=True))
    assert np.isclose(np.abs(held).max(), float(k_w * made.max_abs_weight_unitless), rtol=1e-5)
    rows, length = wpo.reformat_x_g(x_g, len(f), symmetric)
    assert length == len(g[0]) == 5 and len(rows) == 2 * len(f) - 1 and rows[0][0] == x_g[0]
    assert wpo.span_of_remaining_pairs([1.0, 2.0, 4.0], 1) == 6.0 and wpo.span_of_remaining_pairs([1.0], 1) == 0


@pytest.mark.parametrize("f_lst", [[1.0], [1.0, None]])
def test_an_optimizer_finds_tables_and_says_how_good_they_are(f_lst):
    torch.manual_seed(1)
    made = optimizer(f_lst, loss_margin=-1e9)
    converter, success = made.run_optimizer()
    assert success is True and len(converter.f_lst) == len(f_lst) and len(converter.g_lst) == 2 * len(f_lst)
    assert (converter.g_min, converter.g_max) == (0.5, 25.0) and made.rpu_config.noise_model.g_converter == converter
    assert 0 < made.loss_baseline < 10 and made.best_loss > 0
    made = optimizer(f_lst, loss_margin=1e9)
    assert made.run_optimizer()[1] > 0  # not beaten


def test_the_baseline_is_that_of_its_converter():
    torch.manual_seed(3)
    losses = [
        optimizer([1.0], baseline=one, baseline_iterations=30).get_loss_baseline()
        for one in (SinglePairConductanceConverter(), DualPairConductanceConverter([1.0, 3.0]))
    ]
    assert losses[1] < 0.6 * losses[0]  # errors of small weights count a quarter


def test_one_by_one_is_what_all_at_once_is_n_100():
    torch.manual_seed(2)
    made = optimizer([1.0, 3.0], baseline=DualPairConductanceConverter([1.0, 3.0]))
    made.loss_baseline = made.get_loss_baseline()
    x = np.full(len(made.generate_hop_bounds()), 0.6)
    at_once = made._together()(np.repeat(x[:, None], 100, axis=1))
    pickled = wpo.pickle.dumps(vars(made))
    singly = np.array([wpo.loss_fxn(x, pickled) for _ in range(100)])
    error = np.hypot(at_once.std(), singly.std()) / 10
    assert abs(at_once.mean() - singly.mean()) < 4 * error


def test_methods_of_users_are_asked():
    made = optimizer([1.0], Halves(), popsize=1, maxiter=1, workers=1)
    made.run_optimizer()
    assert made.loss_baseline > 2  # half of each weight is lost: 100 times a quarter of the mean square


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match=r"pop_size not known; there are .*popsize"):
        optimizer([1.0], pop_size=3)
    with pytest.raises(ConfigError, match="device='cuda'"):
        optimizer([1.0], device="cuda")
    with pytest.raises(TypeError, match="a int is no converter of pairs"):
        optimizer([1.0], baseline=3)


def test_the_criterion_stops_below_zero(capsys):
    class Result:
        fun = 0.5

    wpo.stop_criterion(Result())
    Result.fun = -0.1
    with pytest.raises(StopIteration):
        wpo.stop_criterion(Result())
    assert "loss margin = 0.5000000000" in capsys.readouterr().out
