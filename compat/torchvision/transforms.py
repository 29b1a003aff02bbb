"""The transforms that simple programs use."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from compat.torch_package import torch


class Compose:
    """One transform after the other."""

    def __init__(self, transforms: Sequence[Callable]) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.transforms))})"


class ToTensor:
    """A PIL image or array `[H, W]` or `[H, W, C]` becomes a tensor `[C, H, W]`; bytes are scaled to 0..1."""

    def __call__(self, image: Any) -> Any:
        values = np.array(image)
        if values.ndim not in (2, 3):
            raise ValueError(f"ToTensor: an image has 2 or 3 axes, this one has shape {values.shape}.")
        values = values[None] if values.ndim == 2 else np.ascontiguousarray(values.transpose(2, 0, 1))
        tensor = torch.from_numpy(values)
        return tensor.float() / 255 if tensor.dtype == torch.uint8 else tensor

    def __repr__(self) -> str:
        return "ToTensor()"


class Normalize:
    """`(image - mean) / std` for each channel of a tensor `[..., C, H, W]`."""

    def __init__(self, mean: Any, std: Any, inplace: bool = False) -> None:
        self.mean, self.std, self.inplace = mean, std, inplace

    def __call__(self, image: Any) -> Any:
        mean, std = (torch.as_tensor(v, dtype=image.dtype).reshape(-1, 1, 1) for v in (self.mean, self.std))
        if self.inplace:
            return image.sub_(mean).div_(std)
        return (image - mean) / std

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


class Lambda:
    """A custom function."""

    def __init__(self, lambd: Callable) -> None:
        self.lambd = lambd

    def __call__(self, image: Any) -> Any:
        return self.lambd(image)

    def __repr__(self) -> str:
        return "Lambda()"
