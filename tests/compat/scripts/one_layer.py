"""One analog layer learns a linear map."""

import torch
from aihwkit.nn import AnalogLinear
from aihwkit.optim import AnalogSGD
from aihwkit.simulator.configs import ConstantStepDevice, SingleRPUConfig
from aihwkit.simulator.rpu_base import cuda

torch.manual_seed(1)
inputs = torch.rand(8, 4)
targets = inputs @ torch.tensor([[0.2, -0.1], [0.1, 0.3], [-0.3, 0.1], [0.1, 0.2]])
layer = AnalogLinear(4, 2, bias=True, rpu_config=SingleRPUConfig(device=ConstantStepDevice()))
assert not cuda.is_compiled()
optimizer = AnalogSGD(layer.parameters(), lr=0.2)
optimizer.regroup_param_groups(layer)
for _ in range(60):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(layer(inputs), targets)
    loss.backward()
    optimizer.step()
    print(f"loss {loss.item():.6f}")
