"""Several analog layers in a row, in torch's own container."""

import torch
from aihwkit.nn import AnalogLinear
from aihwkit.optim import AnalogSGD
from aihwkit.simulator.configs import SingleRPUConfig, SoftBoundsDevice

torch.manual_seed(1)


def make(inputs, outputs):
    return AnalogLinear(inputs, outputs, rpu_config=SingleRPUConfig(device=SoftBoundsDevice()))


model = torch.nn.Sequential(make(4, 4), torch.nn.Tanh(), make(4, 4), torch.nn.Tanh(), make(4, 1))
x = torch.rand(8, 4)
y = x.mean(1, keepdim=True)
optimizer = AnalogSGD(model.parameters(), lr=0.3)
optimizer.regroup_param_groups(model)
for _ in range(60):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    print(f"loss {loss.item():.6f}")
