"""Converters and output noise of an inference."""

from typing import Any


class AnalogInfo:
    """The fields of an `AnalogProto`."""

    def __init__(self, a_info: Any) -> None:
        self.output_noise_strength, self.adc, self.dac = a_info.output_noise_strength, a_info.adc, a_info.dac
