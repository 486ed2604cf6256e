"""A rule's result as a report shows it: with its words, the waiver that lifts it, and the rows to look at."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monitor.rules.registry import find_rule
from monitor.verdict import FlaggedRow, RuleResult, RuleStatus, Verdict
from monitor.waivers import Waiver, waiver_problems
from reports.numbers import finite, format_number, format_signs
from reports.words import ALARMS, RULE_ORDER, WORDS, Words

# Rows listed for each rule on a page; results/verdict.json lists every row.
ROWS_PER_RULE = 20
# Of what is measured in these units less is worse, so the limit is a floor; of all else it is a ceiling.
FLOOR_UNITS = ("cosine", "of the kept pairs' margin", "Z")
# Rows listed in a terminal, a comment or an annotation, where a reader has ten seconds.
FIRST_ROWS = 5


@dataclass(frozen=True)
class WaiverView:
    """A waiver a reader should know of; ``note`` says until when it applies, or why it does not."""

    rule: str
    reason: str
    owner: str
    expires: str
    applies: bool
    note: str


@dataclass(frozen=True)
class RuleView:
    """A rule's result on one dataset, with the words for it.

    ``waiver``: the one that lifts a result that blocks, else None. ``rows``: the first 20 of the ``rows_total`` rows
    behind the result, in the verdict's order.
    """

    id: str
    dataset: str
    status: RuleStatus
    words: Words
    title: str
    question: str
    advice: str
    reason: str
    statistic: float | None
    threshold: float | None
    p_value: float | None
    unit: str
    waiver: WaiverView | None
    rows: tuple[FlaggedRow, ...]
    rows_total: int

    @property
    def limit(self) -> str:
        """The limit, and whether what is measured may be at most or must be at least so much."""
        if self.threshold is None:
            return format_number(None)
        return f"{'≥' if self.unit in FLOOR_UNITS else '≤'} {format_number(self.threshold)}"

    @property
    def first_rows(self) -> tuple[FlaggedRow, ...]:
        """The first five of ``rows``."""
        return self.rows[:FIRST_ROWS]


def view_waivers(waivers: Sequence[Waiver], verdict: Verdict, day: datetime.date) -> tuple[WaiverView, ...]:
    """The waivers that concern this verdict, as they stand on ``day``."""
    return tuple(_view_waiver(waiver, verdict, day) for waiver in waivers if _concerns(waiver, verdict))


def view_rules(verdict: Verdict, waivers: Sequence[WaiverView], strict: bool = False) -> tuple[RuleView, ...]:
    """All rules of a verdict: the worst results first, and of equally bad ones the surest.

    ``strict``: a warning blocks like a risky rule, so that a waiver lifts it too.
    """
    applying = {waiver.rule: waiver for waiver in waivers if waiver.applies}
    views = [_view_rule(rule, verdict, applying, strict) for rule in verdict.rules]

    def gravity(view: RuleView) -> tuple[int, float]:
        is_alarm = view.status in ALARMS and view.p_value is not None
        return RULE_ORDER.index(view.status), view.p_value if is_alarm and view.p_value is not None else 1.0

    return tuple(sorted(views, key=gravity))


def count_statuses(rules: Sequence[RuleView]) -> str:
    """How many rules have each status, in words: "3 pass, 1 skipped"."""
    counts = Counter(rule.words.word.lower() for rule in rules)
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def _concerns(waiver: Waiver, verdict: Verdict) -> bool:
    """Waivers of other data are shown only where a reader may believe they cover a rule that is risky here."""
    risky = {rule.id for rule in verdict.risky_rules()}
    return waiver.data_hash == verdict.version.data_hash or waiver.rule in risky


def _view_waiver(waiver: Waiver, verdict: Verdict, day: datetime.date) -> WaiverView:
    problem = waiver_problems([waiver], verdict.version.data_hash, day).get(waiver.rule)
    note = f"does not apply: {problem}" if problem else f"until {waiver.expires}"
    return WaiverView(waiver.rule, waiver.reason, waiver.owner, waiver.expires, problem is None, note)


def _view_rule(rule: RuleResult, verdict: Verdict, applying: Mapping[str, WaiverView], strict: bool) -> RuleView:
    words = find_rule(rule.id)
    rows = tuple(row for row in verdict.rows if row.rule == rule.id and row.dataset == rule.dataset)
    return RuleView(
        id=rule.id,
        dataset=rule.dataset,
        status=rule.status,
        words=WORDS[rule.status],
        title=words.title,
        question=words.question,
        advice=words.advice,
        reason=format_signs(rule.reason),
        statistic=finite(rule.statistic),
        threshold=finite(rule.threshold),
        p_value=finite(rule.p_value),
        unit=rule.unit,
        waiver=applying.get(rule.id) if rule.status in (("risky", "warn") if strict else ("risky",)) else None,
        rows=rows[:ROWS_PER_RULE],
        rows_total=len(rows),
    )
