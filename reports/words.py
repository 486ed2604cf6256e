"""The words of a report: what each status, rule and measure is called, and what it means to a reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from monitor.verdict import RuleStatus


@dataclass(frozen=True)
class Words:
    """How a status is shown: by a word and a sign, so that nobody has to tell colours apart."""

    word: str
    icon: str


# The statuses of versions and of rules in monitor.verdict.
WORDS: dict[str, Words] = {
    "baseline": Words("Baseline", "•"),
    "pass": Words("Pass", "✓"),
    "warn": Words("Warning", "!"),
    "risky": Words("Risky", "✗"),
    "not_assessed": Words("Not assessed", "?"),
    "skipped": Words("Skipped", "–"),
}

# Rules are listed in this order of their statuses: first what a reader must see.
RULE_ORDER: tuple[RuleStatus, ...] = ("risky", "not_assessed", "warn", "pass", "skipped")


@dataclass(frozen=True)
class RuleWords:
    """A rule's name, what it asks, and what its answer most often comes from."""

    title: str
    question: str
    advice: str


RULES: dict[str, RuleWords] = {
    "redundancy": RuleWords(
        "Redundancy",
        "Do the added rows repeat what the data already says, or each other?",
        "Look for copies: an export merged twice, a stock answer, the same thread scraped again.",
    ),
    "consistency": RuleWords(
        "Consistency",
        "Are the added rows harder to learn than good rows of another topic?",
        "Look for damaged text: a wrong decoder, scrambled words, turns in the wrong order.",
    ),
    "agreement": RuleWords(
        "Agreement",
        "Do the answers of the added rows fit their prompts?",
        "Look for answers of other prompts, stock answers, and answers cut short.",
    ),
    "both_rise": RuleWords(
        "R and L both rise",
        "Is the data at once more redundant and harder to learn?",
        "Look for damaged text that also repeats: often one source merged again through another decoder.",
    ),
    "forecast": RuleWords(
        "Forecast",
        "Does the entropy law predict a worse model?",
        "Compare the added rows with the rows they replaced.",
    ),
    "copies": RuleWords(
        "Copies",
        "Do the added rows say again what rows of the parent say?",
        "Look for rows merged twice, copies cleaned by another program, and new answers to old prompts.",
    ),
    "wording": RuleWords(
        "Wording",
        "Are the added rows written like the kept ones?",
        "Look for a wrong decoder, markup left in, text in another language, and noise.",
    ),
    "form": RuleWords(
        "Form",
        "Are the added rows shaped like the kept ones?",
        "Look for answers cut short or all but empty, roles exchanged, and answers that repeat their prompts.",
    ),
    "flipped": RuleWords(
        "Flipped pairs",
        "Do added pairs prefer what the parent rejected?",
        "Look for the columns chosen and rejected exchanged, and for labels of another meaning.",
    ),
    "margin": RuleWords(
        "Margin",
        "Do the added pairs prefer the opposite of what the kept ones prefer?",
        "Look for exchanged columns, and for another scale of grades: is the best grade the highest or the lowest?",
    ),
}


@dataclass(frozen=True)
class Measure:
    """A measured quantity.

    ``key``: its name in results. ``symbol``: in the paper (section 3). ``label``: what it is. ``meaning``: of a change.
    """

    key: Literal["r", "r_long", "l", "c"]
    symbol: str
    label: str
    meaning: str


MEASURES: tuple[Measure, ...] = (
    Measure("r", "R", "compression ratio, 32 KiB window", "higher: neighbouring rows repeat each other"),
    Measure("r_long", "R long", "compression ratio, long window", "higher: rows repeat each other anywhere"),
    Measure("l", "L", "mean probe loss, nats per token", "higher: new, noisy or inconsistent to the base model"),
    Measure("c", "C", "mean cosine of prompt and answer", "lower: answers fit their prompts less"),
)

# L of preferences is the loss that KTO trains on.
KTO_LOSS = Measure("l", "L", "mean probe loss, KTO", "0.5 before training; higher: chosen and rejected differ less")


def list_measures(preferences: bool) -> tuple[Measure, ...]:
    """The measures of a dataset of preferences or of conversations."""
    return tuple(KTO_LOSS if preferences and measure.key == "l" else measure for measure in MEASURES)
