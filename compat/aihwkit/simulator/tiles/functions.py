"""The product of a tile, step by step, as a torch autograd function: what tiles with torch code of their own use."""

from typing import Any

from compat import torch_bridge as bridge
from compat.torch_package import torch


class AnalogFunction(torch.autograd.Function):
    """`[..., I] -> [..., O]` by the tile's `joint_forward()`, and back by its `backward()`.

    Going back, input and error stay with the context until an analog optimizer calls the tile's `update()`; or, where
    the weights are in torch (`shared_weights`), `update()` leaves their gradient in `set_delta_weights()` at once.
    """

    @staticmethod
    def forward(
        ctx: Any, analog_ctx: Any, analog_tile: Any, input_: Any, shared_weights: Any = None, is_test: bool = False
    ) -> Any:
        ctx.analog_ctx, ctx.analog_tile, ctx.shared_weights = analog_ctx, analog_tile, shared_weights
        ctx.saved_analog_tensors = [input_]
        if shared_weights is not None:
            analog_tile.ensure_shared_weights(shared_weights)
        analog_ctx.use_torch_update = shared_weights is not None
        indexed = analog_ctx.use_indexed
        act = analog_tile.joint_forward_indexed if indexed else analog_tile.joint_forward
        out = act(input_, is_test, ctx)
        ctx.save_for_backward(*ctx.saved_analog_tensors)
        ctx.indexed, ctx.saved_analog_tensors = indexed, []
        return out

    @staticmethod
    @bridge.once_differentiable
    def backward(ctx: Any, grad_output: Any) -> Any:
        tile, shared = ctx.analog_tile, ctx.shared_weights
        ctx.saved_analog_tensors = ctx.saved_tensors
        x, gradient = ctx.saved_analog_tensors[0], None
        with torch.no_grad():
            dx = (tile.backward_indexed if ctx.indexed else tile.backward)(grad_output, ctx)
            if shared is None:
                ctx.analog_ctx.record(x, grad_output)
            else:
                gradient = torch.empty_like(shared)
                tile.set_delta_weights(gradient)
                (tile.update_indexed if ctx.indexed else tile.update)(x, grad_output)
                tile.reset_delta_weights()
        ctx.saved_analog_tensors = []
        return None, None, dx, gradient, None
