"""Conductances of pairs and of single devices; the conversions are those of `analogjax.physics.inference`."""

from typing import Any

from analogjax.physics.inference import CustomPairs, NPairs, SingleDevice, SinglePair
from analogjax.physics.inference.converters.single_device import Affine
from compat import native_calls
from compat.aihwkit.inference.converter.base import BaseConductanceConverter
from compat.overrides import watched
from compat.parameters import build, parameters
from compat.torch_package import torch

_CLOSE = 1e-4


@watched
class Ranged(BaseConductanceConverter):
    """A converter of ours with a range of conductances; methods called by hand are those of the native one."""

    g_max: Any
    g_min: Any

    def __str__(self) -> str:
        return f"{type(self).__name__}(g_max={self.g_max:1.2f}, g_min={self.g_min:1.2f})"

    def _complete(self, g_max: float, g_min: float) -> None:
        """Fill in the range where it was not given. Raises `ValueError`, as aihwkit does."""
        self.g_max = g_max if self.g_max is None else self.g_max
        self.g_min = g_min if self.g_min is None else self.g_min
        if not 0 <= self.g_min < self.g_max:
            raise ValueError(
                f"{type(self).__name__}: conductances from g_min={self.g_min} to g_max={self.g_max} uS; needs "
                "0 <= g_min < g_max."
            )

    @torch.no_grad()
    def convert_to_conductances(self, weights: Any) -> tuple[Any, dict[str, Any]]:
        """Conductances [uS] of weights `[O, I]`, and what leads back."""
        g, back = self._law().conductances(native_calls.array(weights))
        return self._slices(native_calls.tensors(g, weights)), self._params(native_calls.tensors(back, weights))

    @torch.no_grad()
    def convert_back_to_weights(self, conductances: Any, params: dict[str, Any]) -> Any:
        """The weights `[O, I]` of conductances [uS]. Raises `ValueError` where something is missing."""
        stacked = self._stacked(conductances)
        back = self._back({name: self._needed(params, name) for name in self._needs()})
        return native_calls.tensors(self._law().weights(native_calls.array(stacked), back), stacked)

    def _law(self) -> Any:
        """The native converter, whatever methods a subclass has replaced."""
        return build(self, type(self)._native, self._given())  # type: ignore[arg-type]

    def _given(self) -> dict[str, Any]:
        """Native fields that need more than a copy."""
        return {}

    def _slices(self, g: Any) -> Any:
        return list(g)

    def _count(self) -> int:
        """How many conductances a weight has."""
        return 2

    def _stacked(self, conductances: Any) -> Any:
        if len(conductances) != self._count():
            raise ValueError(
                f"convert_back_to_weights: got {len(conductances)} conductances; needs {self._count()} of each weight."
            )
        return torch.stack(list(conductances))

    def _needs(self) -> tuple[str, ...]:
        return ("scale_ratio",)

    def _needed(self, params: dict[str, Any], name: str) -> Any:
        if name not in params:
            raise ValueError(
                f"convert_back_to_weights: got {sorted(params)}; needs the {name} of convert_to_conductances()."
            )
        return params[name]

    def _params(self, back: Any) -> dict[str, Any]:
        return {"scale_ratio": back}

    def _back(self, params: dict[str, Any]) -> Any:
        return native_calls.array(torch.as_tensor(params["scale_ratio"]))


@watched
@parameters(native=SinglePair)
class SinglePairConductanceConverter(Ranged):
    """One positive and one negative device for each weight; `None` is 25 and 0 [uS]."""

    g_max: Any = None
    g_min: Any = None

    def __post_init__(self) -> None:
        known = SinglePair()
        self._complete(known.g_max, known.g_min)  # type: ignore[arg-type]


@watched
@parameters(native=NPairs)
class NPairConductanceConverter(Ranged):
    """Several pairs, filled from the lowest significance on; `None` is 25 and 0 [uS]."""

    f_lst: Any
    g_max: Any = None
    g_min: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.f_lst, list) or max(self.f_lst, default=-1) < 0:
            raise ValueError(f"{type(self).__name__}: f_lst={self.f_lst!r} must be a list of significances above 0.")
        known = NPairs(f_lst=(1.0,))
        self._complete(known.g_max, known.g_min)  # type: ignore[arg-type]

    def _count(self) -> int:
        return 2 * len(self.f_lst)

    def _needs(self) -> tuple[str, ...]:
        return ("scale_ratio", "f_lst")

    def _params(self, back: Any) -> dict[str, Any]:
        return {"scale_ratio": back, "f_lst": self.f_lst}


@watched
@parameters(native=NPairs)
class DualPairConductanceConverter(NPairConductanceConverter):
    """Two pairs."""

    def __post_init__(self) -> None:
        if len(self.f_lst) != 2:
            raise ValueError(f"{type(self).__name__}: f_lst={self.f_lst!r} must be two significances.")
        super().__post_init__()


@watched
@parameters(native=CustomPairs)
class CustomPairConductanceConverter(Ranged):
    """Pairs programmed by tables of conductances; `None` is 25 and 0 [uS].

    Raises `ValueError` for tables that do not fit, `ArithmeticError` for tables that do not lead back.
    """

    f_lst: Any
    g_lst: Any
    g_max: Any = None
    g_min: Any = None

    def __init__(
        self, f_lst: Any, g_lst: Any, g_max: Any = None, g_min: Any = None, invertibility_test: bool | None = True
    ) -> None:
        self.f_lst, self.g_lst, self.g_max, self.g_min = f_lst, g_lst, g_max, g_min
        known = SinglePair()
        self._complete(known.g_max, known.g_min)  # type: ignore[arg-type]
        tables = isinstance(g_lst, list) and all(isinstance(one, list) for one in g_lst)
        if not tables or not isinstance(f_lst, list) or len(g_lst) != 2 * len(f_lst):
            raise ValueError(
                f"{type(self).__name__}: g_lst must be a list of lists, two for each number of the list f_lst."
            )
        if invertibility_test:
            self.invertibility_test()

    def invertibility_test(self) -> None:
        """Raise `ArithmeticError` unless weights come back from their conductances."""
        w = torch.linspace(-1, 1, 5)
        back = self.convert_back_to_weights(*self.convert_to_conductances(w[None]))[0]
        if not torch.allclose(w, back, atol=_CLOSE):
            raise ArithmeticError(f"{type(self).__name__}: its tables lead from {w.tolist()} to {back.tolist()}.")

    def _given(self) -> dict[str, Any]:
        return {
            "f_lst": tuple(float(f) for f in self.f_lst),
            "g_lst": tuple(tuple(float(g) for g in table) for table in self.g_lst),
            "invertibility_test": False,  # done, or not wanted
        }

    def to_native(self) -> Any:
        """The native converter. Raises `ConfigError` where a method of its own has no such form."""
        self._need_plain()
        return self._law()

    def _count(self) -> int:
        return 2 * len(self.f_lst)

    def _needs(self) -> tuple[str, ...]:
        return ("scale_ratio", "f_lst")

    def _params(self, back: Any) -> dict[str, Any]:
        return {"scale_ratio": back, "f_lst": self.f_lst}


@watched
@parameters(native=SingleDevice)
class SingleDeviceConductanceConverter(Ranged):
    """One device for each weight; `None` is 88.199997 and 9 [uS].

    As in aihwkit, its conductances are one tensor `[O, I]` instead of a list with one; back it takes a tensor, or a
    list of its rows.
    """

    g_max: Any = None
    g_min: Any = None

    def __post_init__(self) -> None:
        known = SingleDevice()
        self._complete(known.g_max, known.g_min)  # type: ignore[arg-type]

    def _slices(self, g: Any) -> Any:
        return g[0]

    def _stacked(self, conductances: Any) -> Any:
        whole = torch.stack(conductances) if isinstance(conductances, list) else conductances
        return whole[None]

    def _needs(self) -> tuple[str, ...]:
        return ("scale_ratio", "min")

    def _params(self, back: Any) -> dict[str, Any]:
        return {"scale_ratio": back.ratio, "min": back.lowest}

    def _back(self, params: dict[str, Any]) -> Any:
        return Affine(*(native_calls.array(torch.as_tensor(params[name])) for name in ("scale_ratio", "min")))
