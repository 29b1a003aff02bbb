"""Multi-head attention for flax NNX, with the mathematics of `analogjax.nn.attention`."""

from typing import Any

from flax import nnx

from analogjax._typing import Array
from analogjax.nn.attention import attended, check_attention
from analogjax.nnx.layers import AnalogLinear


class AnalogMultiHeadAttention(nnx.Module):
    """Attention `[..., T, I], [..., S, I] -> [..., T, O]` with analog projections.

    Called with one argument it is self-attention. `mask` `[..., H or 1, T, S]` is True where a query may look. Dropout
    acts until `model.eval()` is called.

    Args:
        num_heads: Heads `H`.
        in_features: Number of inputs `I` of queries, keys and values.
        qkv_features: Features `D` of queries, keys and values together; by default `I`.
        out_features: Number of outputs `O`; by default `I`.
        dropout: Part of the weights of attention that is set to 0 in training.
        rngs: As those of `AnalogLinear`; `dropout` is for the weights of attention.
        options: Those of `AnalogLinear`, such as `config`.

    Raises:
        ConfigError: If `num_heads`, a size or `dropout` is invalid, or the heads do not divide the features.
        ShapeError: If the keys and the values have other lengths.
    """

    def __init__(
        self, num_heads: int, in_features: int, *, qkv_features: int | None = None, out_features: int | None = None,
        dropout: float = 0.0, rngs: nnx.Rngs, **options: Any,
    ) -> None:  # fmt: skip
        self.num_heads, self.in_features, self.dropout = num_heads, in_features, dropout
        self.qkv_features, self.out_features = qkv_features, out_features
        features = check_attention("AnalogMultiHeadAttention", self, in_features)
        outputs = in_features if out_features is None else out_features
        self.query, self.key, self.value = (AnalogLinear(in_features, features, rngs=rngs, **options) for _ in range(3))
        self.out = AnalogLinear(features, outputs, rngs=rngs, **options)
        self.drop = nnx.Dropout(dropout, rngs=rngs)

    def __call__(
        self, queries: Array, keys: Array | None = None, values: Array | None = None, mask: Array | None = None
    ) -> Array:
        keys = queries if keys is None else keys
        values = keys if values is None else values
        q, k, v = self.query(queries), self.key(keys), self.value(values)
        return self.out(attended(self.num_heads, q, k, v, mask, self.drop))
