"""probe.tokens: which rows a budget leaves in a probe, and that nothing changes without one."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.params import parse_section
from corpus.records import Conversation, HashedRecord, Message, content_hash
from monitor.measures.compression import CompressionParams
from monitor.measures.consistency import ConsistencyParams
from monitor.measures.evidence import Configuration
from tests.conftest import Rows
from training.probe import probe_loss
from training.probe_run import TRAINING_COST, ProbeParams, choose_probe_rows, take_probe_rows
from training.probed_model import load_probed_model

SMALL = ProbeParams(steps=3, batch_rows=2, rows=20, skipped_steps=1)
lengths = st.lists(st.integers(1, 50), min_size=8, max_size=40)


def rows_of(sizes: list[int]) -> list[HashedRecord]:
    records = [
        Conversation((Message("user", f"q{i}"), Message("assistant", "x" * size)), row=i + 1)
        for i, size in enumerate(sizes)
    ]
    return [HashedRecord(record, content_hash(record)) for record in records]


def take(sizes: list[int], params: ProbeParams) -> tuple[list[int], int]:
    """The lengths of the rows that are taken, where a row is as long as its answer; and how many were left out."""
    found = take_probe_rows(rows_of(sizes), params, 1.0, lambda record: record.messages[1].content, len)
    return [len(row) for _, _, row in found.rows], found.beyond_budget


def cost(taken: list[int]) -> int:
    return sum(size * (1 + TRAINING_COST * (i < SMALL.trained_rows)) for i, size in enumerate(taken))


@given(lengths, st.integers(1, 2000))
@settings(max_examples=100, deadline=None)
def test_a_budget_takes_the_longest_beginning_that_it_allows_and_counts_the_rest(sizes: list[int], tokens: int) -> None:
    whole, none_left = take(sizes, SMALL)
    taken, left = take(sizes, replace(SMALL, tokens=tokens))
    assert none_left == 0
    assert taken == whole[: len(taken)]
    assert len(taken) + left == len(whole)
    assert cost(taken) <= tokens or len(taken) == SMALL.batch_rows
    assert left == 0 or cost(whole[: len(taken) + 1]) > tokens


@given(lengths, st.integers(1, 500), st.integers(1, 500))
@settings(max_examples=50, deadline=None)
def test_a_larger_budget_keeps_all_rows_of_a_smaller_one(sizes: list[int], tokens: int, more: int) -> None:
    smaller, _ = take(sizes, replace(SMALL, tokens=tokens))
    larger, _ = take(sizes, replace(SMALL, tokens=tokens + more))
    assert larger[: len(smaller)] == smaller


def test_without_a_budget_the_rows_are_the_first_in_the_order_of_their_hashes() -> None:
    records = rows_of([5] * 30)
    found = take_probe_rows(records, SMALL, 1.0, lambda record: record, lambda _: 1)
    assert [row_hash for _, row_hash, _ in found.rows] == [h for _, h in choose_probe_rows(records, 20, 0, 1.0)]


def test_a_section_without_the_key_has_no_budget_and_versions_keep_their_fingerprint() -> None:
    keys = {"steps": 48, "batch_rows": 8, "rows": 600, "max_length": 256, "learning_rate": 1e-4, "skipped_steps": 4}
    assert parse_section(ProbeParams, {**keys, "seed": 0}, "probe") == ProbeParams()

    def named(probe: ProbeParams) -> str:
        return Configuration(CompressionParams(), ConsistencyParams(), probe, "x").fingerprint()

    assert named(ProbeParams()) == "5a26f2d57a3f857e"  # as release 0.2.0's successor had it before there was a budget
    assert named(ProbeParams(tokens=1000)) != named(ProbeParams())
    with pytest.raises(ValueError, match="tokens must be positive"):
        ProbeParams(tokens=0)


def test_a_probe_within_a_budget_reads_the_same_losses_and_says_what_it_leaves_out(
    base_folder: Path, chats: Rows
) -> None:
    params = ProbeParams(steps=4, batch_rows=4, rows=60, max_length=64, skipped_steps=1)
    results = []
    for tokens in (None, 3000):
        model, tokenizer, card, _ = load_probed_model(base_folder)
        results.append(probe_loss(model, tokenizer, list(chats), replace(params, tokens=tokens), card.trained_from))
    whole, part = results
    assert 4 <= len(part.rows) < len(whole.rows)
    assert part.l == pytest.approx(whole.l, rel=1e-6) if part.steps == whole.steps else part.steps < whole.steps
    losses = [row.loss_nats for row in whole.rows[: len(part.rows)]]
    assert [row.loss_nats for row in part.rows] == pytest.approx(losses, rel=1e-4)
    assert whole.unread.beyond_budget == 0
    assert part.unread.beyond_budget == len(whole.rows) - len(part.rows)
    assert part.unread.rows == whole.unread.rows
    assert f"{part.unread.beyond_budget} left out by probe.tokens" in part.unread.describe()
