"""The entropy law as a report shows it: the measured runs, the fitted curves, and what they are worth in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitor.verdict import SCORED_DATASET, Verdict
from reports.numbers import finite, format_signs
from reports.words import MEASURES, Measure

CURVE_COLUMNS = ("x", "z", "low", "high", "run_low", "run_high")


@dataclass(frozen=True)
class RunView:
    """A measured run: the measures of its data, None where one was not measured, and its performance Z."""

    name: str
    r: float | None
    r_long: float | None
    l: float | None  # noqa: E741 - the paper's letter
    z: float


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
    points: tuple[RunView, ...]
    curves: tuple[CurveView, ...]


def view_law(verdict: Verdict) -> LawView:
    """The law that came with a verdict; runs without a Z are left out."""
    law = verdict.law
    points = tuple(
        RunView(
            name=str(point.get("name", "")),
            r=finite(point.get("r")),
            r_long=finite(point.get("r_long")),
            l=finite(point.get("l")),
            z=z,
        )
        for point in law.get("points") or ()
        if (z := finite(point.get("z"))) is not None
    )
    return LawView(
        sentence=format_signs(law.get("sentence") or "No entropy law has been fitted for this configuration yet."),
        dataset=SCORED_DATASET if SCORED_DATASET in verdict.measurements else next(iter(verdict.measurements), ""),
        holds=law.get("holds"),
        n_points=law.get("n_points", len(points)),
        points=points,
        curves=tuple(
            _view_curve(measure, (law.get("curves") or {}).get(measure.key) or {})
            for measure in MEASURES
            if any(getattr(point, measure.key, None) is not None for point in points)
        ),
    )


def _view_curve(measure: Measure, curve: Mapping[str, Any]) -> CurveView:
    band = curve.get("band") or {}
    columns = [band.get(key) or () for key in CURVE_COLUMNS]
    # A point of the curve is drawn only with both its bands.
    steps = [step for step in zip(*columns, strict=False) if all(finite(value) is not None for value in step)]
    return CurveView(
        key=measure.key,
        symbol=measure.symbol,
        label=measure.label,
        sentence=format_signs(curve.get("sentence") or f"No curve over {measure.symbol} has been fitted."),
        holds=curve.get("holds"),
        steps=tuple(steps) if len(steps) > 1 else (),
    )
