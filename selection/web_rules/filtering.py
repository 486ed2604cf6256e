"""Selection by rules made for web pages: rows that pass all rules of a set, in random order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from corpus.progress import Done, ignore_done
from selection.budget import Budget, spend
from selection.web_rules import c4, fineweb, gopher, gopher_repetition
from selection.web_rules.page import Page, Rule

RuleSet = Literal["c4", "gopher", "fineweb"]

# In the order in which each paper applies them. FineWeb applies Gopher's, C4's without terminal punctuation, its own.
RULE_SETS: Mapping[RuleSet, tuple[Rule, ...]] = {
    "c4": c4.RULES,
    "gopher": (*gopher.RULES, *gopher_repetition.RULES),
    "fineweb": (*gopher_repetition.RULES, *c4.RULES_OF_FINEWEB, *gopher.RULES, *fineweb.RULES),
}
_ROWS_BETWEEN_REPORTS = 1000


def find_rule(text: str, rules: Sequence[Rule]) -> Rule | None:
    """The first rule that removes the text; None where it passes.

    >>> find_rule("{}", RULE_SETS["c4"]).name
    'C4: curly bracket'
    """
    page = Page(text)
    return next((rule for rule in rules if rule.removes(page)), None)


def select_by_rules(
    texts: Iterable[str],
    rules: Sequence[Rule],
    budget: Budget,
    random: np.random.Generator,
    token_counts: Sequence[int] | None = None,
    told: Done = ignore_done,
) -> tuple[tuple[int, ...], dict[str, int]]:
    """Rows that pass, in uniformly random order until the budget is spent, and how many rows each rule removed.

    A row counts for the first rule that removes it. ``told`` hears how many rows have been read.

    >>> long_enough = Rule("fewer than 2 words", lambda page: len(page.words) < 2)
    >>> select_by_rules(["one", "one two"], [long_enough], Budget(rows=2), np.random.default_rng(0))
    ((1,), {'fewer than 2 words': 1})
    """
    removed = {rule.name: 0 for rule in rules}
    passed = []
    for row, text in enumerate(texts):
        rule = find_rule(text, rules)
        if rule is None:
            passed.append(row)
        else:
            removed[rule.name] += 1
        if (row + 1) % _ROWS_BETWEEN_REPORTS == 0:
            told(row + 1)
    order = np.array(passed, dtype=np.int64)[random.permutation(len(passed))]
    return spend(budget, order.tolist(), token_counts), removed
