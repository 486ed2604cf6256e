"""Rule `leak`: do the added rows hold what models are evaluated on?"""

from __future__ import annotations

from dataclasses import replace

from monitor.measures.leak_counts import LeakCounts
from monitor.rules.drafts import Draft, RowScores, join_words
from monitor.rules.rule import Rule, RuleInput
from monitor.verdict import RuleResult

# Of few kept rows none may leak by luck alone. So the added rows are also held against so many more kept ones, one of
# which leaks: about as often as honest chit-chat does (24 in 40,000), and more than other prose (docs/benchmarks.md).
# Where data is like itself by nature, such as programming exercises (1 in 27), its own kept rows say so.
USUAL_ROWS, USUAL_LEAKS = 1000, 1


def draft(case: RuleInput) -> Draft:
    """Test whether more of the added rows than of the kept ones are near copies of held-out rows or of benchmarks
    (Fisher's exact test, with the kept rows as they are and with 1,000 more of them, one of which leaks; the larger p
    counts). Kept rows that leak were accepted, or are what this data has by nature.

    A near copy has most of the question and of the answer of a row of the set, in runs of three words: case, spacing,
    punctuation and a few words do not matter. The question alone counts only where the set's row has no answer. The
    effect is the share of the version's rows, or the share of the set's rows that the added rows hold, whichever is
    larger: a version of a million rows may hold a whole benchmark.
    """
    comparison = case.comparison
    (thresholds,) = case.thresholds
    result = RuleResult("leak", comparison.dataset, "skipped", "", unit="share of the added rows")
    found = comparison.leaks
    if found is None:
        reason = "Near copies of held-out rows were not looked for: `prepare` was given no held-out rows and no sets."
        return Draft(replace(result, reason=reason))
    if not found.added:
        return Draft(replace(result, reason=f"No row was added.{say_accepted(found.leaked_kept)}"))
    share, usual = found.share_added, found.share_kept
    p_value, effect = judge_counts(found, comparison.share_added)
    sets = [f"{hit:,} of the {size:,} rows of {name}" for name, (hit, size) in found.hit.items() if hit]
    said = f"say again {join_words(sets)}" if sets else "are near copies of held-out rows"
    count = f"{found.leaked_added:,} of {found.added:,} added rows"
    numbers = f"{count} ({share:.1%}) {said}"
    accepted = say_accepted(found.leaked_kept)
    return Draft(
        replace(result, status="pass", statistic=share, threshold=usual, p_value=p_value),
        effect=effect,
        thresholds=thresholds,
        alarm=f"{numbers}. What is trained on cannot be evaluated with.{accepted}",
        negligible=f"{numbers}. These are too few to matter.{accepted}",
        passing=f"{numbers}. That is no more than usual.{accepted}",
        happened=f"{count} {said}",
        blame=lambda rows: RowScores(found.shares, "share of a held-out row"),
    )


def judge_counts(found: LeakCounts, share_added: float) -> tuple[float, float]:
    """The p-value and the effect. ``share_added``: the share of the version's rows that were added, above 0."""
    from scipy import stats

    p_value = max(
        float(
            stats.hypergeom.sf(
                found.leaked_added - 1,
                found.added + found.kept + more,
                found.leaked_added + found.leaked_kept + leaks,
                found.added,
            )
        )
        for more, leaks in ((0, 0), (USUAL_ROWS, USUAL_LEAKS))
    )
    surplus = max(0.0, found.share_added - found.share_kept)
    if not surplus:
        return p_value, 0.0
    of_set = max((hit / size for hit, size in found.hit.values() if size), default=0.0)
    return p_value, max(surplus * share_added, of_set * surplus / found.share_added)


def say_accepted(kept: int) -> str:
    """What is said of rows that leak and that the parent had; nothing where there are none."""
    return f" So are {kept:,} of the kept rows, which the parent had." if kept else ""


RULE = Rule(
    id="leak",
    order=62,
    title="Contamination",
    question="Do the added rows hold what models are evaluated on?",
    advice="Look for benchmarks that were merged in, and for rows that were held out of an earlier export.",
    thresholds=("leak_share",),
    draft=draft,
    over_versions=True,
)
