"""Which layers of torch have rounded twins, and how these are made."""

import copy
from typing import Any

from compat.aihwkit.exceptions import ArgumentError
from compat.aihwkit.nn.low_precision_modules.quantized_base_modules import (
    QuantConv2d,
    QuantEmbedding,
    QuantLayerNorm,
    QuantLinear,
)
from compat.aihwkit.simulator.digital_low_precision.quantizers import QuantizerBase
from compat.aihwkit.simulator.digital_low_precision.range_estimators import RangeEstimatorBase
from compat.aihwkit.simulator.parameters.quantization import QuantizedModuleConfig
from compat.torch_package import torch

DEFAULT_CONVERSIONS: dict[type, Any] = {
    torch.nn.Linear: QuantLinear,
    torch.nn.LayerNorm: QuantLayerNorm,
    torch.nn.Embedding: QuantEmbedding,
    torch.nn.Conv2d: QuantConv2d,
}
LEAF_MODULES = (RangeEstimatorBase, QuantizerBase)
# the arguments of their constructors that their attributes tell
_ARGUMENTS: dict[type, str] = {
    torch.nn.Linear: "in_features out_features bias",
    torch.nn.LayerNorm: "normalized_shape eps elementwise_affine bias",
    torch.nn.Embedding: "num_embeddings embedding_dim padding_idx max_norm norm_type scale_grad_by_freq sparse",
    torch.nn.Conv2d: "in_channels out_channels kernel_size stride padding dilation groups bias padding_mode",
}


def append_default_conversions(quantization_map: Any) -> None:
    """Give all of `DEFAULT_CONVERSIONS` that have none the default configuration of a `QuantizationMap`."""
    for kind, rounded in DEFAULT_CONVERSIONS.items():
        if kind not in quantization_map.module_qconfig_map:
            config = copy.deepcopy(quantization_map.default_qconfig)
            quantization_map.module_qconfig_map[kind] = QuantizedModuleConfig(rounded, config)


def get_module_args(module: Any, activation: Any = None) -> dict[str, Any]:
    """The arguments of the rounded twin of a layer. Raises `ArgumentError` where there is none."""
    kind = next((kind for kind in _ARGUMENTS if isinstance(module, kind)), None)
    if kind is None:
        known = ", ".join(one.__name__ for one in _ARGUMENTS)
        raise ArgumentError(f"{type(module).__name__} has no rounded twin; there are some of {known}.")
    given = {name: getattr(module, name) for name in _ARGUMENTS[kind].split()}
    if "bias" in given:
        given["bias"] = given["bias"] is not None
    return given | {"activation": activation}
