"""Phase change memory."""

from typing import Any

from analogjax.physics.inference import DriftTable, PCMLike, SinglePair
from analogjax.physics.inference.pcm import COEFFICIENTS_OF_PCM, REFERENCE_OF_PCM
from compat.aihwkit.inference.noise.law import Law, numbers
from compat.overrides import watched
from compat.parameters import NATIVE, parameters

_TABLE = ("g_lst", "nu_mean_lst", "nu_std_lst")


@watched
@parameters(native=PCMLike)
class PCMLikeNoiseModel(Law):
    """Programming noise, drift and read noise of PCM; see `analogjax.physics.PCMLike`. `None` is the native default."""

    prog_coeff: Any = NATIVE
    g_converter: Any = NATIVE
    g_max: Any = NATIVE
    t_read: float = NATIVE
    t_0: float = NATIVE
    prog_noise_scale: float = NATIVE
    read_noise_scale: float = NATIVE
    drift_scale: float = NATIVE
    prog_coeff_g_max_reference: Any = NATIVE

    def __post_init__(self) -> None:
        self._complete()
        if self.prog_coeff_g_max_reference is None:
            self.prog_coeff_g_max_reference = REFERENCE_OF_PCM if self.prog_coeff is None else self.g_max
        self.prog_coeff = [*COEFFICIENTS_OF_PCM] if self.prog_coeff is None else self.prog_coeff

    def _given(self) -> dict[str, Any]:
        usual = tuple(self.prog_coeff) == COEFFICIENTS_OF_PCM
        reference = self.prog_coeff_g_max_reference
        as_usual = reference == (REFERENCE_OF_PCM if usual else self.g_max)
        return self._conductances(SinglePair()) | {
            "prog_coeff": None if usual else tuple(self.prog_coeff),
            # that of other coefficients is g_max, unless said otherwise
            "prog_coeff_g_max_reference": None if as_usual else reference,
        }


@watched
@parameters(native=PCMLike, harmless=("custom_drift_model",))
class CustomDriftPCMLikeNoiseModel(PCMLikeNoiseModel):
    """PCM with drift exponents from a table `{"g_lst": [...], "nu_mean_lst": [...], "nu_std_lst": [...]}` [uS], [1]."""

    custom_drift_model: Any = None

    def __init__(self, custom_drift_model: dict[str, list[float]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.custom_drift_model = custom_drift_model
        self._check_table()

    def _check_table(self) -> None:
        """Raise `AssertionError` or `ValueError`, as aihwkit does."""
        table, where = self.custom_drift_model, "custom_drift_model"
        assert isinstance(table, dict), f"{where}: is a {type(table).__name__}; give a dictionary."
        assert set(table) == set(_TABLE), f"{where}: has {sorted(table)}; give {', '.join(_TABLE)}."
        lengths = {name: len(values) if isinstance(values, list) else 0 for name, values in table.items()}
        assert min(lengths.values()) > 1 and len(set(lengths.values())) == 1, (
            f"{where}: needs lists of equal length > 1."
        )
        g = table["g_lst"]
        assert sorted(g) == g, f"{where}: g_lst={g} must be in ascending order."
        if not (hasattr(self.g_converter, "g_min") and hasattr(self.g_converter, "g_max")):
            raise ValueError(f"{where}: the range of conductances of {type(self.g_converter).__name__} is not known.")
        lowest, highest = self.g_converter.g_min, self.g_converter.g_max
        if lowest < g[0] or highest > g[-1]:
            raise ValueError(f"{where}: g_lst={g} does not cover the conductances {lowest:g} to {highest:g} uS.")

    def _given(self) -> dict[str, Any]:
        g, mean, std = (numbers(self.custom_drift_model[name], name) for name in _TABLE)
        return super()._given() | {"exponents": DriftTable(g=g, nu_mean=mean, nu_std=std)}
