r"""When a statistic of ours agrees with one of aihwkit: the formulas, derived as the golden data's own protocol says.

Every comparison ends in `z`, the largest excess of a difference over its floor, in standard errors:

    z = max(|ours - ref| - floor, 0) / se        (infinite where se = 0 and the difference exceeds the floor)

A case passes if no z exceeds `z_limit(count)`: 4, or 5 where a case compares a hundred numbers or more at once.

Floors. `FLOAT` = 1e-5 of the largest entry: float32 arithmetic, the whole tolerance of deterministic values. The
Gaussian numbers of an aihwkit CPU tile come out of a list of 32768, so each tile has a bias of its own: means get
`list_floor(n_tiles)` standard deviations on top, widths 1 %.
"""

from dataclasses import dataclass, field

import numpy as np

FLOAT = 1e-5
_TINY = 1e-30


@dataclass
class Comparison:
    """One array compared with its reference."""

    what: str
    z: float  # largest excess over the floor, in standard errors
    count: int  # how many numbers were compared
    where: str  # the worst of them


@dataclass
class Verdict:
    """All comparisons of a case."""

    comparisons: list[Comparison] = field(default_factory=list)

    def add(self, what: str, ours, ref, se, floor) -> None:
        """Compare `ours` with `ref`, both of one shape, given standard errors and floors that broadcast to it."""
        ours, ref = np.asarray(ours, float), np.asarray(ref, float)
        assert ours.shape == ref.shape, f"{what}: shapes {ours.shape} and {ref.shape}"
        se, floor = np.broadcast_to(se, ref.shape), np.broadcast_to(floor, ref.shape)
        excess = np.maximum(np.abs(ours - ref) - floor, 0.0)
        excess = np.where(np.isfinite(ours), excess, np.inf)
        z = np.where(excess > 0, excess / np.maximum(se, _TINY), 0.0)
        worst = np.unravel_index(np.argmax(z), z.shape) if z.ndim else ()
        at = f"at {tuple(int(i) for i in worst)}: ours {ours[worst]:.7g}, reference {ref[worst]:.7g}, "
        at += f"standard error {se[worst]:.3g}, floor {floor[worst]:.3g}"
        self.comparisons.append(Comparison(what, float(z[worst]), ref.size, at))

    @property
    def count(self) -> int:
        return sum(comparison.count for comparison in self.comparisons)

    @property
    def max_z(self) -> float:
        return max((comparison.z for comparison in self.comparisons), default=0.0)

    @property
    def failures(self) -> list[Comparison]:
        return [comparison for comparison in self.comparisons if not comparison.z <= z_limit(self.count)]

    def check(self) -> None:
        """Raise `AssertionError` naming every comparison that is off."""
        lines = [f"{bad.what}: z = {bad.z:.3g} {bad.where}" for bad in self.failures]
        assert not lines, f"z > {z_limit(self.count):g} in {len(lines)} comparisons\n" + "\n".join(lines)


def z_limit(count: int) -> float:
    """4 for a few numbers, 5 where `count` numbers of hundred or more are compared at once."""
    return 4.0 if count < 100 else 5.0


def list_floor(n_tiles: int) -> float:
    """Bias of a mean from aihwkit's list of Gaussian numbers, in standard deviations: pooled tiles average it out."""
    return 0.002 if n_tiles >= 10 else 0.006


class Sample:
    """Statistics of a sample `[n, ...]` along its first axis, in float64."""

    def __init__(self, values) -> None:
        values = np.asarray(values, float)
        self.values, self.n = values, values.shape[0]
        self.mean = values.mean(0)
        self.centred = values - self.mean
        self.std = np.sqrt((self.centred**2).sum(0) / max(self.n - 1, 1))

    @property
    def se_mean(self):
        """s / sqrt(n)"""
        return self.std / np.sqrt(self.n)

    @property
    def se_std(self):
        r"""sqrt((m4 - s^4) / n) / (2 s): the spread of s for any distribution with fourth moment m4."""
        fourth = (self.centred**4).mean(0)
        return np.sqrt(np.maximum(fourth - self.std**4, 0.0) / self.n) / (2 * np.maximum(self.std, _TINY))


def clustered(values) -> tuple[np.ndarray, np.ndarray]:
    """Standard errors of mean and std of `[n_tiles, reps, ...]`, where the repetitions of one tile share something.

    Of the mean: the spread of the means of the tiles over sqrt(n_tiles). Of the std: s^2 is the mean over tiles of the
    squares about the common mean, so its error is their spread over sqrt(n_tiles), and d s = d(s^2) / (2 s).
    """
    values = np.asarray(values, float)
    n_tiles = values.shape[0]
    square = ((values - values.mean((0, 1))) ** 2).mean(1)
    std = np.sqrt(square.mean(0))
    spread = [part.std(0, ddof=1) / np.sqrt(n_tiles) for part in (values.mean(1), square)]
    return spread[0], spread[1] / (2 * np.maximum(std, _TINY))


def float_floor(*references) -> float:
    """1e-5 of the largest entry of the arrays that belong together."""
    return FLOAT * max(float(np.max(np.abs(np.asarray(ref, float)), initial=0.0)) for ref in references)


def compare_mean(verdict: Verdict, what: str, ours: Sample, ref: dict, n_tiles: int, se_ours=0.0, se_ref=0.0) -> None:
    """|mean - mean_ref| <= z sqrt(se^2 + se_ref^2) + list_floor std_ref + float floor.

    `se_ours` and `se_ref` are further (clustered) standard errors; the larger one counts.
    """
    se = np.hypot(np.maximum(ours.se_mean, se_ours), np.maximum(ref["se_mean"], se_ref))
    floor = list_floor(n_tiles) * np.asarray(ref["std"]) + float_floor(ref["mean"])
    verdict.add(f"{what} mean", ours.mean, ref["mean"], se, floor)


def compare_std(verdict: Verdict, what: str, ours: Sample, ref: dict, se_ours=0.0, se_ref=0.0) -> None:
    """|std - std_ref| <= z sqrt(se^2 + se_ref^2) + 0.01 std_ref + float floor."""
    se = np.hypot(np.maximum(ours.se_std, se_ours), np.maximum(ref["se_std"], se_ref))
    verdict.add(f"{what} std", ours.std, ref["std"], se, 0.01 * np.asarray(ref["std"]) + float_floor(ref["mean"]))


def compare_quantiles(verdict: Verdict, what: str, ours: Sample, ref: dict, n: int, tiles=None) -> None:
    r"""The fraction of ours below a quantile q of the reference is p, within z sqrt(p (1 - p) (1/n_ours + 1/n_eff)).

    A binomial error of the rank, not of the value: it needs no density, so it holds for any distribution. Where values
    coincide (bounds, stuck devices) the fractions below q and up to q enclose p; a band of the float floor around q
    counts as q. `n_eff` is the number of independent values among the `n` of the reference, which is smaller than `n`
    where the values of one tile share a bias: n_eff = min(n, (std / se_mean)^2, (std / se_std)^2 / 2). That is said of
    the bulk: where the values of a tile pile up at a bound of its own, the spread of the rank over `tiles`
    `[n_tiles, reps, ...]` counts if it is larger, once for ours and once for the reference, which has as many tiles.
    """
    std, se_mean = np.asarray(ref["std"], float), np.asarray(ref["se_mean"], float)
    se_std = np.asarray(ref["se_std"], float)
    n_eff = np.minimum((std / np.maximum(se_mean, _TINY)) ** 2, (std / np.maximum(se_std, _TINY)) ** 2 / 2)
    n_eff = np.where(std > 0, np.minimum(n_eff, n), n)
    band = float_floor(ref["mean"], *ref["quantiles"].values())
    fractions, levels, errors = [], [], []
    for level, value in ref["quantiles"].items():
        p, q = float(level), np.asarray(value, float)
        below, upto = (ours.values < q - band).mean(0), (ours.values <= q + band).mean(0)
        fractions.append(np.clip(p, below, upto))
        levels.append(np.full(q.shape, p))
        error = np.sqrt(p * (1 - p) * (1 / ours.n + 1 / np.maximum(n_eff, 1)))
        if tiles is not None:
            ranks = (np.asarray(tiles, float) <= q).mean(1)
            error = np.maximum(error, np.sqrt(2 / len(ranks)) * ranks.std(0, ddof=1))
        errors.append(error)
    # where p lies between the two fractions there is nothing to explain; otherwise the nearer one is compared with it
    verdict.add(f"{what} quantile ranks", np.stack(fractions), np.stack(levels), np.stack(errors), 1e-9)


def compare_covariance(verdict: Verdict, what: str, ours: Sample, ref, n: int) -> None:
    r"""|cov - cov_ref| <= z se sqrt(1/n_ours + 1/n) + floor, for samples `[n, k]` and `ref` `[k, k]`.

    se^2 = max(var_i var_j + cov^2, var(a_i a_j)): the first is exact for normal a, the second for any law; pulse counts
    of rare events have much larger fourth moments than a normal. Where i and j move together in fewer than z^2 of n
    repetitions, the count is no normal and a sample does not tell its error: there the floor is the second term of
    Bernstein's inequality, z^2 max|a_i| max|a_j| / (3 n).
    """
    a, ref = ours.centred, np.asarray(ref, float)
    cov = a.T @ a / (ours.n - 1)
    variance = np.diag(cov)
    general = (a**2).T @ (a**2) / ours.n - cov**2
    se = np.sqrt(np.maximum(np.outer(variance, variance) + cov**2, general) * (1 / ours.n + 1 / n))
    z, top, moved = z_limit(ref.size), np.abs(ours.values).max(0), (ours.values != 0).astype(float)
    rare = (moved.T @ moved) * n / ours.n < z**2
    bernstein = np.where(rare, z**2 * np.outer(top, top) / (3 * n), 0.0)
    verdict.add(f"{what} covariance", cov, ref, se, bernstein + float_floor(ref))


def compare_correlation(verdict: Verdict, what: str, a, b, ref: float, n: int) -> None:
    r"""|r - r_ref| <= z s sqrt(1/n_ours + 1/n) + float floor, s = std(u v - r (u^2 + v^2) / 2), u and v normalised."""
    u, v = ((x - x.mean()) / x.std() for x in (np.asarray(a, float).ravel(), np.asarray(b, float).ravel()))
    r = float((u * v).mean())
    s = np.std(u * v - r * (u * u + v * v) / 2)
    verdict.add(f"{what} correlation", r, ref, s * np.sqrt(1 / u.size + 1 / n), FLOAT)


def compare_exact(verdict: Verdict, what: str, ours, ref, slack=0.0) -> None:
    """|ours - ref| <= 1e-5 of the largest entry, plus `slack` where an input may go to either of two levels."""
    verdict.add(what, ours, ref, 0.0, float_floor(ref) + np.asarray(slack))
