"""Drift of weights that are left alone, and what hardware-aware training does to them."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from analogjax import pytree
from analogjax._typing import Array, Key
from analogjax.errors import ConfigError as NativeConfigError
from analogjax.physics import Drift
from analogjax.physics.hardware_aware import (
    AddNormal,
    ChannelMaxClip,
    ColumnwiseRemap,
    Discretize,
    DiscretizeAddNormal,
    Dorefa,
    DropConnect,
    ExceptLastColumn,
    FixedClip,
    GaussianClip,
    LayerwiseRemap,
    MultNormal,
    PCMNoise,
    Poly,
    ProgNoise,
    WeightClip,
    WeightModifier,
    WeightRemap,
)  # fmt: skip
from compat.aihwkit.exceptions import ConfigError
from compat.aihwkit.simulator.parameters.enums import WeightClipType, WeightModifierType, WeightRemapType
from compat.parameters import NATIVE, View, check_fields, parameters


@parameters(native=Drift)
class SimpleDriftParameter(View):
    """Power law with one exponent."""

    nu: float = NATIVE
    t_0: float = NATIVE
    reset_tol: float = NATIVE


@parameters(native=Drift)
class DriftParameter(SimpleDriftParameter):
    """Power law with spread, noise and conductance dependence; see `analogjax.physics.Drift`."""

    nu_dtod: float = NATIVE
    nu_std: float = NATIVE
    wg_ratio: float = NATIVE
    g_offset: float = NATIVE
    w_offset: float = NATIVE
    nu_k: float = NATIVE
    log_g0: float = NATIVE
    w_noise_std: float = NATIVE


class _Kinds(View):
    """Parameters with a `type`; programs also write `None` for the type `NONE`."""

    if not TYPE_CHECKING:

        def __setattr__(self, name: str, value: Any) -> None:
            of_none = name == "type" and value is None
            super().__setattr__(name, self.__class__.type if of_none else value)


@pytree
class _OfEachSample:
    """Stands for a disturbance of each sample where there are no torch tiles, which alone have one."""

    def modify(self, w: Array, key: Key) -> Array:
        """Raise `ConfigError`: training would need it."""
        raise ConfigError(
            "WeightModifierParameter(per_batch_sample=True): only torch tiles disturb the weights for each sample. "
            "Train with TorchInferenceRPUConfig(), or set per_batch_sample=False."
        )


_COEFFICIENTS = [*Poly().coeffs]


@parameters()
class WeightModifierParameter(_Kinds):
    """How weights are disturbed in each training batch; see `analogjax.physics.hardware_aware`.

    `per_batch_sample` is for torch tiles only.
    """

    std_dev: float = 0.0
    per_batch_sample: bool = False
    res: float = 0.0
    sto_round: bool = False
    dorefa_clip: float = 0.6
    pdrop: float = 0.0
    enable_during_test: bool = False
    rel_to_actual_wmax: bool = True
    assumed_wmax: float = 1.0
    copy_last_column: bool = False
    coeffs: list[float] = dataclasses.field(
        default_factory=lambda: [*_COEFFICIENTS], metadata={"hide_if": _COEFFICIENTS}
    )
    type: WeightModifierType = dataclasses.field(default=WeightModifierType.NONE, metadata={"always_show": True})
    g_max: float = 25.0
    pcm_zero_thres: float = 0.0
    pcm_t_inference: float = 0.0
    pcm_prob_at_reset: float = 0.0
    pcm_prob_at_gmax: float = 0.0
    pcm_prob_at_random: float = 0.0
    pcm_t0: float = 20.0

    def to_native(self) -> WeightModifier | None:
        """The disturbance; `None` where there is none. Raises `ConfigError` for a wrong name, type or value.

        With `per_batch_sample` it is one that can't be drawn.
        """
        check_fields(self)
        made = self._native_of(self._disturbance)
        # such a configuration may be that of a model that was trained on torch tiles, and is only evaluated
        return _OfEachSample() if made is not None and self.per_batch_sample else made

    def to_torch_tile(self) -> WeightModifier | None:
        """The disturbance as aihwkit's torch tile has it: other steps, and a noise that is relative to each weight."""
        check_fields(self)
        return self._native_of(self._of_torch_tile)

    def _native_of(self, make: Callable[[], Any]) -> WeightModifier | None:
        if self.type is WeightModifierType.NONE or (self.type is WeightModifierType.COPY and self.pdrop <= 0):
            return None
        try:
            made = make()
            made = DropConnect(pdrop=self.pdrop, modifier=made) if self.pdrop > 0 else made
        except NativeConfigError as error:
            raise ConfigError(f"{type(self).__name__}: {error}") from error
        return ExceptLastColumn(modifier=made) if self.copy_last_column and made is not None else made

    def _disturbance(self) -> Any:
        size: dict[str, Any] = {"assumed_wmax": None if self.rel_to_actual_wmax else self.assumed_wmax}
        std_dev, res = max(self.std_dev, 0.0), max(self.res, 0.0)  # below 0 is off
        steps: dict[str, Any] = {"res": res, "sto_round": self.sto_round} | size
        coeffs = tuple(self.coeffs) or (0.0,)
        known: dict[Any, Callable[[], Any]] = {
            WeightModifierType.DISCRETIZE: lambda: Discretize(**steps),
            WeightModifierType.MULT_NORMAL: lambda: MultNormal(std_dev=std_dev, **size),
            WeightModifierType.ADD_NORMAL: lambda: AddNormal(std_dev=std_dev, **size),
            WeightModifierType.DISCRETIZE_ADD_NORMAL: lambda: DiscretizeAddNormal(std_dev=std_dev, **steps),
            WeightModifierType.DOREFA: lambda: Dorefa(dorefa_clip=self.dorefa_clip, **steps),
            WeightModifierType.POLY: lambda: Poly(std_dev=std_dev, coeffs=coeffs, **size),
            WeightModifierType.PROG_NOISE: lambda: ProgNoise(std_dev=std_dev, coeffs=coeffs, g_max=self.g_max, **size),
            WeightModifierType.PCM_NOISE: lambda: PCMNoise(**size, **self._memory),
            WeightModifierType.DROP_CONNECT: lambda: None,
            WeightModifierType.COPY: lambda: None,
        }
        return known[self.type]()

    @property
    def _memory(self) -> dict[str, Any]:
        names = [name for name in PCMNoise.__dataclass_fields__ if name != "assumed_wmax"]
        return {name: getattr(self, name) for name in names}

    def _of_torch_tile(self) -> Any:
        size: dict[str, Any] = {"assumed_wmax": None if self.rel_to_actual_wmax else self.assumed_wmax}
        if self.type is WeightModifierType.MULT_NORMAL:
            return MultNormal(std_dev=max(self.std_dev, 0.0), assumed_wmax=1.0)
        if self.type is WeightModifierType.DISCRETIZE:
            return Discretize(res=max(self.res, 0.0), sto_round=self.sto_round, like_converters=True, **size)
        return self._disturbance()


@parameters()
class WeightClipParameter(_Kinds):
    """How weights are clipped after each training batch; see `analogjax.physics.hardware_aware.clipping`."""

    fixed_value: float = -1.0
    sigma: float = 2.5
    type: WeightClipType = dataclasses.field(default=WeightClipType.NONE, metadata={"always_show": True})

    def to_native(self) -> WeightClip | None:
        """The clipping; `None` where there is none. Raises `ConfigError` for a wrong name, type or value."""
        check_fields(self)
        limit = self.fixed_value if self.fixed_value > 0 else None
        if self.type is WeightClipType.FIXED_VALUE:
            return None if limit is None else FixedClip(fixed_value=limit)
        if self.type is WeightClipType.LAYER_GAUSSIAN:
            return GaussianClip(sigma=max(self.sigma, 0.0), fixed_value=limit)
        return None if self.type is WeightClipType.NONE else ChannelMaxClip(fixed_value=limit)


@parameters()
class WeightRemapParameter(_Kinds):
    """How weights are rescaled after each training batch; see `analogjax.physics.hardware_aware.remapping`."""

    remapped_wmax: float = 1.0
    max_scale_range: float = 0.0
    max_scale_ref: float = 0.0
    type: WeightRemapType = dataclasses.field(default=WeightRemapType.NONE, metadata={"always_show": True})

    def to_native(self, one_scale: bool = False) -> WeightRemap | None:
        """The remapping; `None` where there is none. Raises `ConfigError` for a wrong name, type or value.

        `one_scale` is the habit of torch tiles to give all outputs the same scale, where the matrix is remapped as one.
        """
        check_fields(self)
        if self.type is WeightRemapType.NONE:
            return None
        try:
            if self.type is WeightRemapType.LAYERWISE_SYMMETRIC:
                return LayerwiseRemap(remapped_wmax=self.remapped_wmax, one_scale=one_scale)
            limits = {"max_scale_range": max(self.max_scale_range, 0.0), "max_scale_ref": max(self.max_scale_ref, 0.0)}
            return ColumnwiseRemap(remapped_wmax=self.remapped_wmax, **limits)
        except NativeConfigError as error:
            raise ConfigError(f"{type(self).__name__}: {error}") from error
