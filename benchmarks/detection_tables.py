"""What the benchmark of the verdict says: rates with their intervals, the table of goals, and a table of all kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.evidently_check import EVIDENTLY
from benchmarks.many_versions import DRIFT, HONEST
from benchmarks.rival_checks import RIVALS
from benchmarks.trials import Outcome
from monitor.power.accidents import ACCIDENTS, LOSSES
from monitor.power.rates import wilson_interval

# So many draws put the ends of a percentile interval within a percentage point.
BOOTSTRAP_DRAWS = 4000
# A drift has to be stopped before this share of the rows is damaged.
DRIFT_LIMIT = 0.05

Event = Callable[[Outcome], bool]


def bootstrap_interval(clusters: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """The 95% percentile interval of a rate whose trials come in clusters of (hits, trials); all of them drawn anew.

    Trials of one team share data, model and calibration, and succeed or fail together. Where all teams have the same
    rate the interval has no width, however few they are.

    >>> bootstrap_interval([(3, 3), (3, 3)])
    (1.0, 1.0)
    """
    hits, trials = np.array(clusters).T
    drawn = np.random.default_rng(0).integers(len(clusters), size=(BOOTSTRAP_DRAWS, len(clusters)))
    low, high = np.quantile(hits[drawn].sum(axis=1) / trials[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class Rate:
    """How often something happened in the trials of each team, shown with its 95% interval in per cent.

    ``clusters``: (hits, trials) of each team. The interval is the wider at either end of Wilson's, which takes all
    trials for independent, and the bootstrap's over teams, which has no width where all teams agree.

    >>> str(Rate(((9, 10),)))
    '90% (60–98)'
    """

    clusters: tuple[tuple[int, int], ...]

    @property
    def hits(self) -> int:
        return sum(hits for hits, _ in self.clusters)

    @property
    def trials(self) -> int:
        return sum(trials for _, trials in self.clusters)

    def interval(self) -> tuple[float, float]:
        """The 95% interval; of one team it is Wilson's, and says nothing of other teams."""
        intervals = [wilson_interval(self.hits, self.trials)]
        if len(self.clusters) > 1:
            intervals.append(bootstrap_interval(self.clusters))
        return min(low for low, _ in intervals), max(high for _, high in intervals)

    def __str__(self) -> str:
        if not self.trials:
            return "-"
        low, high = self.interval()
        return f"{self.hits / self.trials:.0%} ({100 * low:.0f}–{100 * high:.0f})"


def count_rate(outcomes: Iterable[Outcome], holds: Event) -> Rate:
    """How often something holds, team by team."""
    trials: Counter[int] = Counter()
    hits: Counter[int] = Counter()
    for outcome in outcomes:
        trials[outcome.team] += 1
        hits[outcome.team] += holds(outcome)
    return Rate(tuple((hits[team], trials[team]) for team in sorted(trials)))


def is_risky(outcome: Outcome) -> bool:
    """Whether the gate would stop the version."""
    return outcome.status == "risky"


def is_noticed(outcome: Outcome) -> bool:
    """Whether somebody would look at the version: it is warned of, stopped, or could not be assessed."""
    return outcome.status not in ("pass", "baseline")


def is_stopped_in_time(outcome: Outcome) -> bool:
    """Whether a drift was stopped while few rows were damaged."""
    return is_risky(outcome) and outcome.steps[-1]["damaged_share"] < DRIFT_LIMIT


# --- groups of trials ----------------------------------------------------------------------------------------------


def is_run(outcome: Outcome) -> bool:
    return outcome.trial.name in (DRIFT, HONEST)


def is_loss(outcome: Outcome) -> bool:
    return outcome.trial.name in {loss.name for loss in LOSSES}


def is_honest(outcome: Outcome) -> bool:
    return not (outcome.trial.share or is_loss(outcome) or is_run(outcome))


def is_damage(outcome: Outcome) -> bool:
    """Whether it is an accident to a share of the rows."""
    return 0 < outcome.trial.share < 1 and not is_run(outcome)


def tabulate_goals(outcomes: Sequence[Outcome]) -> list[str]:
    """The table of goals: what was reached over all kinds of a group, with the goal beside it."""
    lines = ["| | reached | goal |", "|---|---|---|"]

    def add(label: str, group: Iterable[Outcome], holds: Event, goal: str) -> None:
        rate = count_rate(group, holds)
        if rate.trials:
            lines.append(f"| {label}: {rate.trials} trials | {rate} | {goal} |")

    for expected, label, goals in (
        ("pass", "honest updates, where `pass` is right", ("≤ 3%", "≤ 8%")),
        ("warn", "new sources and deliberate edits", ("≤ 5%", "")),
    ):
        group = [o for o in outcomes if is_honest(o) and o.trial.expected == expected]
        add(f"{label}, `risky`", group, is_risky, goals[0])
        add(f"{label}, at least `warn`", group, is_noticed, goals[1])
    for share in sorted({o.trial.share for o in outcomes if is_damage(o)}, reverse=True):
        for expected, label in (("risky", "should be `risky`"), ("warn", "should be `warn`")):
            group = [o for o in outcomes if is_damage(o) and (o.trial.share, o.trial.expected) == (share, expected)]
            goals = _damage_goals(share) if expected == "risky" else ("", "")
            add(f"accidents that {label}, at {share:.0%}, `risky`", group, is_risky, goals[0])
            add(f"accidents that {label}, at {share:.0%}, at least `warn`", group, is_noticed, goals[1])
    add("every row damaged, `risky`", [o for o in outcomes if o.trial.share == 1], is_risky, "≥ 92%")
    add("rows lost, `risky`", filter(is_loss, outcomes), is_risky, "≥ 92%")
    at_ten = [o for o in outcomes if is_damage(o) and o.trial.share == 0.1]
    if sum(o.named for o in at_ten):
        lines.append(f"| named rows that are damaged, first 50, at 10% | {_share_damaged(at_ten)} | ≥ 85% |")
    drifts = [o for o in outcomes if o.trial.name == DRIFT]
    add(f"drift, stopped before {DRIFT_LIMIT:.0%} is damaged", drifts, is_stopped_in_time, "≥ 90%")
    add("ten honest versions, stopped", [o for o in outcomes if o.trial.name == HONEST], is_risky, "≤ 5%")
    if outcomes:
        seconds = sorted(o.cpu_seconds for o in outcomes)
        shown = f"{seconds[len(seconds) // 2]:.1f} s, longest {seconds[-1]:.1f} s"
        lines.append(f"| a version's file to its verdict, CPU, median | {shown} | ≤ 20 s |")
    return lines


def _damage_goals(share: float) -> tuple[str, str]:
    """The goals at one of the shares that have some: `risky`, and at least `warn`."""
    return {0.1: ("≥ 92%", "≥ 99%"), 0.05: ("", "≥ 97%"), 0.02: ("", "≥ 85%")}.get(share, ("", ""))


def tabulate_kinds(outcomes: Sequence[Outcome]) -> list[str]:
    """A table with a line for each kind and share; the kinds stand in the order of the plan."""
    columns = ["kind", "rows", "right", "risky", "at least warn", "rules", "named rows damaged", *RIVALS, *EVIDENTLY]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    order = [accident.name for accident in ACCIDENTS] + [loss.name for loss in LOSSES]
    single = [outcome for outcome in outcomes if not is_run(outcome)]
    keys = dict.fromkeys((o.trial.name, o.trial.share) for o in single)
    for name, share in sorted(keys, key=lambda key: (order.index(key[0]) if key[0] in order else -1, key[1])):
        lines.append(_kind_line(name, share, [o for o in single if (o.trial.name, o.trial.share) == (name, share)]))
    return lines


def _kind_line(name: str, share: float, cell: Sequence[Outcome]) -> str:
    columns = [name, f"{share:.0%}" if share else "", cell[0].trial.expected]
    columns += [str(count_rate(cell, is_risky)), str(count_rate(cell, is_noticed)), _count_rules(cell)]
    columns.append(_share_damaged(cell) if share else "")
    columns += [_share_alarmed(cell, rival) for rival in (*RIVALS, *EVIDENTLY)]
    return f"| {' | '.join(columns)} |"


def tabulate_runs(outcomes: Sequence[Outcome]) -> list[str]:
    """A table with a line for each run over many versions; empty where there are none."""
    runs = [outcome for outcome in outcomes if is_run(outcome)]
    if not runs:
        return []
    lines = [
        "| run | team, seed | stopped at version | damaged by then | versions warned of | rules |",
        "|---" * 6 + "|",
    ]
    for run in runs:
        last = run.steps[-1]
        stopped = f"{len(run.steps)}: {last['status']}" if run.status not in ("pass", "warn") else "-"
        warned = ", ".join(str(k) for k, step in enumerate(run.steps, 1) if step["status"] == "warn") or "-"
        rules = dict.fromkeys(rule.replace("_", " ") for step in run.steps for rule in step["rules"])
        name = ": ".join(filter(None, [run.trial.name, last["accident"]]))
        cells = [name, f"{run.team}, {run.trial.seed}", stopped, f"{last['damaged_share']:.1%}", warned]
        lines.append(f"| {' | '.join([*cells, ', '.join(rules) or '-'])} |")
    return lines


def _count_rules(cell: Sequence[Outcome]) -> str:
    fired = Counter(rule.replace("_", " ") for o in cell for rule in o.fired())
    return ", ".join(f"{rule} {count}" for rule, count in fired.most_common()) or "-"


def _share_damaged(cell: Sequence[Outcome]) -> str:
    named = sum(outcome.named for outcome in cell)
    return f"{sum(outcome.named_damaged for outcome in cell) / named:.0%}" if named else "-"


def _share_alarmed(cell: Sequence[Outcome], rival: str) -> str:
    answers = [outcome.rivals[rival] for outcome in cell if rival in outcome.rivals]
    return f"{sum(answers) / len(answers):.0%}" if answers else "-"
