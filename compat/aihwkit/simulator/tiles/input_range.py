r"""The range of inputs around a tile: what is beyond it is clipped, and its gradient moves it.

    y = r V(clip(x, +-r) / r)

Gradients are those of aihwkit's compiled tiles: that of x passes as it is, also where x was clipped; that of r follows
the rule of `analogjax.physics.InputRange`; neither knows of the factors r and 1 / r.
"""

from typing import Any

import jax

from analogjax.physics import InputRange
from compat import torch_bridge as bridge
from compat.kept_programs import kept
from compat.torch_package import torch


@kept
def entering(p: InputRange) -> Any:
    """Compiled: inputs within a range `r` `[1]`, in units of it."""
    return jax.jit(lambda x, r: p.limit(x, abs(r[0])) / r[0])  # an optimizer may have turned its sign


@kept
def gradient(p: InputRange) -> Any:
    """Compiled: the gradient `[1]` of a range `r` `[1]`."""
    return jax.jit(lambda x, d, r, unclipped: p.gradient(x, d, r[0], unclipped)[None])


@kept
def from_data(p: InputRange) -> Any:
    """Compiled: a range `r` `[1]`, and the number `[1]` of batches it was taken from, after one more batch."""

    def act(x: Any, r: Any, seen: Any) -> tuple[Any, Any]:
        new, count = p.from_data(x, r[0], seen[0])
        return new[None], count[None]

    return jax.jit(act)


class Enter(torch.autograd.Function):
    """`clip(x, +-r) / r`; `call` knows, when the gradient comes, which outputs were clipped."""

    @staticmethod
    def forward(ctx: Any, p: Any, call: Any, x: Any, r: Any) -> Any:
        ctx.save_for_backward(x, r)
        ctx.p, ctx.call = p, call
        return bridge.to_torch(entering(p)(bridge.to_jax(x), bridge.to_jax(r)))

    @staticmethod
    @bridge.once_differentiable
    def backward(ctx: Any, d: Any) -> Any:
        x, r = ctx.saved_tensors
        if not ctx.needs_input_grad[3]:
            return None, None, d, None
        act = gradient(ctx.p)
        dr = act(bridge.to_jax(x), bridge.to_jax(d), bridge.to_jax(r), ctx.call.unclipped(x.numel()))
        return None, None, d, bridge.to_torch(dr)


class InputRangeForward(torch.autograd.Function):
    """Inputs as they are; going back, a range `[1]` (or `None`) gets the gradient of its parameters."""

    @staticmethod
    def forward(ctx: Any, x_input: Any, input_range: Any, ir_params: Any) -> Any:
        ctx.save_for_backward(x_input, input_range)
        ctx.p = ir_params.to_native()
        return x_input.view_as(x_input)

    @staticmethod
    @bridge.once_differentiable
    def backward(ctx: Any, d_output: Any) -> Any:
        x, r = ctx.saved_tensors
        if r is None:
            return d_output, None, None
        given = (bridge.to_jax(x), bridge.to_jax(d_output), bridge.to_jax(r))
        return d_output, bridge.to_torch(gradient(ctx.p)(*given, 1.0)), None


class Leave(torch.autograd.Function):
    """`r y`, whose gradient passes as it is."""

    @staticmethod
    def forward(ctx: Any, y: Any, r: Any) -> Any:
        return y * r

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        return d, None


class Call:
    """One pass through a tile."""

    passes: Any = None  # the gradient mask of the outputs, if it counts

    def unclipped(self, inputs: int) -> float:
        """The fraction of outputs that were not clipped; as in aihwkit, relative to the number of inputs."""
        return 1.0 if self.passes is None else 1.0 - float((~self.passes).sum()) / inputs
