"""What the gate said of each trial, how often, and what that means in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from monitor.power.rates import wilson_interval
from monitor.power.trials import Group

# Raised where a key of results/power.json gets another meaning.
SCHEMA_VERSION = 1

Answer = Literal["stopped", "warned", "passed"]


@dataclass(frozen=True)
class Outcome:
    """What the gate said of a trial, whose fields are the first five.

    ``damaged``: how many of the version's ``rows`` are damaged. ``status``: the verdict's, or "refused" where `prepare`
    leaves out too many rows and no verdict is made. ``rules``: those that warn, stop, or could not be assessed. Of the
    rows that the verdict names, ``named`` were looked at, the first ones; ``named_damaged`` of them are damaged.
    """

    group: Group
    kind: str
    dataset: str
    share: float
    expected: Literal["pass", "warn", "risky"]
    rows: int
    damaged: int
    status: str
    rules: tuple[str, ...]
    named: int
    named_damaged: int

    @property
    def answer(self) -> Answer:
        """What the gate does with the version. What it could not assess does not go through either."""
        if self.status == "warn":
            return "warned"
        return "passed" if self.status in ("pass", "baseline") else "stopped"


@dataclass(frozen=True)
class Rate:
    """How the trials of a group, and of one share of the rows, ended: counts, and shares with Wilson's 95% intervals.

    ``alarmed``: stopped or warned of.
    """

    group: Group
    share: float
    trials: int
    stopped: int
    warned: int
    passed: int
    stopped_low: float
    stopped_high: float
    alarmed_low: float
    alarmed_high: float
    named: int
    named_damaged: int


@dataclass(frozen=True)
class PowerDataset:
    """A version was split into the ``parent``, of so many rows, and as many ``fresh`` ones as updates may bring.

    ``rows``: of the version; where it has more than parent and fresh together, the others were not used.
    """

    rows: int
    parent: int
    fresh: int


@dataclass(frozen=True)
class PowerResult:
    """What a gate finds on a version with accidents in it, results/power.json.

    ``version``: the name it was accepted by, or the first digits of its hash. ``gate_fingerprint``: of calibration and
    rules. ``summary``: a sentence for each share and for benign updates.
    """

    version: str
    data_hash: str
    accepted: bool
    datasets: dict[str, PowerDataset]
    seed: int
    config_fingerprint: str
    gate_fingerprint: str
    tool_version: str
    summary: tuple[str, ...]
    rates: tuple[Rate, ...]
    outcomes: tuple[Outcome, ...]
    schema_version: int = SCHEMA_VERSION


def count_rates(outcomes: Sequence[Outcome]) -> tuple[Rate, ...]:
    """The rates of accidents by share, then of losses, then of benign updates."""
    order = ("accident", "loss", "benign")
    keys = sorted({(order.index(outcome.group), outcome.share) for outcome in outcomes})
    return tuple(
        _count_rate([o for o in outcomes if (order.index(o.group), o.share) == (group, share)]) for group, share in keys
    )


def _count_rate(outcomes: Sequence[Outcome]) -> Rate:
    trials = len(outcomes)
    stopped, warned = (sum(outcome.answer == answer for outcome in outcomes) for answer in ("stopped", "warned"))
    stopped_low, stopped_high = wilson_interval(stopped, trials)
    alarmed_low, alarmed_high = wilson_interval(stopped + warned, trials)
    return Rate(
        outcomes[0].group,
        outcomes[0].share,
        trials,
        stopped,
        warned,
        trials - stopped - warned,
        stopped_low,
        stopped_high,
        alarmed_low,
        alarmed_high,
        sum(outcome.named for outcome in outcomes),
        sum(outcome.named_damaged for outcome in outcomes),
    )


def summarise_outcomes(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """What the gate would miss: a sentence for each share, the smallest first, then on lost rows and benign updates."""
    return tuple(
        _tell_rate(rate, [o for o in outcomes if (o.group, o.share) == (rate.group, rate.share)])
        for rate in count_rates(outcomes)
    )


def _tell_rate(rate: Rate, outcomes: Sequence[Outcome]) -> str:
    if rate.group == "benign":
        stopped, warned = (_name_kinds(outcomes, answer) for answer in ("stopped", "warned"))
        return f"Of {_count(rate.trials, 'benign update')} it stops {stopped} and warns of {warned}."
    if rate.group == "loss":
        start = f"Of {_count(rate.trials, 'way')} to lose rows it stops {rate.stopped}"
    else:
        where = "Where every row is damaged" if rate.share == 1 else f"At {100 * rate.share:g}% of the rows"
        start = f"{where} this gate stops {rate.stopped} of {_count(rate.trials, 'kind')} of accident"
    return f"{start}, warns of {rate.warned} and misses {_name_kinds(outcomes, 'passed')}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _name_kinds(outcomes: Sequence[Outcome], answer: Answer) -> str:
    """How many of them the gate answered so, and which."""
    names = [outcome.kind for outcome in outcomes if outcome.answer == answer]
    return f"{len(names)}: {', '.join(names)}" if names else "none"
