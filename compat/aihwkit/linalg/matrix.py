"""A matrix on analog chips as an operator of scipy, for its iterative solvers and for those of other packages."""

from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from compat.aihwkit.exceptions import InputTypeError
from compat.aihwkit.simulator.tiles.array import TileModuleArray
from compat.torch_package import torch


class AnalogMatrix(LinearOperator):
    """A matrix `[O, I]` whose products are computed, with noise, by the chips of a tile.

        A @ x: `[..., I] -> [..., O]`        d @ A: `[..., O] -> [..., I]`

    As in aihwkit both take rows, one vector each, and not the columns that numpy takes. What scipy calls itself
    (`matvec`, `matmat`, `rmatvec`, `rmatmat`, and all that is made of them, such as `A.T` and `2 * A`) takes columns.
    What comes back is a numpy array for numpy arrays, in float32, and a tensor for tensors.

    Args:
        matrix: The matrix `[O, I]`, a tensor or a numpy array.
        rpu_config: The configuration of the tile.
        realistic: Write as the chips can, instead of exactly.
        **to_kwargs: Arguments of the tile's `to()`, such as `device`.

    Raises:
        InputTypeError: If values are complex.
        TileError: If sizes do not fit.

    Example:
        >>> y = AnalogMatrix(0.1 * torch.randn(50, 200), ReRamSBPreset()) @ torch.randn(10, 200)
    """

    def __init__(self, matrix: Any, rpu_config: Any, realistic: bool = False, **to_kwargs: Any) -> None:
        outputs, inputs = matrix.shape
        tile = rpu_config.get_default_tile_module_class(outputs, inputs)(outputs, inputs, rpu_config, False)
        self._tile = tile.to(**to_kwargs) if to_kwargs else tile
        self._tile.set_weights(_tensor(matrix), realistic=realistic)
        self.realistic = realistic

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._tile.out_size, self._tile.in_size

    @property
    def _grid(self) -> Any:
        """The tile modules as `[column][row]`."""
        return self._tile.array if isinstance(self._tile, TileModuleArray) else [[self._tile]]

    @property
    def dtype(self) -> np.dtype:
        """The number type of the products."""
        return np.dtype(np.float32)

    def cuda(self, *args: Any, **kwargs: Any) -> "AnalogMatrix":
        """To a GPU of torch."""
        self._tile = self._tile.cuda(*args, **kwargs)
        return self

    def to(self, *args: Any, **kwargs: Any) -> "AnalogMatrix":
        """To another device of torch."""
        self._tile = self._tile.to(*args, **kwargs)
        return self

    def __matmul__(self, matrix: Any) -> Any:
        """`A @ x`."""
        return _like(matrix, self._forward(_tensor(matrix)))

    def __rmatmul__(self, matrix: Any) -> Any:
        """`d @ A`."""
        return _like(matrix, self._backward(_tensor(matrix)))

    def ger(self, x_matrix: Any, d_matrix: Any, alpha: float = 1.0) -> None:
        """Pulse the devices by `alpha d^T x`, one vector of `x_matrix` `[B, I]` and `d_matrix` `[B, O]` at a time."""
        x, d = (torch.atleast_2d(_tensor(given)) for given in (x_matrix, d_matrix))
        for column, inputs in zip(self._grid, x.split([column[0].in_size for column in self._grid], -1), strict=True):
            for tile, errors in zip(column, d.split([tile.out_size for tile in column], -1), strict=True):
                tile.set_learning_rate(alpha)
                tile.update(inputs, -errors)

    @torch.no_grad()
    def _forward(self, x: Any) -> Any:
        return self._tile(x)

    @torch.no_grad()
    def _backward(self, d: Any) -> Any:
        outputs, inputs = self.shape
        if d.ndim == 0 or d.shape[-1] != outputs:
            raise InputTypeError(f"d @ A with d of shape {tuple(d.shape)} and A {outputs} x {inputs}; give {outputs}.")
        errors = d.reshape(-1, outputs).split([tile.out_size for tile in self._grid[0]], -1)
        columns = [
            torch.stack([tile.backward(part) for tile, part in zip(column, errors, strict=True)]).sum(0)
            for column in self._grid
        ]
        return torch.cat(columns, -1).reshape(*d.shape[:-1], inputs)

    # what scipy calls

    def _matvec(self, x: Any) -> Any:
        return self @ x.reshape(-1)

    def _rmatvec(self, x: Any) -> Any:
        return x.reshape(-1) @ self

    def _matmat(self, X: Any) -> Any:
        return (self @ X.T).T

    def _rmatmat(self, X: Any) -> Any:
        return (X.T @ self).T


def _tensor(given: Any) -> Any:
    """A float32 tensor of real numbers."""
    found = torch.as_tensor(given)
    if found.is_complex():
        raise InputTypeError(f"analog chips hold and multiply real numbers; got {found.dtype}.")
    return found.detach().float()


def _like(given: Any, found: Any) -> Any:
    return found if isinstance(given, torch.Tensor) else found.cpu().numpy()
