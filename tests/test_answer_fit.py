"""Answer mismatch: answers of other rows have more of it than a row's own, whatever rows are added."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from corpus.records import Conversation, Message, Preference
from monitor.like_rows import answer_fit
from monitor.like_rows.answer_fit import MIN_ROWS, Sides, embed_sides, measure_answer_mismatch

TOPICS, FOLDS = 8, 4
Numbers = NDArray[np.int64]


def unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def draw_sides(rng: np.random.Generator, topic: Numbers) -> Sides:
    """Rows whose prompts and answers share a topic: where their embeddings point, and most of their words."""
    centres = np.random.default_rng(0).normal(size=(TOPICS, 256))

    def say() -> tuple[str, ...]:
        return tuple(
            " ".join(f"word{t if rng.random() < 0.7 else rng.integers(TOPICS)}x{w}" for w in rng.integers(0, 30, 9))
            for t in topic
        )

    def point() -> NDArray[np.float32]:
        return unit(centres[topic] + rng.normal(0, 1.5, (len(topic), 256)))

    return Sides(say(), say(), point(), point())


def exchange_answers(sides: Sides, rows: Numbers, donors: Numbers) -> Sides:
    responses, vectors = list(sides.responses), sides.response_vectors.copy()
    for row, donor in zip(rows.tolist(), donors.tolist(), strict=True):
        responses[row], vectors[row] = sides.responses[donor], sides.response_vectors[donor]
    return replace(sides, responses=tuple(responses), response_vectors=vectors)


def take(sides: Sides, rows: Numbers) -> Sides:
    prompts, responses = (tuple(texts[i] for i in rows) for texts in (sides.prompts, sides.responses))
    return Sides(prompts, responses, sides.prompt_vectors[rows], sides.response_vectors[rows])


@pytest.fixture(scope="module")
def topic() -> Numbers:
    return np.random.default_rng(1).integers(0, TOPICS, 320)


@pytest.fixture(scope="module")
def sides(topic: Numbers) -> Sides:
    """240 kept rows and 80 added ones."""
    return draw_sides(np.random.default_rng(2), topic)


@pytest.fixture(scope="module")
def fold(topic: Numbers) -> Numbers:
    return np.where(np.arange(320) < 240, topic % FOLDS, -1)


def test_answers_of_other_rows_have_more_mismatch_than_a_rows_own(sides: Sides, fold: Numbers) -> None:
    added = np.arange(240, 280)
    mismatch = measure_answer_mismatch(exchange_answers(sides, added, np.roll(added, 1)), fold)
    own, others = mismatch[280:], mismatch[240:280]
    assert (others[:, None] > own[None, :]).mean() > 0.9
    # Log-odds: most own answers are told to be own, most others' to be others'.
    assert np.median(own) < 0 < np.median(others)


def test_kept_rows_are_scored_like_added_ones_of_their_kind(sides: Sides, fold: Numbers) -> None:
    mismatch = measure_answer_mismatch(sides, fold)
    kept, added = mismatch[:240], mismatch[240:]
    assert abs(np.median(kept) - np.median(added)) < 0.5 * kept.std()


def test_mismatch_of_kept_rows_does_not_change_when_rows_are_added(sides: Sides, fold: Numbers) -> None:
    kept = np.arange(240)
    alone = measure_answer_mismatch(take(sides, kept), fold[:240])
    assert measure_answer_mismatch(sides, fold)[:240] == pytest.approx(alone, rel=1e-4, abs=1e-4)


def test_what_fits_is_not_learnt_from_a_kept_rows_own_fold(sides: Sides) -> None:
    # All answers of a large fold are other rows'. Who learnt from it would find nothing odd about them.
    wrong = np.arange(190)
    exchanged = take(exchange_answers(sides, wrong, np.roll(wrong, 1)), np.arange(240))
    mismatch = measure_answer_mismatch(exchanged, np.repeat([0, 1], [190, 50]))
    assert (mismatch[wrong] > 1).mean() > 0.6
    everyone = measure_answer_mismatch(exchanged, np.arange(240) % FOLDS)
    assert (everyone[wrong] > 1).mean() < 0.2


def test_fewer_kept_rows_than_needed_say_nothing(sides: Sides, fold: Numbers) -> None:
    few = np.concatenate([np.arange(MIN_ROWS - 1), np.arange(240, 250)])
    assert np.isnan(measure_answer_mismatch(take(sides, few), fold[few])).all()
    enough = np.concatenate([np.arange(MIN_ROWS), np.arange(240, 250)])
    assert np.isfinite(measure_answer_mismatch(take(sides, enough), fold[enough])).any()


def test_kept_rows_of_one_fold_have_none_to_be_read_by_and_added_rows_have(sides: Sides) -> None:
    mismatch = measure_answer_mismatch(sides, np.where(np.arange(320) < 240, 0, -1))
    assert np.isnan(mismatch[:240]).all() and np.isfinite(mismatch[240:]).all()


def test_a_row_without_prompt_or_answer_has_no_mismatch_and_teaches_nothing(sides: Sides, fold: Numbers) -> None:
    blank = replace(sides, prompt_vectors=sides.prompt_vectors.copy(), response_vectors=sides.response_vectors.copy())
    blank.prompt_vectors[3] = blank.response_vectors[250] = 0
    mismatch = measure_answer_mismatch(blank, fold)
    assert np.flatnonzero(np.isnan(mismatch)).tolist() == [3, 250]
    others = np.setdiff1d(np.arange(320), [3, 250])
    assert measure_answer_mismatch(take(sides, others), fold[others]) == pytest.approx(
        mismatch[others], rel=1e-4, abs=1e-4
    )


def test_where_all_rows_are_the_same_no_answer_fits_worse(fold: Numbers) -> None:
    vectors = np.tile(unit(np.ones((1, 256))), (320, 1))
    mismatch = measure_answer_mismatch(Sides(("same",) * 320, ("same",) * 320, vectors, vectors), fold)
    assert mismatch == pytest.approx(np.zeros(320))


@given(st.lists(st.integers(0, 4), min_size=2, max_size=30))
def test_exchanged_answers_go_round_among_rows_that_answer_about_as_long(lengths: list[int]) -> None:
    rows = np.arange(len(lengths)) + 5
    length = np.concatenate([np.full(5, 99.0), np.array(lengths, dtype=float)])
    other = answer_fit._exchange(rows, length)
    assert sorted(other.tolist()) == rows.tolist() and (other != rows).all()
    # But for the one that begins again, nobody gets an answer shorter than his own, or one that skips a length.
    given_to = sorted(zip(length[rows].tolist(), length[other].tolist(), strict=True))
    steps = [(own, got) for own, got in given_to if got >= own]
    assert len(steps) >= len(rows) - 1
    assert not any(own < other_length < got for own, got in steps for other_length in length[rows])


def test_words_weigh_by_how_rare_they_are_worked_by_hand() -> None:
    prompts, responses = ("the amber", "the basil", "the cedar"), ("the amber", "the basil daisy", "the the the")
    nothing = np.zeros((3, 256), dtype=np.float32)
    words = answer_fit._find_side_words(Sides(prompts, responses, nothing, nothing))
    prompt_words, response_words = answer_fit._weigh_words(words, np.array([0, 1]))
    overlap = np.asarray(prompt_words.multiply(response_words).sum(axis=1)).ravel()
    # Of the two kept rows one says amber, one says basil and daisy, as rare each; `the` ties nothing, cedar is unknown.
    assert overlap == pytest.approx([1.0, 1 / math.sqrt(2), 0.0])


def test_sides_are_what_the_model_is_given_and_what_it_should_say() -> None:
    rows = [
        Conversation((Message("system", "Be brief."), Message("user", "Tea?"), Message("assistant", "Yes."))),
        Preference((Message("user", "Tea?"),), (), (Message("assistant", "No."),)),
        Conversation((Message("assistant", "Alone."),)),
    ]
    sides = embed_sides(rows)
    assert sides.prompts == ("Tea?", "Tea?", "") and sides.responses == ("Yes.", "No.", "Alone.")
    assert np.linalg.norm(sides.prompt_vectors, axis=1) == pytest.approx([1, 1, 0])
    assert sides.response_vectors.shape == (3, 256)


def test_other_white_space_leaves_a_text_where_it_was_embedded() -> None:
    plain = Conversation((Message("user", "Tea or milk?"), Message("assistant", "Tea, of course.\n  Milk is cold.")))
    other = [plain, Conversation(tuple(replace(m, content=m.content.replace(" ", "\u00a0")) for m in plain.messages))]
    sides = embed_sides(other)
    assert (sides.response_vectors[0] == sides.response_vectors[1]).all()
    assert (sides.prompt_vectors[0] == sides.prompt_vectors[1]).all() and sides.responses[1] != sides.responses[0]
