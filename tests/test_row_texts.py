"""Rows taken apart into numbers: against regular expressions, sets of strings, and scikit-learn's own vectors."""

import re
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.embeddings import MAX_CHARACTERS
from corpus.records import Conversation, Message, Preference, Record
from corpus.row_sides import normalise_text, split_sides
from monitor.like_rows.answer_fit import _unify_spaces
from monitor.like_rows.numbered_words import NumberedWords, lower_words, number_words
from monitor.like_rows.row_texts import number_texts

# Capital sigma, whose small form depends on its neighbours; the Turkish capital i, which becomes two characters;
# letters and signs of many scripts; half a character.
LETTERS = "abAB ΣσςİıǅßΑ'.!?\n\t_1Ⓐ你\u0307\ud800"
texts_of_any_kind = st.lists(st.text(LETTERS, max_size=12), max_size=5)


def spell(found: NumberedWords) -> list[list[str]]:
    words = [found.words[number] for number in found.number.tolist()]
    ends = np.cumsum(found.count).tolist()
    return [words[end - count : end] for end, count in zip(ends, found.count.tolist(), strict=True)]


@settings(deadline=None)
@given(texts_of_any_kind)
def test_words_and_signs_are_those_of_a_regular_expression_in_any_case(texts: list[str]) -> None:
    found = number_words(texts)
    assert spell(found) == [re.findall(r"\w+|[^\w\s]+", text) for text in texts]
    lower = lower_words(texts, found)
    assert spell(lower) == [re.findall(r"\w+|[^\w\s]+", text.lower()) for text in texts]
    assert spell(lower.only_words()) == [re.findall(r"\w+", text.lower()) for text in texts]


def test_the_lower_case_of_a_word_stands_where_the_word_stood() -> None:
    """Else the lower case of a text would not be that of its words. For one character it is not, see lower_words."""

    def kind(text: str) -> str:
        return re.sub(r"\s", "s", re.sub(r"[^\w\s]", "-", re.sub(r"\w", "w", text)))

    odd = [chr(code) for code in range(sys.maxunicode + 1) if kind(chr(code).lower()) != kind(chr(code))]
    assert odd == ["İ"]


messages = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    st.text("ab AB.?\n", max_size=9),
    st.sampled_from(["", "I see."]),
)
turns = st.lists(messages, max_size=4).map(tuple)
any_rows = st.lists(
    st.builds(Conversation, turns, tools=st.sampled_from(["", "[]"])) | st.builds(Preference, turns, turns, turns),
    min_size=1,
    max_size=4,
)


def list_answers(records: Sequence[Record]) -> list[str]:
    return [normalise_text(split_sides(record).answer) or split_sides(record).answer for record in records]


@settings(deadline=None)
@given(any_rows)
def test_each_side_of_a_row_has_the_words_of_its_messages(records: list[Record]) -> None:
    found = number_texts(records)
    ours = [
        [matrix[i].nonzero()[1].tolist() for i in range(len(records))]
        for matrix in (found.side_words.prompts, found.side_words.responses)
    ]
    for i, side in enumerate(split_sides(record) for record in records):
        for k, text in enumerate(side):
            assert len(ours[k][i]) == len(set(re.findall(r"\w+|[^\w\s]+", text.lower())))
            runs = (found.prompt_runs, found.answer_runs)[k]
            before = int(runs.count[:i].sum())
            words = [runs.words[number] for number in runs.number[before : before + runs.count[i]]]
            assert words == ["^", *re.findall(r"\w+|[^\w\s]", text), "$"]
    answers = list_answers(records)
    assert (found.answer[:, None] == found.answer).tolist() == [[a == b for b in answers] for a in answers]


def test_a_prompts_words_are_quoted_across_its_messages() -> None:
    asked = (Message("user", "one two"), Message("user", "three FOUR five"))
    rows = [Conversation((*asked, Message("assistant", text))) for text in ("So: one two three four.", "six", "?!")]
    assert number_texts(rows).quoted.tolist() == [0.5, 0.0, 0.0]


def test_the_words_of_sides_are_those_that_scikit_learn_finds() -> None:
    from sklearn.feature_extraction.text import CountVectorizer

    said = [("Tea, or ΑΣ'Α?!", "İ! Yes. yes"), ("tea", ""), ("?! 你好", "Tea tea\n\n!")]
    rows = [Conversation((Message("user", asked), Message("assistant", answer))) for asked, answer in said]
    prompts, answers = zip(*said, strict=True)
    expected = CountVectorizer(token_pattern=r"\w+|[^\w\s]+", binary=True).fit_transform([*prompts, *answers])
    found = number_texts(rows).side_words
    together = np.concatenate([found.prompts.toarray(), found.responses.toarray()])
    # Some words are only part of a text as it stands, and not in lower case.
    assert (together[:, together.any(axis=0)] == expected.toarray()).all()


def test_a_system_message_says_nothing_of_how_a_row_is_written() -> None:
    said = (Message("user", "Tea?"), Message("assistant", "Yes."))
    alone, with_system = (number_texts([Conversation(m)]) for m in (said, (Message("system", "Be kind."), *said)))
    assert with_system.length.tolist() == [0, *alone.length.tolist()] == [0, 6, 6]
    assert with_system.grams.number.tolist() == alone.grams.number.tolist()


@pytest.mark.parametrize("white", [" ", "\n", " \n\t "])
@pytest.mark.parametrize("words", [1, MAX_CHARACTERS // 4, MAX_CHARACTERS, 5 * MAX_CHARACTERS])
def test_as_far_as_a_text_is_embedded_each_run_of_white_space_is_one_blank(white: str, words: int) -> None:
    for text in (f"word{white}" * words, f"{white * words}word"):
        assert _unify_spaces(text)[:MAX_CHARACTERS] == re.sub(r"\s+", " ", text)[:MAX_CHARACTERS]
        assert bool(_unify_spaces(text).strip()) == bool(text.strip())


def test_of_no_rows_there_are_no_texts() -> None:
    found = number_texts([])
    assert len(found.row) == len(found.grams.number) == len(found.quoted) == found.triples.different == 0
