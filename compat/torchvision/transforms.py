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


class RandomHorizontalFlip:
    """Left and right of an image are changed with probability `p`; draws from torch's generator."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def __call__(self, image: Any) -> Any:
        if torch.rand(1).item() >= self.p:
            return image
        return _on_pixels(image, lambda pixels: np.ascontiguousarray(pixels[:, ::-1]))

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip(p={self.p})"


class RandomCrop:
    """A part of an image at a random place, draws from torch's generator.

    Args:
        size: Rows and columns of the part, or one number for both.
        padding: Rows and columns of `fill` around the image, before.
        fill: Value of these.

    Raises:
        ValueError: If an image is smaller than the part.
    """

    def __init__(self, size: Any, padding: int | None = None, fill: float = 0) -> None:
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.padding, self.fill = padding or 0, fill

    def __call__(self, image: Any) -> Any:
        return _on_pixels(image, self._cut)

    def _cut(self, pixels: np.ndarray) -> np.ndarray:
        around = ((self.padding, self.padding),) * 2 + ((0, 0),) * (pixels.ndim - 2)
        pixels = np.pad(pixels, around, constant_values=self.fill)
        room = [have - want for have, want in zip(pixels.shape, self.size, strict=False)]
        if min(room) < 0:
            raise ValueError(f"RandomCrop({self.size}): the image has {pixels.shape[:2]} pixels, padding included.")
        row, column = (int(torch.randint(0, more + 1, (1,))) for more in room)
        return pixels[row : row + self.size[0], column : column + self.size[1]]

    def __repr__(self) -> str:
        return f"RandomCrop(size={self.size}, padding={self.padding})"


class CenterCrop:
    """The middle of an image; one that is smaller gets zeros around it.

    `size` has the rows and columns of the part, or is one number for both.
    """

    def __init__(self, size: Any) -> None:
        self.size = (size, size) if isinstance(size, int) else tuple(size)

    def __call__(self, image: Any) -> Any:
        return _on_pixels(image, self._cut)

    def _cut(self, pixels: np.ndarray) -> np.ndarray:
        lacking = [max(want - have, 0) for have, want in zip(pixels.shape, self.size, strict=False)]
        around = [(more // 2, (more + 1) // 2) for more in lacking]
        pixels = np.pad(pixels, around + [(0, 0)] * (pixels.ndim - 2))
        row, column = (round((have - want) / 2) for have, want in zip(pixels.shape, self.size, strict=False))
        return pixels[row : row + self.size[0], column : column + self.size[1]]

    def __repr__(self) -> str:
        return f"CenterCrop(size={self.size})"


class Resize:
    """Another number of rows and columns, by bilinear interpolation that averages where an image becomes smaller.

    Args:
        size: Rows and columns; one number is for the shorter side, and the other side follows in proportion.
    """

    def __init__(self, size: Any) -> None:
        self.size = size if isinstance(size, int) else tuple(size)

    def __call__(self, image: Any) -> Any:
        if not isinstance(image, torch.Tensor):
            from PIL import Image  # which has made the image

            rows, columns = self._wanted(image.height, image.width)
            return image.resize((columns, rows), Image.Resampling.BILINEAR)
        sized = torch.nn.functional.interpolate(
            image[None].float(), self._wanted(*image.shape[-2:]), mode="bilinear", antialias=True
        )[0]
        return sized.to(image.dtype) if image.is_floating_point() else sized.round().to(image.dtype)

    def _wanted(self, rows: int, columns: int) -> tuple[int, int]:
        if not isinstance(self.size, int):
            return self.size if len(self.size) == 2 else Resize(self.size[0])._wanted(rows, columns)
        if rows <= columns:
            return self.size, int(self.size * columns / rows)
        return int(self.size * rows / columns), self.size

    def __repr__(self) -> str:
        return f"Resize(size={self.size})"


def _on_pixels(image: Any, act: Callable[[np.ndarray], np.ndarray]) -> Any:
    """`act` on the pixels `[H, W]` or `[H, W, C]` of a PIL image, an array, or a tensor `[C, H, W]`."""
    if isinstance(image, torch.Tensor):
        return torch.from_numpy(np.array(act(image.movedim(0, -1).numpy()))).movedim(-1, 0).contiguous()
    done = act(np.asarray(image))
    if isinstance(image, np.ndarray):
        return done
    from PIL import Image  # which has made the image

    return Image.fromarray(done)
