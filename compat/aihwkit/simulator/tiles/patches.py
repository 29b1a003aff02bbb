"""The patches of a convolution, gathered from images by indices instead of being unfolded."""

from dataclasses import dataclass
from typing import Any

from compat.aihwkit.exceptions import TileError
from compat.torch_package import torch

_BEFORE = 2  # numbers 0 and 1 are a zero and a one


@dataclass(frozen=True, eq=False)
class Patches:
    """Which element of an image each column of the chip sees, for each place of the kernel: `[x, P]`."""

    indices: Any

    @classmethod
    def of(cls, indices: Any, x_size: int) -> "Patches":
        """From a tensor of `x_size` times P numbers. Raises `TileError`."""
        found = torch.as_tensor(indices).detach().long().reshape(-1)
        if found.numel() == 0 or found.numel() % x_size:
            raise TileError(f"set_matrix_indices: {found.numel()} indices for a chip of {x_size} columns.")
        return cls(found.reshape(x_size, -1))

    def gathered(self, images: Any) -> Any:
        """Images `[N, ...]` as what the columns see, `[N P, x]`."""
        flat = images.detach().reshape(len(images), -1)
        if int(self.indices.max()) >= flat.shape[1] + _BEFORE:
            raise TileError(f"an index is {int(self.indices.max())}, and images have {flat.shape[1]} elements.")
        padded = torch.cat([flat.new_zeros(len(flat), 1), flat.new_ones(len(flat), 1), flat], 1)
        return padded[:, self.indices].transpose(1, 2).reshape(-1, len(self.indices))

    def scattered(self, rows: Any, shape: Any) -> Any:
        """Rows `[N P, x]`, added up at the elements they come from: `[N, ...]`."""
        n, size = int(shape[0]), int(torch.Size(shape).numel()) // int(shape[0])
        parts = rows.reshape(n, -1, len(self.indices)).transpose(1, 2).reshape(n, -1)
        total = rows.new_zeros(n, size + _BEFORE).index_add_(1, self.indices.reshape(-1), parts)
        return total[:, _BEFORE:].reshape(shape)


def as_rows(images: Any) -> Any:
    """`[N, d, ...]` as rows `[N P, d]`."""
    return images.detach().flatten(2).transpose(1, 2).reshape(-1, images.shape[1])


def as_images(rows: Any, shape: Any) -> Any:
    """Rows `[N P, d]` as `[N, d, ...]` of a shape."""
    return rows.reshape(int(shape[0]), -1, int(shape[1])).transpose(1, 2).reshape(shape)
