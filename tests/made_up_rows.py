"""Made-up chats on a few topics, and comparisons of added rows with kept rows like them, for tests of rules."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from corpus.records import Conversation, HashedRecord, Message, Record, content_hash
from corpus.row_facts import hashes_of
from monitor.calibration.params import CalibrationParams
from monitor.like_rows.like_comparison import LikeComparison, compare_like_with_like
from monitor.like_rows.neighbours import Neighbours, find_neighbours
from monitor.like_rows.phrases import Phrase
from monitor.measures.row_split import RowSplit
from monitor.rule_params import RuleParams
from monitor.rules import agreement, copies, damage, loss, style

Rows = list[Conversation]

TOPICS = tuple(
    line.split()
    for line in (
        "bread oven flour butter salt soup pepper onion garlic knife plate recipe cheese rice stew",
        "sea ship sail harbour wave anchor captain island storm fish net rope deck coast tide",
        "guitar song piano drum concert melody singer violin stage choir rhythm opera album band tune",
        "doctor nurse fever hospital pill cough wound blood heart bone vaccine patient surgery pain cure",
        "football goal referee stadium player coach match team league score penalty ball winner cup trainer",
        "garden rose tree soil seed leaf root flower spade rain bush lawn weed fruit compost",
        "train station ticket rail platform luggage conductor tunnel bridge voyage signal engine track delay seat",
    )
)
QUESTIONS = (
    "Do you like the {} and the {}?",
    "What would you do with a {} or an old {}?",
    "Have you ever seen the {} next to the {}?",
    "Why is there a {} on your {} today?",
    "Can you tell me more about the {} and its {}?",
)
ANSWERS = (
    "I think the {} is better than the {}, but it depends on the {}.",
    "Well, my {} was never like that, so I took the {} and my {}.",
    "It is a good {} because the {} comes with every {}.",
    "Not really. We had a {} and some {} before the {} was gone.",
    "Yes, of course! You can have the {} if you give me the {} or the {}.",
)
# Features that rules look at, beside what they say of new rows.
FEATURES = {
    question.feature
    for question in (
        *style.QUESTIONS, *damage.QUESTIONS, *copies.NEAR, agreement.MISMATCH, agreement.COSINE, loss.QUESTION
    )
} | {"answer elsewhere", "answer ending"}  # fmt: skip


def say(rng: np.random.Generator, words: Sequence[str], sentences: Sequence[str], end: str) -> str:
    """Two to four sentences about the words, with a line break or a blank between them."""
    drawn = [sentences[i] for i in rng.integers(0, len(sentences), rng.integers(2, 5))]
    return end.join(drawn).format(*rng.choice(words, 3 * len(drawn)))


def draw_chats(
    rng: np.random.Generator, rows: int, topics: Sequence[Sequence[str]] = TOPICS[:6], source: str = ""
) -> Rows:
    """A question with its answer of some lines, both about one topic."""
    chats = []
    for _ in range(rows):
        words = topics[rng.integers(len(topics))]
        messages = (
            Message("user", say(rng, words, QUESTIONS, " ")),
            Message("assistant", say(rng, words, ANSWERS, "\n")),
        )
        chats.append(Conversation(messages, source))
    return chats


def change(row: Conversation, said: Callable[[str], str], role: str = "assistant") -> Conversation:
    """The row with all that one speaker says changed."""
    messages = (replace(m, content=said(m.content)) if m.role == role else m for m in row.messages)
    return replace(row, messages=tuple(messages))


def hash_rows(rows: Sequence[Record]) -> list[HashedRecord]:
    return [HashedRecord(row, content_hash(row)) for row in rows]


def compare(
    kept: Sequence[Record],
    added: Sequence[Record],
    losses: NDArray[np.float64] | None = None,
    is_new_source: NDArray[np.bool_] | None = None,
) -> LikeComparison | None:
    """The added rows beside kept rows like them."""
    rows = hash_rows([*kept, *added])
    is_kept = np.arange(len(rows)) < len(kept)
    return compare_like_with_like(
        rows,
        RowSplit(is_kept, ~is_kept, hashes_of(rows).flag_first()),
        np.zeros(len(rows), dtype=bool) if is_new_source is None else is_new_source,
        np.full(len(rows), np.nan) if losses is None else losses,
        CalibrationParams(),
        RuleParams().rare_character_bits,
    )


@functools.cache
def draw_neighbours(kept: int, added: int) -> Neighbours:
    """Like rows of rows that lie anywhere."""
    vectors = np.random.default_rng(0).normal(size=(kept + added, 8)).astype(np.float32)
    return find_neighbours(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), kept)


def make_like(
    rng: np.random.Generator,
    kept: int,
    added: int,
    values: Mapping[str, NDArray[np.float64]],
    is_new: NDArray[np.bool_] | None = None,
    phrases: Mapping[str, list[Phrase]] | None = None,
) -> LikeComparison:
    """A comparison of rows that differ in nothing but the features of which the ``values`` are given.

    ``values``: of the kept rows, then of the added ones, shape (kept + added,). ``is_new``: of the added rows.
    """
    rows = kept + added
    neighbours = draw_neighbours(kept, added)
    new = np.concatenate([np.zeros(kept, dtype=bool), np.zeros(added, dtype=bool) if is_new is None else is_new])
    return LikeComparison(
        rows=np.arange(rows),
        kept=kept,
        features=dict.fromkeys(FEATURES, np.zeros(rows)) | {"loss": np.full(rows, np.nan)} | dict(values),
        by_prompt=neighbours,
        by_answer=neighbours,
        is_new_source=np.zeros(rows, dtype=bool),
        is_new=new,
        tie=rng.random(rows),
        groups=(np.arange(kept) % 12, np.arange(kept) // max(1, kept // 8)),
        phrases={"prompts": [], "answers": [], **(phrases or {})},
    )
