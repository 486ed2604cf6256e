"""Benign updates: what is drawn, and what it changes, against brute force and cases worked by hand."""

import math

import numpy as np
import pytest

from corpus.records import Conversation, HashedRecord, Message, canonical_text
from monitor.calibration.benign_updates import RowMeasures, UpdateDraw, describe_updates, draw_updates, measure_updates
from monitor.calibration.topics import cluster_topics
from monitor.measures.compression import CompressionParams

Rows = list[HashedRecord]
COMPRESSION = CompressionParams()
TOPICS = np.arange(200) % 5


def draw(shares: tuple[float, ...] = (0.05, 0.2), draws: int = 4) -> list[UpdateDraw]:
    return draw_updates(TOPICS, shares, draws, np.random.default_rng(0))


def make_measures(rows: int = 200, probe_rows: int = 1000, seed: int = 1) -> RowMeasures:
    """Half of the rows have a loss, nine in ten an agreement."""
    rng = np.random.default_rng(seed)
    agreement = rng.normal(0.3, 0.1, rows)
    agreement[:: rows // 10 or 1] = math.nan
    loss, tokens = np.full(rows, math.nan), np.zeros(rows, dtype=np.int64)
    order = rng.permutation(rows)[: rows // 2]
    loss[order], tokens[order] = rng.normal(5, 1, len(order)), rng.integers(1, 60, len(order))
    return RowMeasures(agreement, loss, tokens, order, probe_rows, 0)


def test_conversations_of_one_subject_share_a_topic() -> None:
    subjects = (["bread", "dough", "oven", "yeast"], ["guitar", "chord", "song", "melody"], ["car", "engine", "brakes"])
    rng = np.random.default_rng(0)
    records = [
        Conversation((Message("user", " ".join(rng.choice(words, 12))), Message("assistant", " ".join(words))))
        for words in subjects
        for _ in range(20)
    ]
    labels = cluster_topics(records, 3, seed=0)
    assert [len(set(labels[i : i + 20])) for i in (0, 20, 40)] == [1, 1, 1]
    assert len(set(labels)) == 3
    assert (cluster_topics(records, 3, seed=0) == labels).all()


def test_a_baseline_with_fewer_different_rows_than_topics_is_clustered_without_a_warning() -> None:
    records = [Conversation((Message("user", f"question {i % 2}"), Message("assistant", "yes"))) for i in range(30)]
    labels = cluster_topics(records, 12, seed=0)
    assert set(labels) == {0, 1}


def test_an_update_replaces_rows_by_rows_that_were_held_back() -> None:
    for update in draw():
        before, after = set(update.before.tolist()), set(update.after.tolist())
        assert len(update.before) == len(before) == len(update.after) == len(after) == 200 - update.size
        assert len(after - before) == len(before - after) == update.size
        # Kept rows stay where they were; new ones come last.
        kept, new = update.after[: -update.size], update.after[-update.size :]
        assert (np.diff(kept) > 0).all() and set(new.tolist()) == after - before


def test_every_other_update_is_of_one_topic() -> None:
    updates = draw((0.1,), 8)
    assert [update.kind for update in updates] == ["random", "topic"] * 4
    topics = [len(set(TOPICS[update.after[-update.size :]])) for update in updates]
    assert set(topics[1::2]) == {1} and set(topics[::2]) == {5}


def test_updates_are_of_the_sizes_asked_for_and_change_r_a_little(chats: Rows) -> None:
    updates = measure_updates(chats[:200], draw(), COMPRESSION)
    assert [update.share for update in updates] == pytest.approx([0.05] * 4 + [0.2] * 4, rel=0.1)
    changes = np.array([[update.change_log_r, update.change_log_r_long] for update in updates])
    assert changes.any(axis=0).all()
    assert np.abs(changes).max() < 0.05
    assert all(update.change_l is update.change_c is None for update in updates)


@pytest.mark.slow
def test_the_changes_are_those_of_the_two_versions_measured_one_by_one(chats: Rows) -> None:
    rows, measures = chats[:200], make_measures()
    for update, found in zip(draw(), measure_updates(rows, draw(), COMPRESSION, measures), strict=True):
        r, l, c = [], [], []  # noqa: E741 - the paper's letter
        for version in (update.before.tolist(), update.after.tolist()):
            texts = [canonical_text(rows[i][0]).encode() for i in version]
            r.append(math.log(COMPRESSION.long_codec().ratio(texts)))
            probed = [i for i in version if i in measures.probe_order]
            nats = sum(measures.loss_nats[i] * measures.tokens[i] for i in probed)
            l.append(nats / sum(measures.tokens[i] for i in probed))
            c.append(np.nanmean(measures.agreement[version]))
        assert found.change_log_r_long == pytest.approx(r[1] - r[0])
        assert found.change_l == pytest.approx(l[1] - l[0]) and found.change_l != 0
        assert found.change_c == pytest.approx(c[1] - c[0]) and found.change_c != 0


def test_l_is_of_the_first_rows_that_a_probe_reads(chats: Rows) -> None:
    # Row 3 leaves and row 5 comes: a probe of three rows in the order 3, 4, 0, 5, 2 reads 3, 4, 0 and then 4, 0, 5.
    loss = np.array([9.0, math.nan, 1.0, 4.0, 5.0, 7.0])
    tokens = np.array([20, 0, 1, 10, 30, 10])
    update = UpdateDraw("random", 1, np.array([0, 1, 2, 3, 4]), np.array([0, 1, 2, 4, 5]))

    def change(skipped_rows: int) -> float | None:
        order = np.array([3, 4, 0, 5, 2])
        measures = RowMeasures(np.full(6, math.nan), loss, tokens, order, 3, skipped_rows)
        (found,) = measure_updates(chats[:6], [update], COMPRESSION, measures)
        assert found.change_c is None
        return found.change_l

    assert change(0) == pytest.approx((5 * 30 + 9 * 20 + 7 * 10) / 60 - (4 * 10 + 5 * 30 + 9 * 20) / 60)
    # The first row read does not count: 4 and 0, then 0 and 5. Of three rows there are not four to skip.
    assert change(1) == pytest.approx((9 * 20 + 7 * 10) / 30 - (5 * 30 + 9 * 20) / 50)
    assert change(4) == change(0)


def test_a_version_without_a_probed_row_has_no_change_of_l(chats: Rows) -> None:
    update = UpdateDraw("random", 1, np.array([0, 1, 2]), np.array([0, 1, 3]))
    loss = np.array([math.nan, math.nan, math.nan, 5.0])
    measures = RowMeasures(np.full(4, 0.25), loss, np.ones(4, dtype=np.int64), np.array([3]), 8, 0)
    (found,) = measure_updates(chats[:4], [update], COMPRESSION, measures)
    assert found.change_l is None and found.change_c == 0.0
    assert describe_updates([found]).endswith("%, C by ±0.0000.")


def test_updates_of_rows_that_are_all_the_same_change_nothing(chats: Rows) -> None:
    same = make_measures(60)
    same.agreement[:], same.loss_nats[same.probe_order] = 0.3, 5.0
    draws = draw_updates(np.zeros(60, dtype=int), (0.1, 0.2), 2, np.random.default_rng(0))
    for update in measure_updates(chats[:1] * 60, draws, COMPRESSION, same):
        assert update.change_log_r == update.change_log_r_long == 0.0
        assert (update.change_l, update.change_c) == pytest.approx((0.0, 0.0))
