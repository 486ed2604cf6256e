"""The selection methods side by side at equal token budget (the paper's Table 1): what was measured, and what it says.

Z is compared with that of a random selection by Welch's t interval over seeds. It is related to R and L by the law of
`monitor.law.entropy_law` and the curves of `monitor.law.curves`, with one point for every distinct selection.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from monitor.law.curves import fit_law_curves
from monitor.law.entropy_law import EntropyLaw, fit_entropy_law
from monitor.law.quality_part import measure_quality_part
from monitor.law.results import LawCurve, LawMeasure, QualityPart
from reports.study.law import list_law_points
from reports.study.runs import Lengths, MethodResult, StudyRun, ZMeasure
from selection.methods import SelectionParams

CONFIDENCE = 0.95
# A method is not compared at equal terms with random when its models were trained on this much more or fewer tokens.
# Smaller differences are normal: the last row may not have fit, and a chat template adds tokens to each row.
UNEQUAL_SHARE = 0.05

SizeName = Literal["k1", "k2", "k3"]
SIZES: tuple[SizeName, ...] = ("k1", "k2", "k3")


@dataclass(frozen=True)
class Difference:
    """Mean Z of a method minus that of random, with its 95% interval; None where one of the two has a single run."""

    value: float
    low: float | None
    high: float | None

    @property
    def outcome(self) -> Literal["better", "worse", "within noise", "unknown"]:
        """What the interval says of the method beside random."""
        if self.low is None or self.high is None:
            return "unknown"
        return "better" if self.low > 0 else "worse" if self.high < 0 else "within noise"


@dataclass(frozen=True)
class MethodRow:
    """A method in numbers: means over its runs.

    ``z_sd``: sample standard deviation of Z, None with one run. ``versus_random``: None for random itself, and in a
    study without it. ``lengths`` and ``mean_tokens``: of the selected rows at their full length. ``trained_tokens``: of
    one epoch. ``seconds``: of selecting. ``l`` in nats per response token. ``quality``: from 0 to 5, None if not
    graded. ``r_equal_length``, ``self_repetition`` and ``novelsum``: None where a run has none of it. ``right_share``:
    of held-out pairs, None in a study of conversations.
    """

    name: str
    settings: SelectionParams
    runs: tuple[StudyRun, ...]
    lengths: Lengths
    z: float
    z_sd: float | None
    versus_random: Difference | None
    seconds: float
    rows: float
    mean_tokens: float
    trained_tokens: float
    r: float
    r_long: float
    l: float  # noqa: E741 - the paper's letter
    quality: float | None
    r_equal_length: float | None
    self_repetition: float | None
    novelsum: float | None
    right_share: float | None = None


@dataclass(frozen=True)
class Study:
    """A selection study: what was measured, and the law fitted on it.

    ``share``: of the pool's tokens that each method selects, ``budget_tokens`` in all. ``row_tokens``: the most tokens
    that count of one row. ``methods``: the rows of Table 1 in the order of params.yaml. ``variants``: for a ZIP row of
    Table 1, by its name, the entries that differ from it in one of K1, K2, K3. ``curves``: of Z over each single
    measure. ``z_measure``: what Z is. ``dataset``: what was selected from.
    ``quality``: the part of Q in the law; None where too few selections are graded.
    """

    share: float
    budget_tokens: int
    row_tokens: int
    seeds: tuple[int, ...]
    methods: tuple[MethodRow, ...]
    variants: dict[str, tuple[MethodRow, ...]]
    law: EntropyLaw
    curves: dict[LawMeasure, LawCurve]
    z_measure: ZMeasure = "heldout"
    dataset: Literal["sft", "preferences"] = "sft"
    quality: QualityPart | None = None

    @property
    def entries(self) -> tuple[MethodRow, ...]:
        """All methods and variants."""
        return (*self.methods, *(row for rows in self.variants.values() for row in rows))

    @property
    def random(self) -> MethodRow | None:
        """The first entry that selects at random, with which the others are compared; None without one."""
        return next((row for row in self.methods if row.settings.method == "random"), None)


def build_study(
    results: Sequence[MethodResult],
    lengths: Mapping[str, Lengths],
    z_measure: ZMeasure = "heldout",
    dataset: Literal["sft", "preferences"] = "sft",
) -> Study:
    """Build a study from the results of its methods, which have the same budget and seeds.

    ``results``: in the order of params.yaml. ``lengths``: of the selected rows, by the name of the entry.
    """
    bases = find_variants({result.name: result.settings for result in results})
    random = next((result for result in results if result.settings.method == "random"), None)
    rows = {result.name: _summarise(result, random, lengths[result.name]) for result in results}
    points = list_law_points(results)
    return Study(
        share=results[0].settings.share,
        budget_tokens=results[0].budget_tokens,
        row_tokens=results[0].row_tokens,
        seeds=tuple(run.seed for run in results[0].runs),
        methods=tuple(row for name, row in rows.items() if name not in bases),
        variants={
            base: tuple(rows[name] for name in bases if bases[name] == base) for base in dict.fromkeys(bases.values())
        },
        law=fit_entropy_law(points),
        # With the same shuffles each time, so that the same runs give the same bytes.
        curves=fit_law_curves(points, np.random.default_rng(0)),
        z_measure=z_measure,
        dataset=dataset,
        quality=measure_quality_part(points),
    )


def find_variants(settings: Mapping[str, SelectionParams]) -> dict[str, str]:
    """The variants, each with the entry it is a variant of: ZIP entries that differ in one of K1, K2, K3 alone.

    The other entry comes first and is no variant itself.

    >>> sizes = {"zip": (1000, 200, 100), "wide": (5000, 200, 100), "other": (5000, 500, 100)}
    >>> find_variants({name: SelectionParams(k1=k1, k2=k2, k3=k3) for name, (k1, k2, k3) in sizes.items()})
    {'wide': 'zip'}
    """
    bases: dict[str, str] = {}
    main: list[str] = []
    for name, own in settings.items():
        base = next((other for other in main if _differ_in_one_size(own, settings[other])), None)
        if base is None:
            main.append(name)
        else:
            bases[name] = base
    return bases


def _differ_in_one_size(own: SelectionParams, other: SelectionParams) -> bool:
    different = [
        field.name for field in dataclasses.fields(own) if getattr(own, field.name) != getattr(other, field.name)
    ]
    return own.method == "zip" and len(different) == 1 and different[0] in SIZES


def list_variants(study: Study, base: MethodRow, size: SizeName) -> tuple[MethodRow, ...]:
    """A ZIP row with its variants in ``size``, ordered by it; the row alone where there are none."""
    same = [
        row for row in study.variants.get(base.name, ()) if getattr(row.settings, size) != getattr(base.settings, size)
    ]
    return tuple(sorted([base, *same], key=lambda row: int(getattr(row.settings, size))))


def _mean_of_all(values: Sequence[float | None]) -> float | None:
    """The mean; None where one of the values is missing."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def _summarise(result: MethodResult, random: MethodResult | None, lengths: Lengths) -> MethodRow:
    runs = result.runs
    z = [run.z for run in runs]
    graded = [run.selected.quality for run in runs if run.selected.quality is not None]
    right = [run.right_share for run in runs if run.right_share is not None]
    mean = {
        key: statistics.fmean(getattr(run.selected, key) for run in runs)
        for key in ("seconds", "rows", "r", "r_long", "l")
    }
    return MethodRow(
        name=result.name,
        settings=result.settings,
        runs=runs,
        lengths=lengths,
        z=statistics.fmean(z),
        z_sd=statistics.stdev(z) if len(z) > 1 else None,
        versus_random=compare_means(z, [run.z for run in random.runs]) if random and random is not result else None,
        mean_tokens=sum(tokens * rows for tokens, rows in lengths.items()) / sum(lengths.values()),
        trained_tokens=statistics.fmean(run.trained_tokens for run in runs),
        quality=statistics.fmean(graded) if graded else None,
        r_equal_length=_mean_of_all([run.selected.r_equal_length for run in runs]),
        self_repetition=_mean_of_all([run.selected.self_repetition for run in runs]),
        novelsum=_mean_of_all([run.selected.novelsum for run in runs]),
        right_share=statistics.fmean(right) if right else None,
        **mean,
    )


def compare_means(here: Sequence[float], there: Sequence[float]) -> Difference:
    """Difference of two means with Welch's 95% interval, which allows the two sides to vary differently.

    They do: a method without random choices varies only by its training, a random selection also by its rows.

    >>> compare_means([2.0, 2.0], [1.0, 1.0])
    Difference(value=1.0, low=1.0, high=1.0)
    """
    value = statistics.fmean(here) - statistics.fmean(there)
    if min(len(here), len(there)) < 2:
        return Difference(value, None, None)
    parts = [statistics.variance(side) / len(side) for side in (here, there)]
    variance = sum(parts)
    if variance == 0:
        return Difference(value, value, value)
    from scipy import stats

    degrees = variance**2 / sum(part**2 / (len(side) - 1) for part, side in zip(parts, (here, there), strict=True))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees)) * math.sqrt(variance)
    return Difference(value, value - half, value + half)
