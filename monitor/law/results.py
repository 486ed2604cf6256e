"""The results of fitting the entropy law: its runs, its curves over one measure, and the summary in a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

LawMeasure = Literal["r", "r_long", "l"]
Form = Literal["linear", "quadratic", "exponential", "power"]


# Families of runs: on sound data, and of accepted versions. Other families are kinds of damage.
CLEAN, ACCEPTED = "clean", "accepted"
# Rows that stand there more than once: redundant, and each as consistent as it was.
REPEATED = "repeated"


@dataclass(frozen=True)
class LawPoint:
    """One training run: R, long R and L of its data, and Z of its model (higher is better).

    ``family``: the kind of its data, ``clean`` where that is sound. ``q``: the mean grade of its rows, None where they
    have none.
    """

    ADDED: ClassVar[tuple[str, ...]] = ("q",)

    name: str
    r: float
    r_long: float
    l: float  # noqa: E741 - the paper's letter
    z: float
    family: str = CLEAN
    q: float | None = None

    def __post_init__(self) -> None:
        if not (self.r > 0 and self.r_long > 0):
            raise ValueError(f"a compression ratio is above 0, found {self.r} and {self.r_long}")


@dataclass(frozen=True)
class CurveBand:
    """A curve over the range of its runs, with two bands at 95%.

    ``low`` to ``high`` is the band of the curve itself; ``run_low`` to ``run_high`` is the band of one more run. All
    six sequences have the same length.
    """

    x: tuple[float, ...]
    z: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    run_low: tuple[float, ...]
    run_high: tuple[float, ...]


@dataclass(frozen=True)
class LawCurve:
    """Z over one measure: the form that fits the runs best, and how good it is.

    ``holds`` is None with too few runs. Then every field after ``sentence`` is None or empty.

    - ``form``: the form with the lowest value in ``aicc``. ``coefficients``, ``centre``: as in `FittedForm`.
    - ``r_squared``, and ``residual_sd`` in units of Z: how well the form fits the runs.
    - ``r_squared_loo``, and ``error_loo`` (root mean square, in units of Z): how well a run is predicted by a form that
      was chosen and fitted without it.
    - ``p_value``: how often the best form fits as well when Z is shuffled among the runs.
    """

    n_points: int
    holds: bool | None
    sentence: str
    form: Form | None = None
    coefficients: tuple[float, ...] = ()
    centre: float | None = None
    residual_sd: float | None = None
    r_squared: float | None = None
    r_squared_loo: float | None = None
    error_loo: float | None = None
    p_value: float | None = None
    aicc: dict[Form, float] = field(default_factory=dict)
    band: CurveBand | None = None


@dataclass(frozen=True)
class LawSlopes:
    """How Z changes with each measure: ``log_r_long`` per unit of ln(long R), ``l`` per nat per token."""

    log_r_long: float
    l: float  # noqa: E741 - the paper's letter


@dataclass(frozen=True)
class ForecastCheck:
    """The law's forecasts of changes of Z against the actual changes, over ``n`` steps from version to version.

    ``r_squared``: against the forecast that nothing changes. ``rank_correlation``: Spearman's. ``skilled``: whether
    both are above 0.
    """

    n: int
    r_squared: float
    rank_correlation: float
    skilled: bool
    sentence: str


@dataclass(frozen=True)
class QualityPart:
    """What the quality Q of the data, the mean grade of its rows, adds to the law: Z = h(R, L, Q) beside Z = g(R, L).

    Both are fitted on the ``n_points`` runs whose rows have grades. ``slope``: how Z changes with one grade, with its
    95% interval ``low`` to ``high``; ``p_value``: of its t test. ``r_squared_loo``, ``r_squared_loo_without``: how well
    runs left out one by one are predicted with and without Q. ``tells``: whether Q is significant (1%) and runs left
    out are predicted better with it.
    """

    n_points: int
    slope: float
    low: float
    high: float
    p_value: float
    r_squared_loo: float
    r_squared_loo_without: float
    tells: bool
    sentence: str


@dataclass(frozen=True)
class LawSummary:
    """The entropy law as a verdict holds it and reports show it.

    - ``holds``: None where there were too few runs to fit it; the numbers after ``curves`` are then None too.
    - ``curves``: Z over one measure at a time.
    - ``r_squared_loo``, ``rank_correlation``: of runs left out one by one. ``r_squared_families``: of whole families
      left out one by one. ``rank_correlation_clean``: within runs on sound data, None with too few of them.
    - ``consistency``: C of each run, as the residual of L given R, in nats; empty where that cannot be told.
    - ``forecasts``: forecast against actual changes of Z of accepted versions; None where there are too few of them, or
      all are the same.
    - ``quality``: the part of Q; None where too few runs have grades.
    """

    ADDED: ClassVar[tuple[str, ...]] = ("quality",)

    holds: bool | None
    sentence: str
    n_points: int
    points: tuple[LawPoint, ...]
    curves: dict[LawMeasure, LawCurve]
    slopes: LawSlopes | None = None
    r_squared_loo: float | None = None
    rank_correlation: float | None = None
    r_squared_families: float | None = None
    rank_correlation_clean: float | None = None
    consistency: tuple[float, ...] = ()
    forecasts: ForecastCheck | None = None
    quality: QualityPart | None = None
