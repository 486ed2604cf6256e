"""Rule `coverage`: are rows of the parent missing that should be there?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from monitor.measures.coverage import Coverage
from monitor.measures.mixture import LOST_SHARE
from monitor.rule_params import Thresholds
from monitor.rules.drafts import Draft, decide_status
from monitor.rules.rule import Rule, RuleInput
from monitor.rules.significance import correct_for_choice
from monitor.verdict import SEVERITY, RuleResult

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Fewer rows at an end of the file are no part of it.
MIN_RUN = 5
# So much of a missing part must be gone. A row that stays, or seems to because another has the same answer, does not
# make a part whole.
GONE_SHARE = 0.8


# A window that moves on takes in about as many rows as it leaves behind: so many, for counts may be estimates.
WINDOW_SHARE = 0.9


@dataclass(frozen=True)
class Loss:
    """Rows that are gone. ``share``: of the parent's rows, beyond what the rest of the data has lost as well."""

    what: str
    share: float
    p_value: float
    thresholds: Thresholds


def draft(case: RuleInput) -> Draft:
    """Find the gravest loss: of a source, of one end of the file, or of many rows anywhere.

    The first two are held against rows that are removed at random (hypergeometric). Rows that are gone all over the
    file are a clean-up, which is worth a warning where it goes beyond the largest update that the calibration made.
    """
    comparison, params = case.comparison, case.params
    (thresholds,) = case.thresholds
    result = RuleResult("coverage", comparison.dataset, "skipped", "", unit="share of the parent's rows")
    found = comparison.coverage
    if found is None:
        return Draft(replace(result, reason="Which rows of the parent are missing was not measured."))
    limit = max(case.calibration.params.update_shares)
    new_rows = comparison.now.rows - (found.rows - found.lost)
    losses = [
        *find_lost_sources(found, thresholds),
        *find_lost_ends(found, thresholds, new_rows),
        find_loss(found, limit),
    ]
    unknown = "" if found.position.size else " Where in the file they stood is not known of this parent."
    if unknown and not found.sources:
        unknown += " Nor are its sources."

    def gravity(loss: Loss) -> tuple[int, float]:
        p_value = correct_for_choice(loss.p_value, len(losses))
        return SEVERITY.index(decide_status(p_value, loss.share, loss.thresholds, params)), p_value

    loss = min(losses, key=gravity)
    return Draft(
        replace(
            result,
            status="pass",
            statistic=loss.share,
            threshold=loss.thresholds.warn,
            p_value=correct_for_choice(loss.p_value, len(losses)),
        ),
        effect=loss.share,
        thresholds=loss.thresholds,
        alarm=f"{loss.what}.{unknown}",
        negligible=f"{loss.what}, too few to matter.{unknown}",
        happened=loss.what,
        passing=f"About {found.lost:,.0f} of the parent's {found.rows:,} rows are gone, no source or end of the file "
        f"more than the rest.{unknown}",
    )


def find_lost_sources(found: Coverage, thresholds: Thresholds) -> list[Loss]:
    """The sources of which most rows are gone, each against a removal of as many rows at random."""
    from scipy import stats

    lost = {source: max(0, had - now) for source, (had, now) in found.sources.items()}
    rows, removed = sum(had for had, _ in found.sources.values()), sum(lost.values())
    losses = []
    for source, (had, now) in found.sources.items():
        # Under another name its rows are still there.
        gone = min(lost[source], round(found.lost) if found.position.size else found.removed)
        if gone < LOST_SHARE * had or had == rows:
            continue
        p_value = float(stats.hypergeom.sf(lost[source] - 1, rows, had, removed)) * len(lost)
        share = (gone - had * (removed - lost[source]) / (rows - had)) / rows
        named = f"source {source!r}" if source else "rows without a source"
        left = "all" if not now else f"{gone:,} of"
        losses.append(Loss(f"{named[0].upper()}{named[1:]}: {left} {had:,} rows are gone", share, p_value, thresholds))
    return losses


def find_lost_ends(found: Coverage, thresholds: Thresholds, new_rows: float = 0.0) -> list[Loss]:
    """The longest part at the start, and at the end, of the parent's file of which nearly all rows are gone.

    Where as many ``new_rows`` came as rows are gone, a missing start is a window that moves on with time: its oldest
    rows go as new ones come. Such rows count with those that are gone from all over the file.
    """
    gone, position = ~found.is_present, found.position
    if not gone.any() or gone.all():
        return []
    losses = []
    for at_end in (False, True):
        run, share, p_value = _find_run(gone[::-1] if at_end else gone)
        is_window = not at_end and new_rows >= WINDOW_SHARE * found.lost
        if run and not is_window:
            first, last = (
                (int(position[-run]) + 1, found.rows) if at_end else (1, min(int(position[run - 1]) + 1, found.rows))
            )
            part = f"the {'last' if at_end else 'first'} {(last - first + 1) / found.rows:.0%} of the file"
            what = f"Rows {first:,} to {last:,} of the parent, {part}, are gone"
            losses.append(Loss(what, share, p_value, thresholds))
    return losses


def _find_run(gone: NDArray[np.bool_]) -> tuple[int, float, float]:
    """The run of missing rows at the start of ``gone``: its length, the share of all that it loses, and p.

    p is the probability that a removal of as many rows at random leaves such a run anywhere at either end.
    """
    from scipy import stats

    total, removed = gone.size, int(np.count_nonzero(gone))
    length = np.arange(1, total)
    inside = np.cumsum(gone)[:-1]
    outside = (removed - inside) / (total - length)
    share = (inside - length * outside) / total
    fits = (length >= MIN_RUN) & (inside >= GONE_SHARE * length) & gone[:-1]
    if not fits.any():
        return 0, 0.0, 1.0
    # The run ends where fewer rows are gone than halfway between all and the rate of the rest.
    depth = inside - length * (1 + outside) / 2
    best = int(np.argmax(np.where(fits, depth, -math.inf)))
    p_value = float(stats.hypergeom.sf(inside[best] - 1, total, removed, length[best]))
    return int(length[best]), float(share[best]), correct_for_choice(p_value, 2 * total)


def find_loss(found: Coverage, limit: float) -> Loss:
    """All rows that are gone, wherever they stood. More than ``limit``, a share, is a warning, and never a stop."""
    from scipy import stats

    share = found.lost / found.rows
    known = found.position.size or found.rows
    p_value = float(stats.binom.sf(round(share * known) - 1, known, limit))
    what = f"About {found.lost:,.0f} of the parent's {found.rows:,} rows ({share:.0%}) are gone, from all over the file"
    return Loss(what, share, p_value, Thresholds(limit, math.inf))


RULE = Rule(
    id="coverage",
    order=85,
    title="Coverage",
    question="Are rows of the parent missing that should be there?",
    advice="Look for a file that was cut off, a shard or a source that was not exported, and a filter that took too "
    "much.",
    thresholds=("coverage_loss",),
    draft=draft,
)
