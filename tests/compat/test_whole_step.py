"""A training step compiled as a whole does what the torch loop does, layer by layer."""

import numpy as np
import pytest
import torch
from aihwkit.exceptions import ConfigError, TileError
from aihwkit.nn import AnalogConv2d, AnalogLinear, AnalogSequential
from aihwkit.optim import AnalogAdam, AnalogOptimizer, AnalogSGD
from aihwkit.simulator import configs as c
from torch.nn import functional

import compat


def exact(**device):
    perfect = c.IOParameters(is_perfect=True)
    return c.SingleRPUConfig(device=c.IdealDevice(**device), forward=perfect, backward=perfect)


def mixed(config=exact):
    return AnalogSequential(
        AnalogLinear(5, 6, rpu_config=config()),
        torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(6, 4)),
        torch.nn.Sigmoid(),
        AnalogLinear(4, 3, bias=False, rpu_config=config()),
    )


def images(config=exact):
    return AnalogSequential(
        AnalogConv2d(1, 2, 3, rpu_config=config()),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        AnalogLinear(8, 3, rpu_config=config()),
        torch.nn.LogSoftmax(dim=1),
    )


def optimizer_of(model, kind=AnalogSGD, **more):
    optimizer = kind(model.parameters(), **more)
    optimizer.regroup_param_groups(model)
    return optimizer


def layer_by_layer(model, loss, optimizer, x, y, steps):
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def pair(make, **more):
    """Two models alike, each with an optimizer."""
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(make())
    return [(model, optimizer_of(model, **more)) for model in models]


CASES = {
    "momentum of the digital part": (mixed, functional.mse_loss, {"lr": 0.1, "momentum": 0.9}, (7, 5), None),
    "adam": (mixed, torch.nn.SmoothL1Loss(), {"kind": AnalogAdam, "lr": 0.05}, (7, 5), None),
    "sum": (mixed, torch.nn.MSELoss(reduction="sum"), {"lr": 0.02}, (7, 5), None),
    "images": (images, torch.nn.NLLLoss(), {"lr": 0.1}, (4, 1, 6, 6), 3),
    "classes": (images, functional.cross_entropy, {"lr": 0.1}, (4, 1, 6, 6), 3),
}


@pytest.mark.parametrize("name", CASES)
def test_it_does_what_the_layers_do(name):
    make, loss, more, shape, classes = CASES[name]
    (plain, first), (whole, second) = pair(make, **more)
    x = torch.randn(shape)
    y = torch.randint(classes, shape[:1]) if classes else torch.randn(7, 3)
    expected = layer_by_layer(plain, loss, first, x, y, 6)
    step = compat.compile(whole, loss, second)
    np.testing.assert_allclose([step(x, y).item() for _ in range(6)], expected, rtol=2e-4)
    assert expected[-1] < expected[0]
    np.testing.assert_allclose(whole(x).detach(), plain(x).detach(), rtol=1e-3, atol=1e-4)
    for ours, theirs in zip(whole.parameters(), plain.parameters(), strict=True):
        if type(ours) is torch.nn.Parameter:
            np.testing.assert_allclose(ours.detach(), theirs.detach(), rtol=1e-3, atol=1e-4)


def test_the_model_stays_a_torch_model():
    """What the layers hold is read at each step, and holds the result after it."""
    (model, optimizer), _ = pair(mixed, lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.0)
    step, x, y = compat.compile(model, functional.mse_loss, optimizer), torch.randn(7, 5), torch.randn(7, 3)
    before = model[0].get_weights()[0]
    step(x, y)
    after = model[0].get_weights()[0]
    assert not torch.allclose(before, after)
    schedule.step()  # the rate is 0 now
    step(x, y)
    assert torch.equal(model[0].get_weights()[0], after)
    model[0].set_weights(torch.zeros(6, 5), torch.zeros(6))
    value = step(x, y)
    assert value.item() == pytest.approx(functional.mse_loss(model(x), y).item(), rel=1e-5)
    saved = model.state_dict()
    (other, _), _ = pair(mixed, lr=0.1)
    other.load_state_dict(saved)
    np.testing.assert_allclose(other(x).detach(), model(x).detach(), rtol=1e-5, atol=1e-6)
    assert not value.requires_grad


def test_one_seed_gives_the_same_bits():
    x, y = torch.linspace(-1, 1, 35).reshape(7, 5), torch.linspace(0, 1, 21).reshape(7, 3)
    ends = []
    for model, optimizer in pair(lambda: mixed(lambda: c.SingleRPUConfig(device=c.ConstantStepDevice())), lr=0.1):
        step = compat.compile(model, functional.mse_loss, optimizer)
        ends.append([step(x, y).item() for _ in range(5)])
    assert ends[0] == ends[1] and len(set(ends[0])) == 5


def test_devices_rest_after_each_step():
    """A device with a lifetime of 2 mini-batches halves what it holds, also where nothing pulses it."""
    device = c.ConstantStepDevice(lifetime=2.0, lifetime_dtod=0.0, w_max_dtod=0.0, w_min_dtod=0.0)
    config = c.SingleRPUConfig(device=device)
    (model, optimizer), _ = pair(lambda: AnalogSequential(AnalogLinear(2, 2, bias=False, rpu_config=config)), lr=0.0)
    model[0].set_weights(torch.full((2, 2), 0.4))
    compat.compile(model, functional.mse_loss, optimizer)(torch.ones(3, 2), torch.ones(3, 2))
    np.testing.assert_allclose(model[0].get_weights()[0], 0.2, rtol=1e-5)


def test_another_configuration_is_compiled_anew():
    (model, optimizer), _ = pair(mixed, lr=0.1)
    x, y = torch.randn(7, 5), torch.randn(7, 3)
    step = compat.compile(model, functional.mse_loss, optimizer)
    exact_loss = step(x, y).item()
    deaf = exact()
    deaf.forward = c.IOParameters(inp_bound=1e-3, noise_management=c.NoiseManagementType.NONE)
    model.replace_rpu_config(deaf)
    assert step(x, y).item() != pytest.approx(exact_loss, rel=1e-3)


def _frozen(model):
    model[0].requires_grad_(False)


CHANGED = {
    "a hook": (lambda model: hooked(model), "has hooks"),
    "a frozen layer": (_frozen, r"the parameter 0\.analog_module\.\w+ is frozen"),
    "a layer more": (lambda model: model.append(torch.nn.Softplus()), "Softplus"),
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_has_changed_since_is_noticed(name):
    (model, optimizer), _ = pair(mixed, lr=0.1)
    step, x, y = compat.compile(model, functional.mse_loss, optimizer), torch.randn(7, 5), torch.randn(7, 3)
    step(x, y)
    act, says = CHANGED[name]
    act(model)
    before = model[0].get_weights()[0]
    with pytest.raises(ConfigError, match=says):
        step(x, y)
    assert torch.equal(model[0].get_weights()[0], before)


def test_a_layer_in_place_of_another_is_trained():
    (model, optimizer), _ = pair(mixed, lr=0.1)
    step, x, y = compat.compile(model, functional.mse_loss, optimizer), torch.randn(7, 5), torch.randn(7, 3)
    step(x, y)
    model[2] = torch.nn.ReLU()
    value = functional.mse_loss(model(x), y).item()
    assert step(x, y).item() == pytest.approx(value, rel=1e-4)


def test_a_parameter_in_place_of_another_is_trained():
    (model, optimizer), _ = pair(mixed, lr=0.1)
    step, x, y = compat.compile(model, functional.mse_loss, optimizer), torch.randn(7, 5), torch.randn(7, 3)
    step(x, y)
    model[1][1].weight = torch.nn.Parameter(torch.full((4, 6), 0.3))
    value = functional.mse_loss(model(x), y).item()
    assert step(x, y).item() == pytest.approx(value, rel=1e-4)
    assert model[1][1].weight.grad.abs().max() > 0


def test_a_loss_that_is_changed_later_is_taken_as_it_is_then():
    model = mixed()
    loss = torch.nn.MSELoss()
    step = compat.compile(model, loss, optimizer_of(model, lr=0.0))
    x, y = torch.rand(7, 5), torch.rand(7, 3)
    mean = step(x, y)
    loss.reduction = "sum"
    assert torch.allclose(step(x, y), 21 * mean, rtol=1e-5)
    loss.reduction = "none"
    with pytest.raises(ConfigError, match="reduction='none'"):
        step(x, y)


@pytest.mark.parametrize("loss", [torch.nn.CrossEntropyLoss(), torch.nn.CrossEntropyLoss(reduction="sum")])
@pytest.mark.parametrize("classes", [[2, -100, 0, 1, -100], [-100] * 5])
def test_classes_that_torch_ignores_do_not_count(loss, classes):
    (plain, first), (whole, second) = pair(mixed, lr=0.1)
    x, y = torch.randn(5, 5), torch.tensor(classes)
    expected = layer_by_layer(plain, loss, first, x, y, 3)
    step = compat.compile(whole, loss, second)
    np.testing.assert_allclose([step(x, y).item() for _ in range(3)], expected, rtol=1e-4)
    np.testing.assert_allclose(whole(x).detach(), plain(x).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("classes", [[0, 3, 1], [2, -1, -100]])
def test_classes_that_the_model_lacks_change_nothing(classes):
    (model, optimizer), _ = pair(mixed, lr=0.1, momentum=0.9)
    step, x = compat.compile(model, functional.cross_entropy, optimizer), torch.randn(3, 5)
    step(x, torch.tensor([0, 1, 2], dtype=torch.uint8))
    before = [model[0].get_weights()[0], model[1][1].weight.detach().clone()]
    with pytest.raises(TileError, match=f"classes from {min(classes)} to {max(classes)}"):
        step(x, torch.tensor(classes))
    assert torch.equal(model[0].get_weights()[0], before[0]) and torch.equal(model[1][1].weight, before[1])


def test_inputs_that_are_no_tensors_are_named():
    (model, optimizer), _ = pair(mixed, lr=0.1)
    step = compat.compile(model, functional.mse_loss, optimizer)
    with pytest.raises(TypeError, match="x is of list"):
        step([[1.0] * 5], torch.randn(1, 3))


def hooked(model):
    model[0].register_forward_hook(lambda *_: None)
    return model


def tied():
    model = AnalogSequential(torch.nn.Linear(4, 4), AnalogLinear(4, 4, rpu_config=exact()), torch.nn.Linear(4, 4))
    model[2].weight = model[0].weight
    return model


REFUSED = {
    "hooks": (lambda: hooked(mixed()), functional.mse_loss, AnalogSGD, "has hooks"),
    "a module": (lambda: AnalogSequential(AnalogLinear(5, 3, rpu_config=exact()), torch.nn.Dropout(0.5)),
                 functional.mse_loss, AnalogSGD, "Dropout"),
    "nothing analog": (lambda: torch.nn.Sequential(torch.nn.Linear(5, 3)), functional.mse_loss, AnalogSGD, "no analog"),
    "hardware-aware": (lambda: AnalogSequential(AnalogLinear(5, 3, rpu_config=c.InferenceRPUConfig())),
                       functional.mse_loss, AnalogSGD, "hardware-aware"),
    "the loss": (mixed, torch.nn.CTCLoss(), AnalogSGD, "CTCLoss"),
    "a function": (mixed, lambda y, target: y.sum(), AnalogSGD, "no native form"),
    "label smoothing": (mixed, torch.nn.CrossEntropyLoss(label_smoothing=0.1), AnalogSGD, "label_smoothing=0.1"),
    "class weights": (mixed, torch.nn.NLLLoss(weight=torch.ones(3)), AnalogSGD, "weight="),
    "beta": (mixed, torch.nn.SmoothL1Loss(beta=0.5), AnalogSGD, "beta=0.5"),
    "positive weights": (mixed, torch.nn.BCEWithLogitsLoss(pos_weight=torch.full((3,), 4.0)), AnalogSGD, "pos_weight="),
    "tied weights": (lambda: tied(), functional.mse_loss, AnalogSGD, "share one parameter"),
    "no reduction": (mixed, torch.nn.MSELoss(reduction="none"), AnalogSGD, "reduction='none'"),
    "the optimizer": (mixed, functional.mse_loss, torch.optim.SGD, "pulses no tiles"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_native_form_is_refused(name):
    make, loss, kind, says = REFUSED[name]
    model = make()
    with pytest.raises(ConfigError, match=says):
        compat.compile(model, loss, kind(model.parameters(), lr=0.1))


def test_a_tile_that_the_optimizer_lacks_is_refused():
    model = mixed()
    with pytest.raises(ConfigError, match="no parameter group"):
        compat.compile(model, functional.mse_loss, AnalogSGD(model[0].parameters(), lr=0.1))


@pytest.mark.parametrize(
    ("loss", "target"),
    [(functional.mse_loss, torch.zeros(7)), (functional.cross_entropy, torch.zeros(7, 3))],
)
def test_targets_that_do_not_fit_change_nothing(loss, target):
    (model, optimizer), _ = pair(mixed, lr=0.1)
    step, before = compat.compile(model, loss, optimizer), model[0].get_weights()[0]
    with pytest.raises(TileError, match="the loss needs"):
        step(torch.randn(7, 5), target)
    assert torch.equal(model[0].get_weights()[0], before)


def test_any_torch_optimizer_trains_the_digital_part():
    model = mixed()
    optimizer = AnalogOptimizer(torch.optim.RMSprop, model.parameters(), lr=0.01)
    optimizer.regroup_param_groups(model)
    step, x, y = compat.compile(model, functional.mse_loss, optimizer), torch.randn(7, 5), torch.randn(7, 3)
    losses = [step(x, y).item() for _ in range(20)]
    assert losses[-1] < losses[0] and optimizer.state[model[1][1].weight]["step"] == 20
