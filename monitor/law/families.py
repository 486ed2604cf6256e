"""Kinds of training runs: whether a law holds across them, or only because damaged runs lie far from sound ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitor.law.results import ACCEPTED, CLEAN, REPEATED, LawPoint

Vector = NDArray[np.float64]

# Fewer sound runs cannot be ranked: of four, one order in six has a correlation of 0.8 by chance.
MIN_CLEAN = 5


def scale_of(points: Sequence[LawPoint]) -> NDArray[np.bool_]:
    """For each run, whether its Z is on the scale of accepted versions, shape (n,).

    Their models are trained longer than those of the calibration's runs. Only changes of Z compare between the two.
    """
    return np.array([point.family == ACCEPTED for point in points], dtype=bool)


def centre(values: Vector, scale: NDArray[np.bool_]) -> Vector:
    """The values less the mean of their own scale."""
    centred = values.copy()
    for own in (scale, ~scale):
        if own.any():
            centred[own] -= values[own].mean()
    return centred


def predict_other_families(points: Sequence[LawPoint], design: Vector, z: Vector) -> Vector:
    """Z of each run, less the mean of its scale, by the plane through the runs of all other families, (n,).

    ``design``: (n, k), a constant, the measures, and a column for each further scale. nan where the other families do
    not decide a plane.
    """
    families = np.array([point.family for point in points])
    scale = scale_of(points)
    predicted = np.full(len(z), math.nan)
    for family in np.unique(families):
        out = families == family
        used = np.ptp(design[~out], axis=0) > 0 if (~out).any() else np.zeros(design.shape[1], dtype=bool)
        used[0] = True
        coefficients, _, rank, _ = np.linalg.lstsq(design[~out][:, used], z[~out], rcond=None)
        # Both measures must be known from the others.
        if used[1] and used[2] and rank == used.sum():
            predicted[out] = design[out][:, used] @ coefficients
        for own in (scale, ~scale):
            # The level of a scale of which no run is left cannot be known; the changes within it can.
            if (out & own).any() and not (own & ~out).any():
                predicted[out & own] += z[out & own].mean() - predicted[out & own].mean()
    return predicted - (z - centre(z, scale))


def explain_families(points: Sequence[LawPoint], design: Vector, z: Vector) -> float:
    """The share of Z's variation that is predicted with whole families left out one by one (R²), or nan."""
    z_centred = centre(z, scale_of(points))
    errors = z_centred - predict_other_families(points, design, z)
    return 1 - float(errors @ errors) / float(z_centred @ z_centred)


def rank_clean(points: Sequence[LawPoint], predicted: Vector, z: Vector) -> float:
    """Spearman's correlation of forecast and actual Z among runs on sound data; nan with fewer than MIN_CLEAN.

    ``predicted``: each run by the plane through all others.
    """
    from scipy import stats

    sound = np.array([point.family in (CLEAN, ACCEPTED) for point in points], dtype=bool)
    if sound.sum() < MIN_CLEAN:
        return math.nan
    scale = scale_of(points)[sound]
    return float(stats.spearmanr(centre(predicted[sound], scale), centre(z[sound], scale)).statistic)


def describe_synthetic(r_squared_families: float, rank_correlation_clean: float, limits: tuple[float, float]) -> str:
    """Why a law holds on synthetic damage only, as a part of a sentence; empty where it holds beyond it.

    ``limits``: the lowest R² and the lowest rank correlation of a law that holds.

    >>> describe_synthetic(0.26, -0.7, (0.5, 0.8))
    "whole kinds of runs left out are predicted with R² 0.26 only, and sound runs are ranked with Spearman's \
correlation -0.70, below 0.8"
    >>> describe_synthetic(0.8, 0.9, (0.5, 0.8))
    ''
    """
    lowest_r_squared, lowest_rank = limits
    parts = []
    if not r_squared_families > lowest_r_squared:
        how_well = f"with R² {r_squared_families:.2f} only" if r_squared_families > 0 else "worse than by their mean"
        parts.append(f"whole kinds of runs left out are predicted {how_well}")
    if math.isnan(rank_correlation_clean):
        parts.append(f"fewer than {MIN_CLEAN} runs are on sound data")
    elif not rank_correlation_clean >= lowest_rank:
        parts.append(
            f"sound runs are ranked with Spearman's correlation {rank_correlation_clean:.2f}, below {lowest_rank}"
        )
    return ", and ".join(parts)


def measure_consistency(points: Sequence[LawPoint]) -> tuple[float, ...]:
    """C of each run as the paper has it (equations 3 to 5): how much lower L is than its R lets expect, in nats.

    What R lets expect is a straight line of L over ln(long R) through the runs whose rows are undamaged, repeated or
    not; sound runs alone differ too little in R. Below 0: harder to learn than such data as redundant as this, that is,
    less consistent. Empty where these runs decide no line.

    >>> runs = [LawPoint("", 2.0, r, 5 - 0.5 * math.log(r), -4.0) for r in (2.0, 3.0, 4.0, 5.0, 6.0)]
    >>> [round(c, 6) + 0 for c in measure_consistency([*runs, LawPoint("", 2.0, 1.0, 5.4, -4.5, "scrambled")])]
    [0.0, 0.0, 0.0, 0.0, 0.0, -0.4]
    """
    sound = [point for point in points if point.family in (CLEAN, REPEATED)]
    x = np.array([math.log(point.r_long) for point in sound])
    if len(sound) < MIN_CLEAN or np.ptp(x) == 0:
        return ()
    slope, constant = np.polyfit(x, [point.l for point in sound], 1)
    return tuple(float(constant + slope * math.log(point.r_long) - point.l) for point in points)
