"""What happened to the data, in one sentence: which rows, what about them, whose they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from monitor.rules.apply import AppliedRule
from monitor.verdict import DatasetChanges, FlaggedRow, Status

# Of rules that say the same of a version, the one that says it best comes first: what is gone or reversed, what must
# not be there, what stands in the rows, what they repeat, what they are like to a model. Rules that are not here say
# nothing in one clause.
BEST_FIRST = (
    *("coverage", "flipped", "leak", "damage", "edits", "copies", "agreement", "loss", "redundancy", "level", "margin"),
    *("novelty", "mixture", "phrases", "style"),
)
# A source is named if it has this share of the rows that are named.
MOST = 0.8


def tell_what_happened(
    applied: Iterable[AppliedRule],
    status: Status,
    rows: Sequence[FlaggedRow],
    changes: Mapping[str, DatasetChanges],
) -> str:
    """The finding of the rule that says best why the version has its ``status``; empty where none can say it, and
    where the status is no alarm.

    ``rows``: those that the verdict names. ``changes``: by dataset, to know whether a dataset has several sources.
    """
    if status not in ("warn", "risky"):
        return ""
    telling = [
        rule
        for rule in applied
        if rule.result.status == status and rule.draft.happened and rule.result.id in BEST_FIRST
    ]
    if not telling:
        return ""
    best = min(telling, key=lambda rule: BEST_FIRST.index(rule.result.id))
    key = best.result.id, best.result.dataset
    sources = Counter(row.source for row in rows if (row.rule, row.dataset) == key)
    source, count = sources.most_common(1)[0] if sources else ("", 0)
    several = best.result.dataset in changes and len(changes[best.result.dataset].sources) > 1
    named = source and several and count >= MOST * sources.total()
    return f"{best.draft.happened}{f', nearly all of source {source!r}' if named else ''}."
