r"""Multi-head attention whose four projections are analog; the products of attention itself stay digital.

    q_h = W_q x_q + b_q,   k_h = W_k x_k + b_k,   v_h = W_v x_v + b_v          (each split into heads h)
    y = W_o concat_h(softmax(q_h k_h^T / sqrt(D / H) + mask) v_h) + b_o

A chip holds a matrix that does not change with its inputs, so only the projections are on chips.
Letters: `D` features of q, k and v, `H` heads, `T` queries, `S` keys.

Source: Vaswani et al. 2017, arXiv:1706.03762.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as linen
import jax.numpy as jnp

from analogjax._typing import Array, DType
from analogjax.errors import ConfigError, ShapeError
from analogjax.nn.linear import AnalogLinear, document_layer
from analogjax.tile import HardwareAware, TileConfig


@document_layer
class AnalogMultiHeadAttention(linen.Module):
    """Attention `[..., T, I], [..., S, I'] -> [..., T, O]` with analog projections.

    Called with one argument it is self-attention. `mask` `[..., H or 1, T, S]` is True where a query may look.

    Raises:
        ConfigError: If `num_heads`, `qkv_features` or `dropout` is invalid, or the heads do not divide the features.
        ShapeError: If the keys and the values have other lengths.

    Example:
        >>> layer = AnalogMultiHeadAttention(num_heads=4, config=TileConfig(device=SoftBounds()))
        >>> variables = nn.init(layer, x, random.key(0))
        >>> y = nn.apply(layer, variables, x, key=random.key(1))
    """

    num_heads: int
    """Heads `H`."""
    config: TileConfig | HardwareAware = TileConfig()
    """Configuration of the tiles of all four projections."""
    qkv_features: int | None = None
    """Features `D` of queries, keys and values together; None: those of the queries' inputs."""
    out_features: int | None = None
    """Number of outputs `O`; None: features of the queries' inputs."""
    use_bias: bool = True
    """Add a bias after each projection."""
    dropout: float = 0.0
    """Part of the weights of attention that is set to 0 in training."""
    dtype: DType | None = None
    """Dtype of the outputs; None: that of the inputs and the tiles, promoted."""
    param_dtype: DType = jnp.float32
    """Dtype of tiles, biases and output scales."""

    @linen.compact
    def __call__(
        self, queries: Array, keys: Array | None = None, values: Array | None = None, mask: Array | None = None,
        *, training: bool = False,
    ) -> Array:  # fmt: skip
        keys = queries if keys is None else keys
        values = keys if values is None else values
        features = check_attention("AnalogMultiHeadAttention", self, queries.shape[-1])
        q, k, v = (
            self._projection(features, name)(x) for name, x in (("query", queries), ("key", keys), ("value", values))
        )
        drop = linen.Dropout(self.dropout, deterministic=not training)
        outputs = queries.shape[-1] if self.out_features is None else self.out_features
        return self._projection(outputs, "out")(attended(self.num_heads, q, k, v, mask, drop))

    def _projection(self, features: int, name: str) -> AnalogLinear:
        return AnalogLinear(
            features, self.config, use_bias=self.use_bias, dtype=self.dtype, param_dtype=self.param_dtype, name=name
        )


def attended(heads: int, q: Array, k: Array, v: Array, mask: Array | None, drop: Callable[[Array], Array]) -> Array:
    """What the heads together see, `[..., T, D]`.

    Args:
        heads: Heads `H`.
        q: Queries `[..., T, D]`.
        k: Keys `[..., S, D]`.
        v: Values `[..., S, D]`.
        mask: Where a query may look, `[..., H or 1, T, S]`; None: everywhere.
        drop: Applied to the weights of attention `[..., H, T, S]`.

    Raises:
        ShapeError: If they do not belong together.
    """
    if min(q.ndim, k.ndim, v.ndim) < 2 or k.shape != v.shape or q.shape[:-2] != k.shape[:-2]:
        raise ShapeError(
            f"attention: queries {q.shape}, keys {k.shape} and values {v.shape} after their projections; needs "
            "[..., T, D] and [..., S, D], of equal batches, and as many values as keys."
        )
    q, k, v = (x.reshape(*x.shape[:-1], heads, -1) for x in (q, k, v))
    weights = linen.dot_product_attention_weights(q, k, mask=mask, deterministic=True)
    seen = jnp.einsum("...hts,...shd->...thd", drop(weights), v)
    return seen.reshape(*seen.shape[:-2], -1)


def check_attention(where: str, given: Any, inputs: int) -> int:
    """Features `D` of the projections of a layer with so many inputs. Raises `ConfigError`."""
    for name in ("num_heads", "qkv_features", "out_features"):
        value = getattr(given, name)
        if name != "num_heads" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{where}({name}={value!r}): needs a whole number above 0.")
    if isinstance(given.dropout, bool) or not isinstance(given.dropout, (int, float)) or not 0 <= given.dropout < 1:
        raise ConfigError(f"{where}(dropout={given.dropout!r}): needs a number from 0 to below 1.")
    features = inputs if given.qkv_features is None else given.qkv_features
    if features % given.num_heads:
        raise ConfigError(
            f"{where}(num_heads={given.num_heads}): they do not divide the {features} features of q, k and v; give "
            "another number, or qkv_features."
        )
    return features
