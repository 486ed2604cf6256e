"""What the history keeps of an accepted version, so that the next one can be compared with it: numbers, never text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from corpus.errors import EntropylawError
from corpus.formats import READER
from corpus.records import Preference
from corpus.row_facts import hashes_of, sources_of
from monitor.history import DatasetReference, HistoryEntry
from monitor.measures.evidence import Evidence, row_losses
from monitor.measures.preferences import PairReference, compare_answers, fit_direction
from monitor.measures.row_sketch import RowSketch
from monitor.measures.row_sources import count_sources
from monitor.measures.row_table import RowTable
from monitor.rules import drift
from monitor.verdict import Verdict


def describe_pairs(item: Evidence) -> PairReference | None:
    """What the next version needs to know of this one's pairs; None of conversations."""
    if item.agreement.ndim == 1:
        return None
    pairs = sum(isinstance(record, Preference) for record, _ in item.records)
    differences = compare_answers((record for record, _ in item.records), item.agreement)
    return PairReference(pairs, item.consistency.flipped_pairs or 0, fit_direction(differences))


def describe_reference(item: Evidence) -> DatasetReference:
    """What the next version needs to know of one dataset of this one: numbers of the whole and of rows, never text."""
    return DatasetReference(
        data_hash=item.data_hash,
        sketch=RowSketch.of(hashes_of(item.records)),
        probe_hashes=tuple(item.probe_hashes),
        probe_losses=tuple(item.probe_losses.tolist()),
        agreement_mean=item.consistency.agreement,
        agreement_sd=item.consistency.agreement_sd,
        agreement_n=item.consistency.measured,
        pairs=describe_pairs(item),
        sources=count_sources(sources_of(item.records)),
        table=RowTable.of(item.records, row_losses(item)),
        grades=item.grades.summary if item.grades else None,
        second=item.second,
    )


def accept_version(
    verdict: Verdict,
    evidence: Sequence[Evidence],
    name: str,
    scores: dict[str, float],
    waivers: Sequence[dict[str, str]],
    as_baseline: bool,
    tool_version: str,
    as_anchor: bool = False,
    start: dict[str, str] | None = None,
) -> HistoryEntry:
    """What the history keeps of an accepted version: numbers, row sketch, row table and probe, never text.

    A new baseline carries its waivers but does not count as waived: later versions are compared with it. ``start``: its
    reason and its owner, where it answers what could not be assessed. For ``as_anchor`` see ``confirm``.
    """
    entry = HistoryEntry(
        name=name,
        data_hash=verdict.version.data_hash,
        config_fingerprint=verdict.config_fingerprint,
        status="baseline" if as_baseline else verdict.status,
        waived=bool(waivers) and not as_baseline,
        waivers=tuple(waivers),
        rows=verdict.version.rows,
        measurements=dict(verdict.measurements),
        datasets={item.dataset: describe_reference(item) for item in evidence},
        scores=scores,
        tool_version=tool_version,
        reader=READER,
        start=start if as_baseline else None,
    )
    return confirm(entry) if as_anchor else entry


def confirm(entry: HistoryEntry) -> HistoryEntry:
    """The entry as one that a person confirmed: small steps of later versions are counted from it.

    A waiver of the rule ``drift`` is answered by that, so a version that was released under no other is a reference
    again. Raises EntropylawError where another rule was waived.
    """
    others = sorted({waiver["rule"] for waiver in entry.waivers} - {drift.RULE.id})
    if entry.waived and others:
        raise EntropylawError(
            f"{entry.name}: released under a waiver of {', '.join(others)}, so nothing is compared with it and "
            "it cannot be the anchor; `entropylaw accept --baseline` starts anew from it"
        )
    return replace(entry, anchor=True, waived=False)
