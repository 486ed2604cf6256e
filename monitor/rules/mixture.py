"""Rule `mixture`: did the shares of the sources move further than they do here?"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from monitor.measures.compression import OTHER_SOURCES
from monitor.measures.mixture import Mixture, compare_mixtures, compare_with_weights
from monitor.rule_params import Thresholds
from monitor.rules.drafts import Draft
from monitor.rules.rule import Rule, RuleInput
from monitor.verdict import RuleResult

# A source is named if its share moved by so much, in two decimals of a percent; at most so many are.
NAMED_SHIFT, NAMED = 0.02, 4


def draft(case: RuleInput) -> Draft:
    """Measure how many rows would have to be of other sources for the mixture to be the parent's, or the intended one.

    The effect is the total variation distance between the shares, as a share of the version's rows. Sources that are
    new or lost are left out, because `novelty` and `coverage` say these. Sources with less than 5% of the rows each
    count as one. A chi-squared test asks whether chance alone moves shares so far: of independence against the parent,
    of fit against intended weights. Rows that both versions have make it too careful, not too bold.

    Beside `mixture_shift.warn` the history says how far is too far: what has moved so far twice in its last ten steps
    is a habit. Intended weights take the place of the history. A mixture that is different is not worse: it only warns.
    """
    comparison, weights = case.comparison, case.params.mixture_weights
    result = RuleResult("mixture", comparison.dataset, "skipped", "", unit="share of the rows")
    before, now = comparison.sources_before, comparison.sources_now
    if before is None or now is None:
        return Draft(replace(result, reason="How many rows of each source the parent had was not recorded."))
    found = compare_with_weights(weights, before, now) if weights else compare_mixtures(before, now)
    if found is None:
        reason = "The parent and this version have fewer than two sources in common that are large enough to compare."
        return Draft(replace(result, reason=reason))
    p_value = find_chance(found)
    habit = 0.0 if weights else find_habit(comparison.past_shifts)
    # Only what goes further than a habit is an alarm; any that goes as far as the parameter is.
    limit = max(case.params.mixture_shift.warn, math.nextafter(habit, 1.0))
    moved = tell_moves(found)
    usual = (
        f" Accepted versions have moved by {habit:.0%} more than once."
        if habit >= case.params.mixture_shift.warn
        else ""
    )
    size = f"{found.moved:.1%} of the rows would have to be of other sources for the mixture to be "
    size += "the intended one" if weights else "as before"
    return Draft(
        replace(result, status="pass", statistic=found.moved, threshold=limit, p_value=p_value),
        effect=found.moved,
        thresholds=Thresholds(limit, math.inf),
        alarm=f"{moved}. {size}.{usual}",
        negligible=f"{size}, too few to matter.{usual}",
        passing=f"{size}, which may be chance.{usual}",
        happened=moved,
        worst="warn",
    )


def find_habit(shifts: tuple[float, ...]) -> float:
    """How far accepted versions have moved more than once: the second largest shift; 0 where there are not two.

    >>> find_habit((0.02, 0.31, 0.05))
    0.05
    """
    return sorted(shifts)[-2] if len(shifts) > 1 else 0.0


def find_chance(found: Mixture) -> float:
    """The p-value of the hypothesis that rows come from the sources as before, or as intended (chi-squared)."""
    from scipy import stats

    shares, now = (np.array(column, dtype=float) for column in zip(*found.sources.values(), strict=True))
    if found.rows_before is not None:
        return float(stats.chi2_contingency([shares * found.rows_before, now], correction=False).pvalue)
    if (shares == 0).any():  # there are rows where none are intended
        return 0.0
    return float(stats.chisquare(now, shares / shares.sum() * now.sum()).pvalue)


def tell_moves(found: Mixture) -> str:
    """The sources whose shares moved most, as the beginning of a sentence.

    >>> tell_moves(Mixture({"chat": (0.4, 55), "maths": (0.3, 15), "code": (0.3, 30)}, rows=100, rows_before=100))
    "Source 'chat' went from 40% to 55% of the rows, source 'maths' from 30% to 15%"
    """
    moves = sorted(found.shares.items(), key=lambda move: (-abs(move[1][1] - move[1][0]), move[0]))
    named = [move for move in moves[:NAMED] if abs(move[1][1] - move[1][0]) >= NAMED_SHIFT] or moves[:1]
    rows = "rows" if found.compared == found.rows else "rows of sources that both versions have"
    said: list[str] = []
    for name, (before, now) in named:
        who = "the smaller sources together" if name == OTHER_SOURCES else f"source {name!r}"
        who = who if name else "rows without a source"
        of = "" if said else f" of the {rows}"
        if found.rows_before is None:
            said.append(f"{who}: {now:.0%}{of}, and {before:.0%} intended")
        else:
            said.append(f"{who} {'' if said else 'went '}from {before:.0%} to {now:.0%}{of}")
    sentence = ("; " if found.rows_before is None else ", ").join(said)
    return f"{sentence[0].upper()}{sentence[1:]}"


RULE = Rule(
    id="mixture",
    order=84,
    title="Mixture",
    question="Did the shares of the sources move further than they do here?",
    advice="Look for a source that was exported twice or in part, and for a sampling weight that was changed. If the "
    "mixture is wanted, accept the version, or set `rules.mixture_weights`.",
    thresholds=("mixture_shift",),
    draft=draft,
    over_versions=True,
)
