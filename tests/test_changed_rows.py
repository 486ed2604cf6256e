"""What a verdict says of the rows beside its measures: the normal band, sources, lengths."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from test_assess import CALIBRATION, CONFIGURATION, HISTORY, PARENT, accept, judge, make_evidence, make_rows, renumber

from corpus.artifacts import to_json
from corpus.records import Conversation, Message
from corpus.shapes import parse_shape
from monitor.assess import assess_version
from monitor.history import read_history, write_entry
from monitor.measures.compression import OTHER_SOURCES
from monitor.measures.row_lengths import measure_lengths
from monitor.measures.row_sources import MAX_SOURCES, compare_sources, count_sources
from monitor.rule_params import RuleParams
from monitor.verdict import NormalRange, SourceRows, Verdict

UPDATED = make_evidence(renumber(make_rows(40, 440)))


def rows_of(*sources: str) -> list:
    return [(Conversation((Message("user", "Hi"),), source, i), f"{i:032x}") for i, source in enumerate(sources)]


def flags(text: str) -> np.ndarray:
    return np.array([letter == "1" for letter in text])


def test_the_band_is_the_parents_value_give_or_take_what_calibrated_updates_of_this_size_do() -> None:
    (changes,) = judge([UPDATED], HISTORY).changes.values()
    # In CALIBRATION a change of ln R is 0.004 times the root of the share, times 1, -1, 0.5 and -0.5.
    sd = 0.004 * math.sqrt((1 + 1 + 0.25 + 0.25) / 4) * math.sqrt(40 / 400) * math.sqrt(1 + 1 / 12)
    reach = stats.t.ppf(0.95, 11) * sd
    before = PARENT.compression.r
    assert changes.normal["r"].low == pytest.approx(before * math.exp(-reach))
    assert changes.normal["r"].high == pytest.approx(before * math.exp(reach))
    assert set(changes.normal) == {"r", "r_long"}


def test_l_and_c_have_a_band_once_the_calibration_measured_them() -> None:
    updates = tuple(replace(update, change_l=0.02, change_c=-0.001) for update in CALIBRATION.updates)
    calibration = replace(CALIBRATION, updates=updates)
    verdict = assess_version([UPDATED], calibration, HISTORY, CONFIGURATION, RuleParams(), "0.1.0")
    normal, before = verdict.changes["sft"].normal, verdict.parent_measurements["sft"]
    for key in ("l", "c"):
        middle = (normal[key].low + normal[key].high) / 2
        assert middle == pytest.approx(getattr(before, key)) and normal[key].low < normal[key].high


def test_the_band_ends_where_the_rule_says_that_benign_updates_end() -> None:
    repeated = make_evidence(renumber([*make_rows(0, 400), *make_rows(0, 40)]), r_long=5.0)
    verdict = judge([repeated], HISTORY)
    rule = next(rule for rule in verdict.rules if rule.id == "redundancy")
    high = verdict.changes["sft"].normal["r_long"].high
    assert rule.threshold == pytest.approx(max(high / 3.64 - 1, 0.005))


def test_a_first_version_has_no_band_and_no_changes() -> None:
    (changes,) = judge([PARENT], []).changes.values()
    assert changes.normal == {} and set(changes.lengths.counts) == {"all"}
    assert changes.sources == (SourceRows("made up", 400, None, None, None),)


def test_sources_count_what_was_added_kept_and_removed() -> None:
    records = rows_of("a", "a", "b", "c", "c", "c")
    found = compare_sources(records, flags("110001"), flags("001110"), {"a": 5, "c": 1, "gone": 2})
    assert found == (
        SourceRows("a", 2, 0, 2, 3),
        SourceRows("c", 3, 2, 1, 0),
        SourceRows("gone", 0, 0, 0, 2),
        SourceRows("b", 1, 1, 0, 0),
    )


def test_removed_rows_are_unknown_where_the_parents_sources_are() -> None:
    unrecorded = compare_sources(rows_of("a", "b"), flags("10"), flags("01"))
    assert [part.removed for part in unrecorded] == [None, None]
    capped = compare_sources(rows_of("a", "b"), flags("10"), flags("01"), {"a": 2, OTHER_SOURCES: 9})
    assert {part.source: part.removed for part in capped} == {"a": 1, "b": None, OTHER_SOURCES: None}


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), min_size=1, max_size=40), st.integers(0, 9))
def test_by_source_the_counts_add_up_to_the_versions(rows: list[tuple[str, bool]], dropped: int) -> None:
    kept = np.array([flag for _, flag in rows])
    parent = count_sources([source for source, flag in rows if flag] + ["z"] * dropped)
    found = compare_sources(rows_of(*(source for source, _ in rows)), kept, ~kept, parent)
    assert sum(part.rows for part in found) == len(rows)
    assert sum(part.added for part in found) == int((~kept).sum())
    assert sum(part.kept for part in found) == int(kept.sum())
    assert sum(part.removed for part in found) == dropped


def test_rows_of_which_nothing_is_known_are_stood_for_by_the_others_of_their_source() -> None:
    (part,) = compare_sources(rows_of("a", "a", "a", "a"), flags("1000"), flags("0100"), {"a": 4})
    assert part == SourceRows("a", 4, 2, 2, 2)


def test_many_sources_are_told_apart_up_to_a_number() -> None:
    counts = count_sources([f"s{i}" for i in range(MAX_SOURCES + 7)] + ["big"] * 3)
    assert len(counts) == MAX_SOURCES + 1 and counts["big"] == 3 and counts[OTHER_SOURCES] == 8
    assert max(map(len, count_sources(["x" * 5000]))) <= 100


def test_an_accepted_version_remembers_its_sources(tmp_path) -> None:
    write_entry(tmp_path, accept([PARENT], [], "x1"))
    (entry,) = read_history(tmp_path)
    assert entry.datasets["sft"].sources == {"made up": 400}
    (part,) = judge([UPDATED], [entry]).changes["sft"].sources
    assert (part.rows, part.added, part.kept, part.removed) == (400, 40, 360, 40)


@given(st.lists(st.tuples(st.integers(0, 5000), st.booleans()), min_size=1, max_size=30))
def test_every_row_is_counted_in_the_bin_of_its_length(rows: list[tuple[int, bool]]) -> None:
    records = [(Conversation((Message("user", "x" * length),)), "") for length, _ in rows]
    added = np.array([flag for _, flag in rows])
    lengths = measure_lengths(records, {"kept": ~added, "added": added})
    for group, flag in (("kept", False), ("added", True)):
        chosen = [length for length, is_added in rows if is_added is flag]
        naive = [sum(low <= n < high for n in chosen) for low, high in pairwise(lengths.edges)]
        assert list(lengths.counts[group]) == naive and sum(naive) == len(chosen)
        assert lengths.medians[group] == (float(np.median(chosen)) if chosen else None)


def test_what_a_verdict_says_of_rows_reads_back_and_may_be_missing() -> None:
    verdict = judge([UPDATED], HISTORY)
    document = json.loads(to_json(verdict))
    again = parse_shape(document, Verdict).changes["sft"]
    assert again.sources == verdict.changes["sft"].sources and again.lengths == verdict.changes["sft"].lengths
    assert isinstance(again.normal["r"], NormalRange)
    del document["changes"]
    assert parse_shape(document, Verdict).changes == {}
