"""The words of a report: what each status and measure is called, and what it means to a reader.

The words of a rule stand with the rule, in monitor/rules/.
"""

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
# Rules of these statuses are shown with their reasons; the others are folded away.
ALARMS: tuple[RuleStatus, ...] = ("risky", "not_assessed", "warn")


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
    Measure("r_long", "long R", "compression ratio, long window", "higher: rows repeat each other anywhere"),
    Measure("l", "L", "mean probe loss, nats per token", "higher: new, noisy or inconsistent to the base model"),
    Measure("c", "C", "mean cosine of prompt and answer", "lower: answers fit their prompts less"),
)

# Above the notes on what a branch changed beside its data.
NOTES = "Changed beside the data"

# Below a table of numbers in a terminal: what the columns are, with units, and why counts of rows differ.
LEGEND = (
    "R: raw bytes / compressed bytes, 32 KiB back; long R: 128 MiB back",
    "L: loss, nats per token (preferences: KTO's); C: cosine of prompt and answer",
    "rows: the usable ones; results/DATASET/prepare.json lists the others",
    "row numbers: from 1 in the input file; of JSON lines, its line numbers",
)
# The same for the rows that a check compares: they are fewer than the rows that were added.
COMPARED = "rows compared: the added ones that were read and have kept rows like them"
# Above the rows that a verdict names. The commit before is a guess that is nearly always right.
SIDE_BY_SIDE = "Beside the version before, with their texts and, of copies, their twins:"
SIDE_BY_SIDE_COMMAND = "entropylaw diff HEAD~1 --rule all --text"

# L of preferences is the loss that KTO trains on.
KTO_LOSS = Measure("l", "L", "mean probe loss, KTO", "0.5 before training; higher: chosen and rejected differ less")


def list_measures(preferences: bool) -> tuple[Measure, ...]:
    """The measures of a dataset of preferences or of conversations."""
    return tuple(KTO_LOSS if preferences and measure.key == "l" else measure for measure in MEASURES)
