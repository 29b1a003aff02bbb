"""The noise of an inference's weights."""

from typing import Any

SHARED = (
    "device_id", "programming_noise_scale", "read_noise_scale", "drift_scale", "drift_compensation",
    "poly_first_order_coef", "poly_second_order_coef", "poly_constant_coef",
)  # fmt: skip
GENERIC = ("drift_mean", "drift_std")


class NoiseModelInfo:
    """The fields of a `NoiseModelProto`; `drift_mean` and `drift_std` are those of a generic one alone."""

    PCM, GENERIC = "pcm", "generic"
    device_id: str
    programming_noise_scale: float
    read_noise_scale: float
    drift_scale: float
    drift_compensation: bool
    poly_first_order_coef: float
    poly_second_order_coef: float
    poly_constant_coef: float
    drift_mean: float
    drift_std: float

    def __init__(self, nm_proto: Any) -> None:
        kind = nm_proto.WhichOneof("item")
        held = getattr(nm_proto, kind)
        for name in (*SHARED, *(GENERIC if kind == self.GENERIC else ())):
            setattr(self, name, getattr(held, name))
