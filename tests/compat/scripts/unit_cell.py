"""A unit cell of three devices, updated in turn."""

import torch
from aihwkit.nn import AnalogLinear
from aihwkit.optim import AnalogSGD
from aihwkit.simulator.configs import (
    ConstantStepDevice,
    SoftBoundsDevice,
    UnitCellRPUConfig,
    VectorUnitCell,
    VectorUnitCellUpdatePolicy,
)

torch.manual_seed(1)
config = UnitCellRPUConfig()
config.device = VectorUnitCell(
    unit_cell_devices=[ConstantStepDevice(w_max=0.4), SoftBoundsDevice(), SoftBoundsDevice()]
)
config.device.update_policy = VectorUnitCellUpdatePolicy.SINGLE_SEQUENTIAL
print(config)
layer = AnalogLinear(3, 2, rpu_config=config)
optimizer = AnalogSGD(layer.parameters(), lr=0.2)
optimizer.regroup_param_groups(layer)
x, y = torch.rand(6, 3), torch.rand(6, 2)
for _ in range(60):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(layer(x), y)
    loss.backward()
    optimizer.step()
    print(f"loss {loss.item():.6f}")
