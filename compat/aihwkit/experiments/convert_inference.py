"""A torch inference as a native one: programmed, drifted and read by one compiled function.

Where an experiment does something of its own that such a function cannot know of, `infer` raises `Obstacle` before
anything has changed.
"""

from collections.abc import Callable
from typing import Any

from analogjax import experiments as native
from analogjax import nn
from analogjax.data import named
from compat.aihwkit.experiments.convert import (
    DOWNLOADED,
    LOSSES,
    Layer,
    Obstacle,
    iterated,
    layers_of,
    need_plain,
    scales,
    taken,
)
from compat.aihwkit.experiments.experiments.inferencing import BasicInferencing
from compat.aihwkit.experiments.experiments.training import catalogued
from compat.aihwkit.simulator.configs.inference import InferenceRPUConfig
from compat.aihwkit.simulator.tiles.programming import is_compiled, native_parts
from compat.torch_package import torch

_OWN = (
    "get_dataset_arguments", "get_dataset_transform", "get_data_loader", "get_model", "inferencing_step", "inference",
    "run",
)  # fmt: skip


def infer(experiment: Any, limit: int, root: Any, device: Any, told: Callable[[dict], None]) -> dict:
    """Program, drift and read `experiment.model`; `told` gets the result so far after each repeat.

    Afterwards the model is the one that was read, with its trained weights. Raises `Obstacle`.
    """
    need_plain(experiment, BasicInferencing, _OWN)
    model = experiment.get_model(experiment.weight_template_id)
    layers = list(layers_of(model))
    noise_model, compensation = _programming(layers)
    compiled = native.BasicInferencing(
        dataset=_tested(experiment, limit, root),
        model=nn.Sequential(*(layer.call for layer in layers)),
        variables=taken(layers),
        batch_size=experiment.batch_size,
        loss_function=LOSSES[experiment.loss_function],
        inference_repeats=experiment.inference_repeats,
        inference_time=float(experiment.inference_time),
        noise_model=noise_model,
        drift_compensation=compensation,
    )
    seed = int(torch.randint(0, 2**31 - 1, ()))
    place = None if device is None else str(device)
    result = native.run_inference(compiled, seed=seed, max_elements=limit, device=place, on_repeat=told)
    experiment.model = model.eval()
    return result


def _programming(layers: list[Layer]) -> tuple[Any, Any]:
    """The noise model of all chips, and their drift compensation, or `None`."""
    configs = [tile.rpu_config for layer in layers for tile in layer.tiles]
    if not configs or any(not isinstance(config, InferenceRPUConfig) for config in configs):
        raise Obstacle("not all of its analog layers have an InferenceRPUConfig")
    if any(config.modifier.enable_during_test for config in configs):
        raise Obstacle("a modifier is enabled during test")
    if any(config.pre_post.input_range.enable for config in configs):
        raise Obstacle("its inputs have a range")
    if not all(is_compiled(config) for config in configs):
        raise Obstacle("a noise model, converter or compensation has methods of its own")
    kinds = {native_parts(config) for config in configs}
    if len(kinds) > 1:
        raise Obstacle("its layers have noise models or compensations of their own")
    return kinds.pop()


def _tested(experiment: Any, limit: int, root: Any) -> native.Arrays:
    """The test split in memory, images as torch sees them."""
    name = catalogued(experiment.dataset)
    if not name:
        split = iterated(experiment, False, limit, root)
        return native.Arrays(split, split)
    known = named(name)
    split = known.load(root, train=False, download=name in DOWNLOADED).head(limit).channels_first()
    return native.Arrays(split, split, name, *scales(experiment, known))
