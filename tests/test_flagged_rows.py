"""Which rows are named: copies by what they cost beyond the kept rows, outliers by their score."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from corpus.records import Conversation, HashedRecord, Message, canonical_text
from monitor.measures.compression import CompressionParams, CompressionProfile
from monitor.measures.consistency import ConsistencyProfile
from monitor.measures.evidence import Evidence
from monitor.measures.row_split import RowSplit
from monitor.rules.drafts import RowScores
from monitor.rules.flagged_rows import rank_rows
from monitor.rules.parent_comparison import ComparedRows
from monitor.rules.redundancy import conditional_ratios, score_redundancy
from monitor.verdict import FlaggedRow

Rows = list[HashedRecord]
PARAMS = CompressionParams()


def compared(records: Rows, is_added: NDArray[np.bool_]) -> ComparedRows:
    """Rows of which nothing else was measured."""
    evidence = Evidence(
        "sft", "", records, CompressionProfile(len(records), 0, 1.0, 1.0, {}),
        ConsistencyProfile(len(records), 0, math.nan, 0.0, 0, 0, 0, None), np.zeros(len(records)), math.nan, (), (),
        np.zeros(0),
    )  # fmt: skip
    return ComparedRows(evidence, RowSplit(~is_added, is_added, np.ones(len(records), dtype=bool)), PARAMS)


def flag_redundant(records: Rows, is_added: NDArray[np.bool_], limit: int) -> list[FlaggedRow]:
    rows = compared(records, is_added)
    return rank_rows(rows, "redundancy", score_redundancy(rows), limit)


def test_exact_copies_of_kept_rows_are_named_before_all_others(chats: Rows) -> None:
    kept, fresh = chats[:200], chats[200:230]
    # Of a row of a few words, most of what it costs is where it stands and not what it says.
    copies = [item for item in kept if len(canonical_text(item[0])) > 500][:3]
    records = [*kept, *fresh[:15], *copies, *fresh[15:]]
    is_added = np.arange(len(records)) >= 200
    flagged = flag_redundant(records, is_added, 3)
    assert {(row.row, row.hash) for row in flagged} == {(record.row, row_hash) for record, row_hash in copies}
    assert [row.score for row in flagged] == sorted((row.score for row in flagged), reverse=True)
    assert flagged[-1].score > 10
    assert (flagged[0].dataset, flagged[0].rule, flagged[0].unit) == ("sft", "redundancy", "raw / compressed bytes")


def test_the_second_of_two_added_copies_is_redundant_and_the_first_is_not(chats: Rows) -> None:
    texts = [canonical_text(record).encode() for record, _ in chats[:102]]
    first, other, second = conditional_ratios(texts[:100], [texts[100], texts[101], texts[100]], PARAMS)
    assert second > 5 * first
    assert second > 5 * other


def test_a_row_costs_what_it_adds_to_the_whole(chats: Rows) -> None:
    texts = [canonical_text(record).encode() for record, _ in chats[:260]]
    ratios = conditional_ratios(texts[:200], texts[200:], PARAMS)
    cost = sum(len(text) / ratio for text, ratio in zip(texts[200:], ratios, strict=True))
    codec = PARAMS.long_codec()
    grown = codec.sizes(texts)[1] - codec.sizes(texts[:200])[1]
    # Ending a block after every row costs its headers and tables.
    assert grown <= cost < 1.35 * grown


def test_rows_are_named_where_all_rows_are_new_and_where_none_is() -> None:
    records: Rows = [(Conversation((Message("user", "Hi"), Message("assistant", "Hello!")), row=1), "00" * 16)]
    assert len(flag_redundant(records, np.array([True]), 5)) == 1
    assert flag_redundant(records, np.array([False]), 5) == []


@pytest.mark.parametrize(("highest", "expected"), [(True, [4, 1, 2]), (False, [3, 2, 1])])
def test_the_outlying_rows_come_worst_first_and_rows_without_a_score_never(highest: bool, expected: list[int]) -> None:
    scores = np.array([np.nan, 3.0, 2.0, 1.0, 9.0])
    records: Rows = [(Conversation((), f"source {i}", row=10 + i), f"{i:032x}") for i in range(5)]
    rows = compared(records, np.ones(5, dtype=bool))
    flagged = rank_rows(rows, "loss", RowScores(scores, "nats per token", highest), 3)
    assert [row.row - 10 for row in flagged] == expected
    assert [row.score for row in flagged] == [scores[i] for i in expected]
    assert [(row.source, row.hash) for row in flagged] == [(f"source {i}", f"{i:032x}") for i in expected]
