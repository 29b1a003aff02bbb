"""Layers of chips that are programmed once, and materials with methods of their own."""

import torch
from aihwkit.inference import GlobalDriftCompensation, PCMLikeNoiseModel
from aihwkit.nn import AnalogLinear
from aihwkit.simulator.configs import InferenceRPUConfig

QUIET = {"prog_noise_scale": 0.0, "read_noise_scale": 0.0}


def config(noise_model=None, compensation=None, kind=InferenceRPUConfig, **mapping):
    made = kind()
    made.forward.is_perfect, made.drift_compensation = True, compensation
    made.noise_model = PCMLikeNoiseModel(**QUIET) if noise_model is None else noise_model
    for name, value in mapping.items():
        setattr(made.mapping, name, value)
    return made


def linear(value, made, layer=AnalogLinear):
    model = layer(3, 2, bias=False, rpu_config=made)
    model.set_weights(torch.full((2, 3), value))
    return model.eval()


def answer(model):
    return model(torch.ones(1, 3)).detach()


class Halves(PCMLikeNoiseModel):
    def apply_programming_noise_to_conductance(self, g_target):
        return 0.5 * g_target


class EachOutput(GlobalDriftCompensation):
    """One factor for each output."""

    def readout(self, out_tensor):
        return out_tensor.abs().mean(dim=0).clamp(min=1e-4)
