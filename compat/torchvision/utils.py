"""Pictures of many images side by side."""

from typing import Any

import numpy as np

from analogjax.errors import MissingPackage
from compat.torch_package import torch


def make_grid(
    tensor: Any,
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Any:
    """Images in rows of `nrow`, each with `padding` pixels of `pad_value` around it.

    Args:
        tensor: Images `[B, C, H, W]`, a list of `[C, H, W]`, or one image, which comes back without padding; those of
            one channel get three that are equal.
        nrow: Images in a row.
        padding: Pixels between images, and around all.
        normalize: Whether to scale values to 0..1.
        value_range: The values that become 0 and 1, the least and the greatest where it is not given; others are cut.
        scale_each: Whether each image has its own least and greatest value.
        pad_value: Of pixels outside images.

    Returns:
        One image, `[C, rows * (H + padding) + padding, columns * (W + padding) + padding]`.

    Raises:
        TypeError: If `tensor` is neither a tensor nor a list of them.
    """
    images = _batch(tensor)
    if normalize:
        images = _scaled(images, value_range, scale_each)
    if len(images) == 1:
        return images[0]
    columns = min(nrow, len(images))
    rows = -(-len(images) // columns)
    # an image brings the padding above it and to its left; the padding below and right of all comes last
    cells = torch.nn.functional.pad(images, (padding, 0, padding, 0), value=pad_value)
    empty = cells.new_full((rows * columns - len(cells), *cells.shape[1:]), pad_value)
    grid = torch.cat((cells, empty)).unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4)
    grid = grid.flatten(3, 4).flatten(1, 2)
    return torch.nn.functional.pad(grid, (0, padding, 0, padding), value=pad_value)


def save_image(tensor: Any, fp: Any, format: str | None = None, **kwargs: Any) -> None:
    """Write images with values 0..1 as one picture: what `make_grid(tensor, **kwargs)` gives, in steps of 1/255.

    `fp` is a path or an open file, `format` a name that Pillow knows, by default the path's ending. Raises
    `MissingPackage` without Pillow.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackage("save_image writes pictures with Pillow, which is missing: pip install pillow") from error
    with torch.no_grad():
        grid = make_grid(tensor, **kwargs).detach().cpu().float()
    pixels = np.floor(grid.numpy() * 255 + 0.5).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels.transpose(1, 2, 0)).save(fp, format=format)


def _batch(images: Any) -> Any:
    """Images `[B, C, H, W]`, in three channels instead of one."""
    if isinstance(images, list) and all(isinstance(image, torch.Tensor) for image in images):
        images = torch.stack(images)
    if not isinstance(images, torch.Tensor):
        raise TypeError(f"make_grid: give a tensor, or a list of tensors, not {type(images).__name__}.")
    if images.ndim not in (2, 3, 4):
        raise TypeError(f"make_grid: images have shape [B, C, H, W], not {tuple(images.shape)}.")
    images = images.reshape((1,) * (4 - images.ndim) + tuple(images.shape))
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def _scaled(images: Any, value_range: tuple[float, float] | None, scale_each: bool) -> Any:
    if value_range is not None:
        low, high = (torch.tensor(float(value)) for value in value_range)
    elif scale_each:
        low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    else:
        low, high = images.min(), images.max()
    return (images.clamp(low, high) - low) / (high - low).clamp(min=1e-5)
