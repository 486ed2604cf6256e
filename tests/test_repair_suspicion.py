"""Which rows are behind an alarm: damaged rows are told from honest ones that came with them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from corpus.records import Conversation, HashedRecord, Message, content_hash
from monitor.calibration.params import CalibrationParams
from monitor.like_rows.like_comparison import LikeComparison, compare_like_with_like
from monitor.measures.row_split import RowSplit
from monitor.repair.suspicion import Suspicion, find_odd_ones, join_suspicions, suspect_unlike_rows

RARE_CHARACTER_BITS = 12.0
KEPT, HONEST, DAMAGED = 500, 60, 60


def compare(rows: list[Conversation]) -> LikeComparison:
    """The rows after the first KEPT as added ones, beside kept rows like them. No model is asked for losses."""
    hashed = [HashedRecord(row, content_hash(row)) for row in rows]
    is_kept = np.arange(len(rows)) < KEPT
    split = RowSplit(is_kept, ~is_kept, np.ones(len(rows), dtype=bool))
    nothing = np.zeros(len(rows), dtype=bool)
    losses = np.full(len(rows), np.nan)
    like = compare_like_with_like(hashed, split, nothing, losses, CalibrationParams(), RARE_CHARACTER_BITS)
    assert like is not None
    return like


def change_answers(row: Conversation, change) -> Conversation:
    return replace(
        row,
        messages=tuple(replace(m, content=change(m.content)) if m.role == "assistant" else m for m in row.messages),
    )


def swap_answers(rows: list[Conversation]) -> list[Conversation]:
    """Each row with the last answer of the row after it."""
    return [
        replace(row, messages=(*row.messages[:-1], Message("assistant", other.messages[-1].content)))
        for row, other in pairwise([*rows, rows[0]])
    ]


ACCIDENTS = {
    "cut": lambda rows: [change_answers(row, lambda text: text[: len(text) // 2]) for row in rows],
    "escaped": lambda rows: [change_answers(row, lambda text: text.replace("'", "&#39;") + "&nbsp;") for row in rows],
    "twice": lambda rows: [change_answers(row, lambda text: f"{text} {text} {text}") for row in rows],
    "template": lambda rows: [change_answers(row, lambda text: f"{text}<|im_end|>") for row in rows],
}


@pytest.fixture(scope="module")
def answered(chats) -> list[Conversation]:
    """Conversations that end with an answer of some length."""
    rows = [record for record, _ in chats if record.messages[-1].role == "assistant"]
    return [row for row in rows if len(row.messages[-1].content) > 15][: KEPT + HONEST + DAMAGED]


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_most_damaged_rows_are_suspected_and_few_honest_ones_are(answered, accident) -> None:
    assert len(answered) == KEPT + HONEST + DAMAGED
    rows = [*answered[: KEPT + HONEST], *ACCIDENTS[accident](answered[KEPT + HONEST :])]
    found = suspect_unlike_rows(compare(rows), len(rows)).probability > 0.5
    assert not found[:KEPT].any()
    right = np.count_nonzero(found[KEPT + HONEST :])
    assert right >= 0.8 * DAMAGED
    # Many answers of chit-chat break off by themselves, and the honest rows are of a later month than the kept ones.
    assert right >= 0.8 * np.count_nonzero(found)


def test_hardly_a_row_of_an_honest_update_is_suspected(answered) -> None:
    answered = sorted(answered, key=content_hash)  # not by their dates
    found = suspect_unlike_rows(compare(answered), len(answered)).probability > 0.5
    assert np.count_nonzero(found) <= 0.1 * (HONEST + DAMAGED)


def test_what_is_merely_different_is_no_reason_beside_damage(answered) -> None:
    """Honest rows with a system message, which no row had, came with damaged rows: only these are suspected."""
    told = Message("system", "You talk to a stranger. Be friendly.")
    polite = [replace(row, messages=(told, *row.messages)) for row in answered[KEPT : KEPT + HONEST]]
    rows = [*answered[:KEPT], *polite, *ACCIDENTS["template"](answered[KEPT + HONEST :])]
    found = suspect_unlike_rows(compare(rows), len(rows)).probability > 0.5
    assert np.count_nonzero(found[KEPT + HONEST :]) >= 0.85 * DAMAGED
    assert np.count_nonzero(found[KEPT : KEPT + HONEST]) <= 0.15 * HONEST


@pytest.mark.parametrize("odd", [0, 20, 100, 300])
def test_the_odd_ones_are_as_many_as_there_are(odd: int) -> None:
    rng = np.random.default_rng(odd)
    kept, honest = rng.normal(size=2000), rng.normal(size=300)
    found = find_odd_ones(kept, np.concatenate([honest, rng.normal(4.0, 1.0, size=odd)]))
    assert found.shape == (300 + odd,) and found.min() >= 0 and found.max() <= 1
    assert abs(float(found.sum()) - odd) <= 0.15 * (300 + odd)
    if odd:
        assert found[300:].mean() > 0.7 > 0.2 > found[:300].mean()


def test_of_two_suspicions_the_higher_one_counts_with_its_reason() -> None:
    first = Suspicion(np.array([0.9, 0.1, 0.0]), np.array([0, 0, -1]), (("copies", "a"),))
    second = Suspicion(np.array([0.2, 0.8, 0.0]), np.array([0, 1, -1]), (("edits", "b"), ("edits", "c")))
    joined = join_suspicions([first, second])
    assert joined.probability.tolist() == [0.9, 0.8, 0.0]
    assert [joined.reasons[i] if i >= 0 else None for i in joined.reason] == [("copies", "a"), ("edits", "c"), None]
