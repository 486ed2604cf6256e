"""Whether Z of a release is below the last accepted version's, or below the anchor's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from entropylaw.repository import layout

if TYPE_CHECKING:
    from monitor.history import HistoryEntry


@dataclass(frozen=True)
class Tolerance:
    """How far Z may fall, by benchmark and in its own units; None: not compared.

    The release is held against the last accepted version, and against the anchor, each with the same tolerance.

    ``heldout``: nats per token, the size of fall that a forecast is warned of. ``mt_bench``: of the grades from 1 to
    10, about one standard error of 160 grades. ``lm_eval``: of each task's metric, mostly a share of right answers.
    """

    heldout: float | None = 0.02
    mt_bench: float | None = 0.2
    lm_eval: float | None = 0.02

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and value < 0:
                raise ValueError(f"{name} must not be negative, found {value}")

    def of(self, benchmark: str) -> float | None:
        """
        >>> Tolerance().of("lm_eval/hellaswag"), Tolerance().of("measured-elsewhere")
        (0.02, None)
        """
        family = benchmark.partition("/")[0]
        return getattr(self, family) if family in {field.name for field in dataclasses.fields(self)} else None


@dataclass(frozen=True)
class ReleaseParams:
    tolerance: Tolerance = Tolerance()


@dataclass(frozen=True)
class ScoreReference:
    """A Z to hold a release against: its ``value``, ``whose`` it is, and what a person may ``do`` about a fall."""

    value: float
    whose: str
    do: str


def find_score_problems(release: Mapping[str, Any], tolerance: Tolerance) -> tuple[list[str], str]:
    """Whether Z is nowhere below the last accepted version's, nor below the anchor's, by more than the tolerance."""
    from monitor.history import read_history

    history = read_history(layout.HISTORY)
    before = last_scored(history, release["config_fingerprint"], release["data_hash"])
    if before is None:
        return [], "no earlier version with this configuration has a score"
    problems: list[str] = []
    passed: list[str] = []
    for benchmark, references in list_references(history, before, release["data_hash"]).items():
        allowed = tolerance.of(benchmark)
        if allowed is None:
            continue
        value = release["scores"].get(benchmark)
        if value is None and benchmark in before.scores:
            setting = f"release.tolerance.{benchmark.partition('/')[0]}"
            problems.append(
                f"{layout.EVALUATION}: {before.name} has a score on {benchmark} and this release has none; set "
                f"`evaluation` in params.yaml as it was, or {setting} to null"
            )
        if value is None:
            continue  # Where the last accepted version had none either, the benchmark was given up then.
        for reference in references:
            fell, line = compare_score(benchmark, value, reference, allowed)
            (problems if fell else passed).append(line)
            if fell:
                break
    return problems, "; ".join(passed) or f"no benchmark of {before.name} is compared"


def last_scored(history: Sequence[HistoryEntry], config_fingerprint: str, data_hash: str) -> HistoryEntry | None:
    """The last accepted version with a score, of other data and measured alike; none released under a waiver."""
    from monitor.history import comparable

    scored = [entry for entry in comparable(history, config_fingerprint, data_hash) if entry.scores]
    return scored[-1] if scored else None


def list_references(
    history: Sequence[HistoryEntry], before: HistoryEntry, data_hash: str
) -> dict[str, list[ScoreReference]]:
    """What each benchmark is held against: the last accepted version ``before``, and the anchor.

    Each release may fall a little below the one before it, and small falls add up; the anchor does not move. Where it
    has no score on a benchmark, the first version since that has one takes its place. It is left out where the release
    itself was confirmed by a person.
    """
    from monitor.history import accepted_since, anchor_of

    raise_it = "raise release.tolerance in params.yaml"
    found = {
        benchmark: [ScoreReference(value, f"{before.name}, the last accepted version", f"or {raise_it}")]
        for benchmark, value in before.scores.items()
    }
    fingerprint = before.config_fingerprint
    own = [entry for entry in history if (entry.data_hash, entry.config_fingerprint) == (data_hash, fingerprint)]
    anchor = anchor_of(history, fingerprint, data_hash)
    if anchor is None or any(entry.is_confirmed for entry in own):
        return found
    do = f"{raise_it}, or, if Z may be so much lower, confirm the version with `entropylaw accept --anchor`"
    anchored: set[str] = set()
    for entry in (anchor, *accepted_since(anchor, history, data_hash)):
        if entry is before:
            break
        whose = "the anchor" if entry is anchor else f"the first one scored since the anchor {anchor.name}"
        for benchmark in [name for name in entry.scores if name not in anchored]:
            reference = ScoreReference(entry.scores[benchmark], f"{entry.name}, {whose}", do)
            found.setdefault(benchmark, []).append(reference)
            anchored.add(benchmark)
    return found


def compare_score(benchmark: str, value: float, reference: ScoreReference, allowed: float) -> tuple[bool, str]:
    """Whether Z fell by more than is ``allowed``, and a sentence that says so."""
    from reports.numbers import format_change, format_number

    # Both are kept to nine digits; a fall of exactly the tolerance is one that is tolerated.
    fall = round(reference.value - value, 9)
    line = f"{benchmark} {format_number(value)} against {format_number(reference.value)} of {reference.whose}"
    line += f" ({format_change(-fall)}, tolerance {allowed:g})"
    if fall <= allowed:
        return False, line
    return True, f"{layout.EVALUATION}: {line}; find out why, {reference.do}"
