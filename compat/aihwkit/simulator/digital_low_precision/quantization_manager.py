"""A quantizer with the estimator of its range, and when which of them acts."""

from enum import Enum
from typing import Any

from compat.aihwkit.simulator.digital_low_precision.quantizers import QMethods, QuantizerNotInitializedError
from compat.aihwkit.simulator.digital_low_precision.range_estimators import RangeEstimators
from compat.torch_package import torch


class Qstates(Enum):
    """When the range is estimated."""

    estimate_ranges = 0  # by every batch
    fix_ranges = 1  # by none
    learn_ranges = 2  # by none: an optimizer moves the steps
    estimate_ranges_train = 3  # by batches in training mode


class QuantizationManager(torch.nn.Module):
    """Rounds tensors, each with one step, or (`per_channel`) one for each place of the first axis."""

    def __init__(
        self, qmethod: QMethods = QMethods.symmetric_uniform, init: RangeEstimators = RangeEstimators.current_minmax,
        qparams: dict[str, Any] | None = None, init_params: dict[str, Any] | None = None, per_channel: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.state = Qstates.estimate_ranges_train
        self.qmethod, self.init = qmethod, init
        self.per_channel = per_channel
        self.quantizer = qmethod.cls(**{"n_bits": 8, "per_channel": per_channel} | (qparams or {}))
        self.range_estimator = init.cls(
            quantizer=self.quantizer, **{"per_channel": per_channel} | dict(init_params or {})
        )

    @property
    def n_bits(self) -> int:
        """Bits of a number."""
        return self.quantizer.n_bits

    def estimate_ranges(self) -> None:
        """Take the range from every batch."""
        self.state = Qstates.estimate_ranges

    def estimate_ranges_train(self) -> None:
        """Take the range from batches in training mode."""
        self.state = Qstates.estimate_ranges_train

    def fix_ranges(self) -> None:
        """Keep the range. Raises `QuantizerNotInitializedError` where there is none."""
        if not self.quantizer.is_initialized:
            raise QuantizerNotInitializedError
        self.state = Qstates.fix_ranges

    def learn_ranges(self) -> None:
        """Leave the steps to an optimizer."""
        self.quantizer.make_range_trainable()
        self.state = Qstates.learn_ranges

    def is_learning(self) -> bool:
        """Whether an optimizer moves the steps."""
        return self.state is Qstates.learn_ranges

    def reset_ranges(self) -> None:
        """Forget the range."""
        self.range_estimator.reset()
        self.quantizer.reset()
        self.estimate_ranges_train()

    def set_quant_range(self, x_min: Any, x_max: Any) -> None:
        """Give the range."""
        self.quantizer.set_quant_range(x_min, x_max)

    def forward(self, x: Any) -> Any:
        """`x` rounded. Raises `QuantizerNotInitializedError` where there is no range, and none is to be estimated."""
        estimated = self.state is Qstates.estimate_ranges_train and self.training
        if self.state is Qstates.estimate_ranges or estimated:
            self.set_quant_range(*self.range_estimator(x.detach()))
        return self.quantizer(x)

    def extra_repr(self) -> str:
        """When the range is estimated."""
        return f"state={self.state.name}"
