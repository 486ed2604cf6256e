"""The verdict: the one result that every report shows and the gate obeys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from monitor.law.results import LawSummary
from training.unread_rows import UnreadRows

SCHEMA_VERSION = 1

Status = Literal["baseline", "pass", "warn", "risky", "not_assessed"]
# A rule may also be skipped. Then it does not apply, and its reason says why: no rows were added, or the law does not
# hold on this data. A rule that should have run and could not is not_assessed.
RuleStatus = Literal["pass", "warn", "risky", "not_assessed", "skipped"]
# A rule's name: that of its file in monitor/rules/.
RuleId = str

# The dataset whose models are scored. The law's runs are trained on its baseline, and Z is forecast for it.
SCORED_DATASET = "sft"
# The dataset whose rows are chosen and rejected answers.
PREFERENCES = "preferences"

# Worst first. not_assessed ranks above warn and pass: a check that could not run is never a pass.
SEVERITY: tuple[RuleStatus, ...] = ("risky", "not_assessed", "warn", "pass")


@dataclass(frozen=True)
class RuleResult:
    """One rule's result.

    - ``reason``: in one sentence.
    - ``statistic``, ``threshold``: what was found, and from where it would be too much, both in ``unit``.
    - ``p_value``: one-sided, under the hypothesis that the change is benign, before Holm's correction.

    The numbers are None where the rule was not computed.
    """

    id: RuleId
    dataset: str
    status: RuleStatus
    reason: str
    statistic: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class FlaggedRow:
    """An added row that drives an alarm.

    ``row``: its number in the dataset, from 1. ``score``: how much it contributes, in ``unit``. ``file`` and
    ``file_row``: where it stands, if the dataset has several files; None where it is one.
    """

    row: int
    hash: str
    source: str
    dataset: str
    rule: RuleId
    score: float
    unit: str
    file: str | None = None
    file_row: int | None = None

    @property
    def name(self) -> str:
        """What a person finds it by: its number, or its file and its number there."""
        return str(self.row) if self.file is None else f"{self.file}:{self.file_row}"


@dataclass(frozen=True)
class Measurements:
    """What was measured on one dataset of a version.

    - ``r``: compression ratio by zlib 9 in file order (the paper's R). ``r_long``: the same over a long window.
    - ``l``: mean probe loss in nats per response token; of preferences the KTO loss (0 to 1).
    - ``c``: mean cosine of prompt and response.
    - ``added``, ``removed``, ``kept``: rows against the parent; None without one.
    - ``added_r_long``: raw bytes of the added rows / the bytes that they add to the compressed size, over the long
      window, once the other rows are known.
    - ``read_share``: the share of the probed rows' response tokens that the probe read. ``unread``: of how many probed
      rows something was not read. None where not recorded.
    - ``q``: mean grade of the rows that have one, in the grades' own unit; None where none has.
    - ``second_loss``: mean loss of the rows that the second model read, in nats per response token; None without one.
    """

    ADDED: ClassVar[tuple[str, ...]] = ("q", "second_loss")

    rows: int
    r: float
    r_long: float
    l: float  # noqa: E741 - the paper's letter
    c: float
    added: int | None = None
    removed: int | None = None
    kept: int | None = None
    near_duplicates: int = 0
    contradictions: int = 0
    added_r_long: float | None = None
    read_share: float | None = None
    unread: UnreadRows | None = None
    q: float | None = None
    second_loss: float | None = None

    def __post_init__(self) -> None:
        if self.rows < 1 or not (self.r > 0 and self.r_long > 0):
            raise ValueError(f"rows, r and r_long must be above 0, found {self.rows}, {self.r} and {self.r_long}")


@dataclass(frozen=True)
class NormalRange:
    """The range in which a benign update of this version's size leaves a measure, in the unit of the measure.

    At the default rate of false alarms, nine in ten benign updates stay inside.
    """

    low: float
    high: float


@dataclass(frozen=True)
class SourceRows:
    """How many rows one source has in this version, and how many were added, kept and removed since the parent.

    A kept row counts for the source that it has now. A count is None where there is no parent, and where the parent's
    sources are not known: there were more than are recorded, or they were not recorded yet.
    """

    source: str
    rows: int
    added: int | None
    kept: int | None
    removed: int | None


@dataclass(frozen=True)
class RowLengths:
    """How long rows are, in characters of their messages.

    The groups are ``kept`` and ``added``, or ``all`` in a version without a parent. ``counts``: rows in each bin, by
    group. A bin goes from one of the ``edges`` up to the next, which is not in it. ``medians``: by group, None of an
    empty one.
    """

    edges: tuple[int, ...]
    counts: dict[str, tuple[int, ...]]
    medians: dict[str, float | None]


@dataclass(frozen=True)
class DatasetChanges:
    """What changed in a dataset beside its measures.

    ``normal``: the normal range of each measure whose benign changes are known, by its key (r, r_long, l, c); empty
    without a parent.
    """

    sources: tuple[SourceRows, ...]
    lengths: RowLengths
    normal: dict[str, NormalRange] = field(default_factory=dict)


@dataclass(frozen=True)
class Forecast:
    """The predicted performance Z, with its prediction interval. ``benchmark``: the scale of Z."""

    benchmark: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Version:
    """A data version. ``name``: the one it was accepted under, before that the first 8 digits of its hash."""

    name: str
    data_hash: str
    rows: int


@dataclass(frozen=True)
class Verdict:
    """What was decided about a data version, with all that a report shows of it; results/verdict.json holds one.

    - ``status`` and ``summary``: the decision and its reason in a sentence. ``rules``: what each rule found.
    - ``version``, and the ``parent`` it was compared with, None without one.
    - ``measurements``, ``parent_measurements``, ``changes``: by dataset.
    - ``forecast``: of Z, where the entropy law holds and the parent was scored. ``law``: the law and its runs.
    - ``rows``: the added rows behind every rule that warns or worse, the gravest rule's first.
    - ``config_fingerprint``: only versions of the same one are compared.
    """

    status: Status
    summary: str
    version: Version
    parent: Version | None
    rules: tuple[RuleResult, ...]
    measurements: dict[str, Measurements]
    parent_measurements: dict[str, Measurements]
    forecast: Forecast | None
    law: LawSummary
    rows: tuple[FlaggedRow, ...]
    config_fingerprint: str
    tool_version: str
    schema_version: int = field(default=SCHEMA_VERSION)
    # By dataset; empty in a verdict that was written before this field existed.
    changes: dict[str, DatasetChanges] = field(default_factory=dict)

    def risky_rules(self) -> tuple[RuleResult, ...]:
        return tuple(rule for rule in self.rules if rule.status == "risky")


def worst(statuses: list[RuleStatus]) -> Status:
    """The version's status: the worst of its rules' statuses. Skipped rules do not count.

    >>> worst(["pass", "warn", "skipped"])
    'warn'
    >>> worst(["warn", "not_assessed"])
    'not_assessed'
    >>> worst(["skipped"])
    'pass'
    """
    for status in SEVERITY:
        if status in statuses:
            return status  # type: ignore[return-value]
    return "pass"
