"""What happened to the data, in one sentence: which rows, what about them, whose they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from monitor.rules.apply import AppliedRule
from monitor.rules.rank_shift import LEAST_P
from monitor.verdict import DatasetChanges, FlaggedRow, Status

# Rules that say something of a version in one clause, by what they speak of: rows that are gone or reversed; what
# stands in rows, or is said again; what rows are like to a model; rows that are only different. What is easier to
# picture comes first, and of one kind the rule that is surest.
KINDS = (
    ("coverage", "flipped", "leak"),
    ("damage", "edits", "copies"),
    ("agreement", "loss", "second_loss", "redundancy", "level", "margin"),
    ("novelty", "mixture", "phrases", "style", "quality"),
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
    telling = [rule for rule in applied if rule.result.status == status and rule.draft.happened]
    best = next(
        (
            min(of_kind, key=lambda rule: (max(rule.result.p_value or 0.0, LEAST_P), kind.index(rule.result.id)))
            for kind in KINDS
            if (of_kind := [rule for rule in telling if rule.result.id in kind])
        ),
        None,
    )
    if best is None:
        return ""
    key = best.result.id, best.result.dataset
    sources = Counter(row.source for row in rows if (row.rule, row.dataset) == key)
    source, count = sources.most_common(1)[0] if sources else ("", 0)
    several = best.result.dataset in changes and len(changes[best.result.dataset].sources) > 1
    named = source and several and count >= MOST * sources.total()
    return f"{best.draft.happened}{f', nearly all of source {source!r}' if named else ''}."
