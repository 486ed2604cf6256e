"""Two data versions side by side: their numbers, the rows added and removed, and how much new text those bring."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from corpus.formats import Kind
from corpus.records import Preference
from corpus.row_facts import hashes_of, sources_of
from monitor.accept import accept_version
from monitor.assess import assess_version
from monitor.calibration.calibrate import Calibration
from monitor.measures.compression import OTHER_SOURCES, Compressed, CompressionParams
from monitor.measures.evidence import Configuration, Evidence
from monitor.measures.new_text import RowText, measure_new_text
from monitor.measures.row_sketch import RowDifference
from monitor.rule_params import RuleParams
from monitor.verdict import RuleResult


@dataclass(frozen=True)
class Numbers:
    """The numbers of one version, or the changes from one version to another.

    ``r``, ``r_long``: raw / compressed bytes. ``l``: nats per response token. ``c``, ``chosen_margin``: cosine. None
    where a number was not measured or could not be.
    """

    rows: int
    raw_bytes: int
    r: float | None
    r_long: float | None
    l: float | None  # noqa: E741 - the paper's letter
    c: float | None
    exact_duplicates: int
    near_duplicates: int
    contradictions: int
    chosen_margin: float | None


@dataclass(frozen=True)
class MeasuredFile:
    """A data file and what was measured on it.

    ``name``: as the user gave it. ``commit``: of a file taken from Git, else None. ``left_out``: number of rows by
    reason.
    """

    name: str
    commit: str | None
    left_out: dict[str, int]
    evidence: Evidence


@dataclass(frozen=True)
class ComparedVersion:
    """One of two versions side by side, without its rows. The fields are those of ``MeasuredFile`` and its numbers."""

    name: str
    commit: str | None
    data_hash: str
    kind: Kind
    left_out: dict[str, int]
    numbers: Numbers


@dataclass(frozen=True)
class SourceComparison:
    """One source in two versions. ``a``, ``b``: its own R in each, None where there is none that can be compared."""

    rows: RowDifference
    a: Compressed | None
    b: Compressed | None


@dataclass(frozen=True)
class VersionComparison:
    """Two versions, A and B, side by side.

    - ``change``: B minus A.
    - ``rows``: added, removed and kept from A to B; each copy of a row counts.
    - ``reordered``: whether both have the same rows in another order.
    - ``added``, ``removed``: the text of these rows; None without such rows.
    - ``sources``: by source; empty where all rows have the same one.
    - ``rules``: the verdict's rules on this change; None without a calibration that fits.
    - ``notes``: sentences on what was left out of the comparison.
    """

    a: ComparedVersion
    b: ComparedVersion
    change: Numbers
    rows: RowDifference
    reordered: bool
    added: RowText | None
    removed: RowText | None
    sources: dict[str, SourceComparison]
    rules: tuple[RuleResult, ...] | None
    notes: tuple[str, ...]


def compare_versions(
    a: MeasuredFile,
    b: MeasuredFile,
    params: CompressionParams,
    rules: tuple[RuleResult, ...] | None = None,
    notes: Sequence[str] = (),
) -> VersionComparison:
    """Set two measured versions side by side. ``rules`` and ``notes`` become part of the result as they are."""
    hashes_a, hashes_b = (list(hashes_of(item.evidence.records)) for item in (a, b))
    kept_of_a, kept_of_b = match_rows(hashes_b, hashes_a), match_rows(hashes_a, hashes_b)
    rows = RowDifference(kept_of_b.count(False), kept_of_a.count(False), kept_of_b.count(True))
    numbers_a, numbers_b = measure_numbers(a.evidence), measure_numbers(b.evidence)
    return VersionComparison(
        a=_describe(a, numbers_a),
        b=_describe(b, numbers_b),
        change=subtract_numbers(numbers_b, numbers_a),
        rows=rows,
        reordered=not rows.added and not rows.removed and hashes_a != hashes_b,
        added=measure_new_text(b.evidence.records, kept_of_b, params),
        removed=measure_new_text(a.evidence.records, kept_of_a, params),
        sources=compare_sources(a.evidence, kept_of_a, b.evidence, kept_of_b),
        rules=rules,
        notes=tuple(notes),
    )


def match_rows(others: Iterable[str], hashes: Iterable[str]) -> list[bool]:
    """For each row, by content hash, whether another version has it too.

    The n-th copy of a row counts only if the other version has at least n copies.

    >>> match_rows(["a", "b", "b"], ["b", "c", "b", "b"])
    [True, False, True, False]
    """
    unmatched = Counter(others)
    flags = []
    for row_hash in hashes:
        flags.append(unmatched[row_hash] > 0)
        unmatched[row_hash] -= 1
    return flags


def measure_numbers(evidence: Evidence) -> Numbers:
    compression, consistency = evidence.compression, evidence.consistency
    return Numbers(
        rows=len(evidence.records),
        raw_bytes=compression.raw_bytes,
        r=compression.r,
        r_long=compression.r_long,
        l=evidence.l if math.isfinite(evidence.l) else None,
        c=consistency.agreement if math.isfinite(consistency.agreement) else None,
        exact_duplicates=consistency.exact_duplicates,
        near_duplicates=consistency.near_duplicates,
        contradictions=consistency.contradictions,
        chosen_margin=consistency.chosen_margin,
    )


def subtract_numbers(after: Numbers, before: Numbers) -> Numbers:
    """The change of each number; None where either version lacks it."""

    def change(name: str) -> float | None:
        new, old = getattr(after, name), getattr(before, name)
        return None if new is None or old is None else new - old

    return Numbers(**{field.name: change(field.name) for field in dataclasses.fields(Numbers)})  # type: ignore[arg-type]


def compare_sources(
    a: Evidence, kept_of_a: Sequence[bool], b: Evidence, kept_of_b: Sequence[bool]
) -> dict[str, SourceComparison]:
    """Rows and R by source. A kept row counts for its source in B. Sources without their own R share one entry."""
    ratios_a, ratios_b = _ratios_by_source(a), _ratios_by_source(b)
    names = sorted({*ratios_a, *ratios_b} - {OTHER_SOURCES})
    if ratios_a.keys() - {OTHER_SOURCES} != ratios_b.keys() - {OTHER_SOURCES}:
        # The shared entry then holds other sources in one version than in the other.
        ratios_a.pop(OTHER_SOURCES, None)
        ratios_b.pop(OTHER_SOURCES, None)
    counts: Counter[tuple[str, str]] = Counter()
    for evidence, kept, word in ((a, kept_of_a, "removed"), (b, kept_of_b, "added")):
        for own, is_kept in zip(sources_of(evidence.records), kept, strict=True):
            source = own if own in names else OTHER_SOURCES
            if not is_kept:
                counts[source, word] += 1
            elif word == "added":
                counts[source, "kept"] += 1
    if any(source == OTHER_SOURCES for source, _ in counts):
        names.append(OTHER_SOURCES)
    if len(names) < 2:
        return {}
    return {
        name: SourceComparison(
            RowDifference(counts[name, "added"], counts[name, "removed"], counts[name, "kept"]),
            ratios_a.get(name),
            ratios_b.get(name),
        )
        for name in names
    }


def apply_rules_to_change(
    a: Evidence,
    b: Evidence,
    calibration: Calibration,
    configuration: Configuration,
    params: RuleParams,
    tool_version: str,
) -> tuple[RuleResult, ...]:
    """Apply the verdict's rules to B, as if A were its accepted parent. Both need L. Equal data gives no results."""
    baseline = assess_version([a], calibration, (), configuration, params, tool_version)
    parent = accept_version(baseline, [a], "A", {}, (), True, tool_version)
    return assess_version([b], calibration, (parent,), configuration, params, tool_version).rules


def _describe(item: MeasuredFile, numbers: Numbers) -> ComparedVersion:
    return ComparedVersion(
        item.name, item.commit, item.evidence.data_hash, kind_of_rows(item.evidence), item.left_out, numbers
    )


def kind_of_rows(evidence: Evidence) -> Kind:
    return "preferences" if isinstance(evidence.records[0][0], Preference) else "conversations"


def _ratios_by_source(evidence: Evidence) -> dict[str, Compressed]:
    profile = evidence.compression
    if profile.sources:
        return dict(profile.sources)
    whole = Compressed(profile.rows, profile.raw_bytes, profile.r, profile.r_long)
    return {evidence.records[0][0].source: whole}
