"""What is done to a version to see what the gate says of it: accidents, losses and benign updates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from corpus.errors import EntropylawError
from corpus.formats import Kind
from corpus.records import Preference
from monitor.power.accidents import ACCIDENTS, LOSSES, Accident, DamagedVersion, inject, sources_to_lose
from monitor.power.pool import UPDATED_SHARE, Pool, replace_rows
from monitor.power.updates import honest_updates, make_honest

Group = Literal["accident", "loss", "benign"]

# Where not all kinds are wanted, so many kinds of accidents to conversations: three shares of each, on two cores, are a
# matter of minutes.
USUAL_ACCIDENTS = 15
# One or two of each family, the first of these that can happen to the data: copies, stock answers, answers cut short or
# empty, text that was changed, what another program left, answers that do not belong to their prompts.
USUAL = (
    "exact duplicates",
    "near-duplicates",
    "contradictory copies",
    "boilerplate answers",
    "answers cut at 60%",
    "empty-ish answers",
    "answers lower-cased",
    "line breaks lost",
    "garbled punctuation",
    "HTML entities",
    "template tokens",
    "think blocks",
    "prompt in front",
    "answers swapped",
    "input lost",
    "prompt and answer exchanged",
    "another language",
    "personal data",
    "literal line breaks",
    "answers twice",
)
USUAL_LOSSES = ("source lost", "last 10% cut off")
# What is at most `pass` where nothing is wrong. Deliberate edits and new kinds of rows may be warned of, so they say
# nothing of false alarms.
USUAL_UPDATES = (
    "random update",
    "grown by 25%",
    "shuffled",
    "sorted by length",
    "sorted by topic",
    "cleaned up",
    "deduplicated",
    "typos mended",
)


@dataclass(frozen=True)
class Trial:
    """A version to be judged. ``kind``: the name of an accident, a loss or a benign update.

    ``share``: of the rows that an accident damages, 1 for all that it can damage; 0 of all else. ``expected``: the
    verdict that is right; "warn" of a benign update means that "pass" is as right.
    """

    group: Group
    kind: str
    dataset: str
    share: float
    expected: Literal["pass", "warn", "risky"]


def plan_trials(
    pools: Mapping[str, Pool], shares: Sequence[float], seed: int, everything: bool = False, only: Sequence[str] = ()
) -> list[Trial]:
    """The trials of each dataset that can be made of its rows: of rows without line breaks, none can lose theirs.

    ``everything``: all kinds, not only the usual ones. ``only``: the names of the kinds that are wanted. Raises
    EntropylawError where one of them is none, or cannot happen to these rows.
    """
    found = [trial for dataset, pool in pools.items() for trial in _list_trials(dataset, pool, shares, seed)]
    if only:
        known = list(dict.fromkeys(trial.kind for trial in found))
        if unknown := [name for name in only if name not in known]:
            raise EntropylawError(f"{unknown[0]!r} is no kind that can happen to these rows; known: {', '.join(known)}")
        return [trial for trial in found if trial.kind in only]
    return found if everything else [trial for dataset in pools for trial in _take_usual(found, dataset)]


def _take_usual(trials: Sequence[Trial], dataset: str) -> Iterator[Trial]:
    here = [trial for trial in trials if trial.dataset == dataset]
    possible = {trial.kind for trial in here if trial.group == "accident"}
    usual = [name for name in USUAL if name in possible][:USUAL_ACCIDENTS] or possible
    for trial in here:
        updates = trial.kind.removeprefix(f"{dataset}: ") in USUAL_UPDATES
        if trial.kind in usual or trial.kind in USUAL_LOSSES or (trial.group == "benign" and updates):
            yield trial


def _list_trials(dataset: str, pool: Pool, shares: Sequence[float], seed: int) -> Iterator[Trial]:
    kind = kind_of_rows(pool)
    for accident in ACCIDENTS:
        if accident.kind == kind:
            yield from _list_shares(accident, dataset, pool, (1.0,) if accident.every_row else sorted(shares), seed)
    if kind == "conversations":
        for loss in LOSSES:
            if loss.name != "source lost" or sources_to_lose(pool.baseline):
                yield Trial("loss", loss.name, dataset, 0.0, loss.expected)
    for update in honest_updates(kind, pool):
        yield Trial("benign", update.name, dataset, 0.0, update.expected)


def _list_shares(accident: Accident, dataset: str, pool: Pool, shares: Sequence[float], seed: int) -> Iterator[Trial]:
    """The shares of the rows that an accident can happen to. What happens to many rows can happen to fewer."""
    trials = [Trial("accident", accident.name, dataset, share, accident.expected) for share in shares]
    while trials:
        try:
            make_trial(trials[-1], pool, seed)
        except EntropylawError:
            trials.pop()
        else:
            break
    yield from trials


def kind_of_rows(pool: Pool) -> Kind:
    """What the rows of a pool are."""
    return "preferences" if isinstance(pool.baseline[0], Preference) else "conversations"


def make_trial(trial: Trial, pool: Pool, seed: int) -> DamagedVersion:
    """The version of a trial, with the numbers of its damaged rows.

    All accidents of a seed happen on top of the same ordinary update, each to the same rows where it can; losses happen
    to the rows of the version before.
    """
    rng = np.random.default_rng([seed, 1])
    if trial.group == "loss":
        (loss,) = (loss for loss in LOSSES if loss.name == trial.kind)
        return DamagedVersion(tuple(loss.keep(pool.baseline, rng)), frozenset())
    if trial.group == "benign":
        return DamagedVersion(tuple(make_honest(trial.kind, pool, rng)), frozenset())
    (accident,) = (accident for accident in ACCIDENTS if accident.name == trial.kind)
    updated, spare = replace_rows(pool.baseline, pool.fresh, UPDATED_SHARE, rng)
    return inject(updated, accident, trial.share, np.random.default_rng([seed, 2]), spare)
