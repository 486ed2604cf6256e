"""Rule `quality`: do the added rows have lower grades than the parent's rows?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from monitor.measures.grades import GradeSummary
from monitor.rules.drafts import Draft, RowScores
from monitor.rules.parent_comparison import ComparedRows
from monitor.rules.rule import Rule, RuleInput
from monitor.verdict import RuleResult

# Of fewer graded rows the mean says little, and a spread even less.
MIN_GRADED = 10
UNIT = "grade"


def draft(case: RuleInput) -> Draft:
    """Test whether the mean grade of the added rows lies below that of the parent's rows (Welch's t).

    The paper's law has Q beside R and L (equation 5), and its example assumes that Q does not decay (5.3). Kept rows
    keep their grades, so what an update does to Q comes from the rows that it adds. The effect is the fall of the whole
    version's mean grade that follows, in standard deviations of the parent's grades, because scales differ. A judge's
    taste is no proof of harm, so this only warns. It is asked only where rows have grades.
    """
    comparison = case.comparison
    before, added = comparison.grades_before, comparison.grades_added
    result = RuleResult("quality", comparison.dataset, "skipped", "", unit=UNIT)
    if before is None:
        return Draft(replace(result, reason="The parent's rows had no grades when it was accepted."))
    if not comparison.now.added:
        return Draft(replace(result, reason="No rows were added."))
    if added is None or min(added.rows, before.rows) < MIN_GRADED:
        found = 0 if added is None else added.rows
        reason = f"Only {found} added rows and {before.rows} of the parent's have grades: too few to tell."
        return Draft(replace(result, reason=reason))
    (tolerance,) = case.thresholds
    fall = before.mean - added.mean
    spread = before.sd or added.sd or 1.0
    limit = -tolerance.warn * spread / comparison.share_added
    numbers = (
        f"The {added.rows} graded ones of the added rows have a mean grade of {added.mean:.2f}, the parent's rows one "
        f"of {before.mean:.2f}, which moves Q of the version by {-fall * comparison.share_added:+.3f}"
    )
    return Draft(
        replace(result, status="pass", statistic=-fall, threshold=limit, p_value=find_chance(before, added)),
        effect=comparison.share_added * fall / spread,
        thresholds=tolerance,
        alarm=f"{numbers}: a fall of {comparison.share_added * fall / spread:.2f} standard deviations.",
        negligible=f"{numbers}: a fall too small to matter.",
        passing=f"{numbers}: no fall that can be told from noise.",
        happened="The added rows have lower grades than the rows before them",
        worst="warn",
        blame=blame,
    )


def find_chance(before: GradeSummary, added: GradeSummary) -> float:
    """How often chance puts the added rows' mean so far below the other one (Welch's t, one-sided)."""
    from scipy import stats

    parts = (before.sd**2 / before.rows, added.sd**2 / added.rows)
    if sum(parts) == 0.0:
        return 0.0 if added.mean < before.mean else 1.0
    degrees = sum(parts) ** 2 / (parts[0] ** 2 / (before.rows - 1) + parts[1] ** 2 / (added.rows - 1))
    return float(stats.t.sf((before.mean - added.mean) / math.sqrt(sum(parts)), degrees))


def blame(rows: ComparedRows) -> RowScores:
    """The rows with the lowest grades."""
    grades, scores = rows.evidence.grades, np.full(len(rows.evidence.records), np.nan)
    if grades is not None:
        scores[grades.rows] = grades.grades
    return RowScores(scores, UNIT, highest=False)


RULE = Rule(
    id="quality",
    order=86,
    title="Quality",
    question="Do the added rows have lower grades than the parent's rows?",
    advice="Read the added rows with the lowest grades. If another judge or scale graded them, grade all rows anew.",
    thresholds=("quality_fall",),
    draft=draft,
    needs="q",
)
