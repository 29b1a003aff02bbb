"""Training of a model in torch, as aihwkit's programs do it."""

from aihwkit.optim import AnalogSGD


def losses_of(model, loss_of, lr, steps):
    """The loss before each step of `AnalogSGD`; `loss_of()` computes it anew."""
    optimizer = AnalogSGD(model.parameters(), lr=lr)
    optimizer.regroup_param_groups(model)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
