"""The entropy law as a report shows it: the measured runs, the fitted curves, and what they are worth in a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from monitor.law.results import ACCEPTED, LawCurve, LawPoint
from monitor.verdict import SCORED_DATASET, Verdict
from reports.numbers import format_signs
from reports.versions import SHOWN_VERSIONS
from reports.words import MEASURES, Measure


@dataclass(frozen=True)
class CurveView:
    """Z over one measure.

    ``steps``: points (x, Z, low and high of the curve, low and high of one more run) along the curve, none where no
    curve was fitted. ``holds``: whether the law holds on this measure, None where it was not tested.
    """

    key: str
    symbol: str
    label: str
    sentence: str
    holds: bool | None
    steps: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class LawView:
    """The law and its ``curves``, one for each measure that runs were measured in.

    ``dataset``: the one whose Z is forecast. ``n_points``: how many runs the law was fitted on.
    """

    sentence: str
    dataset: str
    holds: bool | None
    n_points: int
    points: tuple[LawPoint, ...]
    curves: tuple[CurveView, ...]

    @property
    def listed(self) -> tuple[LawPoint, ...]:
        """The points that a table lists: all runs, and of accepted versions the latest."""
        accepted = [place for place, point in enumerate(self.points) if point.family == ACCEPTED]
        left_out = set(accepted[:-SHOWN_VERSIONS])
        return tuple(point for place, point in enumerate(self.points) if place not in left_out)

    @property
    def table_title(self) -> str:
        """What the table of the points is called: it says how many of them it lists."""
        if len(self.listed) == len(self.points):
            return f"The {len(self.points)} measured runs"
        return f"{len(self.listed):,} of the {len(self.points):,} measured runs: of accepted versions the latest"


def view_law(verdict: Verdict) -> LawView:
    """The law that came with a verdict."""
    law = verdict.law
    return LawView(
        sentence=format_signs(f"{law.sentence} {law.quality.sentence}" if law.quality else law.sentence),
        dataset=SCORED_DATASET if SCORED_DATASET in verdict.measurements else next(iter(verdict.measurements), ""),
        holds=law.holds,
        n_points=law.n_points,
        points=law.points,
        # The law is over R and L; where no run was measured there is nothing to draw.
        curves=tuple(
            _view_curve(measure, law.curves.get(measure.key))
            for measure in MEASURES
            if measure.key != "c" and law.points
        ),
    )


def _view_curve(measure: Measure, curve: LawCurve | None) -> CurveView:
    band = curve.band if curve else None
    return CurveView(
        key=measure.key,
        symbol=measure.symbol,
        label=measure.label,
        sentence=format_signs(curve.sentence if curve else f"No curve over {measure.symbol} has been fitted."),
        holds=curve.holds if curve else None,
        steps=tuple(zip(band.x, band.z, band.low, band.high, band.run_low, band.run_high, strict=True)) if band else (),
    )
