"""Features of rows: against runs of words held in sets, cases worked by hand, and texts that nobody expects."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corpus.records import Conversation, Message, Preference, Record
from corpus.row_sides import split_sides
from monitor.like_rows.answer_fit import Sides, measure_answer_mismatch
from monitor.like_rows.row_features import _stands_elsewhere, count_answers, measure_row_features
from monitor.like_rows.row_texts import END, WordRuns, number_texts
from monitor.rule_params import RuleParams

Features = dict[str, NDArray[np.float64]]

WORDS = ("amber", "basil", "cedar", "daisy", "ember", "fennel", "grape", "hazel", "iris", "juniper")


def chat(*texts: str) -> Conversation:
    """User and assistant take turns."""
    return Conversation(tuple(Message("assistant" if i % 2 else "user", text) for i, text in enumerate(texts)))


def draw_chats(rng: np.random.Generator, rows: int, words: Sequence[str] = WORDS) -> list[Record]:
    def say(end: str) -> str:
        return " ".join(words[i] for i in rng.integers(0, len(words), rng.integers(1, 9))) + end

    return [chat(say("?"), say("."), say("!"), say(".")) for _ in range(rows)]


def measure(records: Sequence[Record], kept: int, fold: Sequence[int] | None = None) -> Features:
    """Features of rows of which the first ``kept`` were there before, by default in three folds; no embeddings."""
    is_kept = np.arange(len(records)) < kept
    folds = np.arange(len(records)) % 3 if fold is None else np.array(fold)
    prompts, responses = zip(*map(split_sides, records), strict=True)
    blank = np.zeros((len(records), 256), dtype=np.float32)
    sides = Sides(prompts, responses, blank, blank)
    folds = np.where(is_kept, folds, -1)
    texts = number_texts(records)
    return {
        **measure_row_features(texts, records, is_kept, folds, RuleParams().rare_character_bits),
        "answer elsewhere": count_answers(texts.answer),
        "answer mismatch": measure_answer_mismatch(sides, folds, is_kept, texts.side_words),
    }


# --- words ---------------------------------------------------------------------------------------------------------


def runs_of_words(message: Message, count: int) -> list[tuple[str, ...]]:
    words = re.findall(r"\w+", message.content.lower()) or [message.content.strip()]
    return [tuple(words[i : i + count]) for i in range(max(1, len(words) - count + 1))]


def excess_naively(found: list[int], tried: list[int], kept: int) -> list[float]:
    usual = (sum(found[:kept]) + 0.5) / (sum(tried[:kept]) + 1)
    return [
        (f - n * usual) / math.sqrt(n * usual * (1 - usual)) if n else math.nan
        for f, n in zip(found, tried, strict=True)
    ]


def word_features_naively(records: Sequence[Record], kept: int, fold: Sequence[int]) -> dict[str, list[float]]:
    """The features of words by sets of tuples, row against row."""
    sides = {"row repeated": (False, True), "prompt repeated": (False,), "answer repeated": (True,)}
    features: dict[str, list[float]] = {}
    for name, answers in sides.items():
        found, tried = [], []
        for i, record in enumerate(records):
            elsewhere = {
                run for j in range(kept) if j != i for _, m in records[j].turns() for run in runs_of_words(m, 3)
            }
            runs = [
                run
                for _, message in record.turns()
                if (message.role == "assistant") in answers
                for run in runs_of_words(message, 3)
            ]
            found.append(sum(run in elsewhere for run in runs))
            tried.append(len(runs))
        features[name] = excess_naively(found, tried, kept)
    found, tried, repetition = [], [], []
    # A message has the fold of the first kept row that has it, everywhere.
    fold_of: dict[str, int] = {}
    for j in range(kept):
        for _, message in records[j].turns():
            fold_of.setdefault(message.content, fold[j])
    for record in records:
        unknown = runs_here = 0
        for _, message in record.turns():
            elsewhere = {
                run
                for j in range(kept)
                for _, other in records[j].turns()
                if fold_of[other.content] != fold_of.get(message.content)
                for run in runs_of_words(other, 2)
            }
            runs = runs_of_words(message, 2)
            unknown += sum(run not in elsewhere for run in runs)
            runs_here += len(runs)
        found.append(unknown)
        tried.append(runs_here)
        said: set[tuple[str, ...]] = set()
        again = answered = 0
        for _, message in record.turns():
            for run in runs_of_words(message, 3):
                if message.role == "assistant":
                    answered += 1
                    again += run in said
                said.add(run)
        repetition.append(again / answered if answered else math.nan)
    return {**features, "word pairs": excess_naively(found, tried, kept), "repetition": repetition}


@pytest.mark.parametrize("seed", range(4))
def test_features_of_words_are_those_of_tuples_in_sets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    records = draw_chats(rng, 24, WORDS[: 4 + 2 * seed])
    records[3], records[20] = chat("...", "?!"), chat("?!", "...")
    records[5] = Conversation((Message("assistant", "amber basil cedar daisy"),))
    fold = rng.integers(0, 3, 24).tolist()
    found, expected = measure(records, 18, fold), word_features_naively(records, 18, fold)
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, nan_ok=True), name


keys_and_groups = st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 3)), min_size=1, max_size=30)


@given(keys_and_groups)
def test_a_key_stands_elsewhere_where_another_group_has_it(pairs: list[tuple[int, int]]) -> None:
    keys = np.array([key for key, _ in pairs], dtype=np.int32)
    groups = np.array([group for _, group in pairs])
    expected = [any(k == key and g not in (group, -1) for k, g in pairs) for key, group in pairs]
    assert _stands_elsewhere(WordRuns(keys, 6, keys), groups, groups >= 0).tolist() == expected


def test_a_copy_is_marked_above_all_rows_that_are_none() -> None:
    rng = np.random.default_rng(1)
    unique = [f"word{i}" for i in range(400)]
    records = draw_chats(rng, 60, unique)
    long = max(range(50), key=lambda i: len(str(records[i])))
    repeated = measure([*records, records[long]], 50)["row repeated"]
    assert repeated[60] > 5 > repeated[:60].max()


def test_a_copy_in_other_case_and_punctuation_is_a_copy() -> None:
    records = draw_chats(np.random.default_rng(1), 40, [f"word{i}" for i in range(400)])
    recased = [chat(*(m.content.upper().replace(" ", " - ") for _, m in r.turns())) for r in records[:5]]
    features = measure([*records, *records[:5], *recased], 40)["row repeated"]
    assert (features[40:45] == features[45:]).all()


def test_no_row_is_held_against_itself() -> None:
    records = [chat(f"alpha{i} beta{i} gamma{i}", f"delta{i} epsilon{i} zeta{i}") for i in range(20)]
    features = measure(records, 20)
    # Nothing repeats: all rows have as few runs in common with others, and no pair is known.
    assert set(features["row repeated"]) == {features["row repeated"].min()} and features["row repeated"][0] < 0
    assert set(features["word pairs"]) == {features["word pairs"].max()} and features["word pairs"][0] > 0


def test_copies_within_a_fold_do_not_make_each_other_known_but_copies_in_another_fold_do() -> None:
    records = [chat(f"alpha{i} beta{i} gamma{i}", f"delta{i} epsilon{i} zeta{i}") for i in range(18)]
    twins = [chat("one two three", "four five six"), chat("one two three!", "four five six!")]
    apart, together = (measure([*twins, *records], 20, [0, fold, *[2] * 18]) for fold in (1, 0))
    for name in ("word pairs", "characters", "answer characters"):
        assert apart[name][0] < together[name][0], name


def test_a_message_that_stands_in_several_rows_is_nowhere_held_against_itself() -> None:
    records = [chat(f"alpha{i} beta{i} gamma{i}", f"delta{i} epsilon{i} zeta{i}") for i in range(18)]
    same = chat("one two three", "four five six")
    once = measure([same, *records, same], 19, [0, *[2] * 18, -1])
    twice = measure([same, same, *records, same], 20, [0, 1, *[2] * 18, -1])
    for name in ("characters", "answer characters", "answer endings"):
        assert twice[name][0] == twice[name][1] == twice[name][20] == pytest.approx(once[name][0], rel=0.05), name


@pytest.mark.parametrize("seed", range(3))
def test_features_of_kept_rows_do_not_change_when_rows_are_added(seed: int) -> None:
    rng = np.random.default_rng(seed)
    records = draw_chats(rng, 30)
    before, after = measure(records, 30), measure([*records, *draw_chats(rng, 9, (*WORDS, "жук"))], 30)
    assert before.keys() == after.keys()
    for name, values in before.items():
        assert after[name][:30] == pytest.approx(values, nan_ok=True), name


def test_features_of_an_added_row_do_not_depend_on_the_others_that_were_added() -> None:
    rng = np.random.default_rng(0)
    records, added = draw_chats(rng, 30), draw_chats(rng, 5)
    together = measure([*records, *added], 30)
    for i, record in enumerate(added):
        for name, values in measure([*records, record], 30).items():
            assert together[name][30 + i] == pytest.approx(values[30], nan_ok=True), name


def test_an_answer_that_repeats_its_prompt_is_an_echo() -> None:
    rows = [chat("do you like green tea", answer) for answer in ("do you like green tea", "no i do not drink any")]
    assert measure(rows, 2)["repetition"].tolist() == [1.0, 0.0]


# --- characters ----------------------------------------------------------------------------------------------------


def test_foreign_letters_are_rare_characters_counted_by_hand() -> None:
    kept = draw_chats(np.random.default_rng(0), 40)
    # Four of six letters; beside these stands who speaks, and where the message ends, twice.
    features = measure([*kept, chat("жуки", "ab")], 40)
    assert features["rare characters"][40] == pytest.approx(4 / (6 + 4))
    assert features["rare characters"][:40].max() == 0


def test_answers_broken_off_end_where_answers_do_not_end() -> None:
    kept = draw_chats(np.random.default_rng(0), 60)
    fresh = draw_chats(np.random.default_rng(1), 10)
    cut = [chat(*(m.content if m.role == "user" else m.content[:-3] for _, m in row.turns())) for row in fresh]
    broken_once = [
        chat(*(m.content if i != 3 else m.content[:-3] for i, (_, m) in enumerate(row.turns()))) for row in fresh
    ]
    features = measure([*kept, *fresh, *cut, *broken_once], 60)
    for name in ("answer endings", "an answer's ending"):
        assert features[name][70:80].min() > 3 > features[name][:70].max(), name
    assert features["an answer's ending"][80:].min() > 3
    assert (features["answer endings"][80:] < features["answer endings"][70:80]).all()


def test_answers_in_other_letters_are_surprising_and_prompts_in_them_are_none_of_the_answers() -> None:
    kept = draw_chats(np.random.default_rng(0), 60)
    features = measure([*kept, chat("жуки едят", "amber basil."), chat("amber basil?", "жуки едят")], 60)
    assert features["characters"][60:].min() > features["characters"][:60].max()
    assert (
        features["answer characters"][61] > features["answer characters"][:60].max() > features["answer characters"][60]
    )


def test_the_same_words_from_another_speaker_are_more_surprising() -> None:
    kept = draw_chats(np.random.default_rng(0), 60)
    kept = [chat(*(("Q " if m.role == "user" else "A ") + m.content for _, m in row.turns())) for row in kept]
    features = measure([*kept, chat("Q amber.", "A basil."), chat("A amber.", "Q basil.")], 60)["characters"]
    assert features[60] < features[61]


# --- shape ---------------------------------------------------------------------------------------------------------


def test_lengths_and_roles_worked_by_hand() -> None:
    usual = [chat("four", "eight888", "sixsix", "ten1010101") for _ in range(9)]
    swapped = Conversation((Message("assistant", "abc"), Message("user", "")))
    system = Conversation((Message("system", "s"), Message("user", "uuu"), Message("assistant", "a")))
    features = measure([*usual, swapped, system], 9)
    assert features["short answers"] == pytest.approx([-math.log(1 + 9)] * 9 + [-math.log(1 + 3), -math.log(1 + 1)])
    assert features["short prompts"] == pytest.approx([-math.log(1 + 5)] * 9 + [-math.log(1), -math.log(1 + 2)])
    # A system message is no turn of anybody's.
    assert features["roles"] == pytest.approx([0] * 9 + [-math.log2(0.5 / 9.5), 0])


def test_roles_know_who_begins_who_ends_and_whether_they_take_turns_but_not_how_often() -> None:
    usual = [chat("q", "a") for _ in range(20)]
    turns = Message("user", "q"), Message("assistant", "a")
    odd = [
        Conversation(turns[1:]),
        Conversation((*turns, *turns[:1])),
        Conversation((turns[0], turns[0], turns[1])),
    ]
    features = measure([*usual, chat("q", "a", "q", "a", "q", "a"), *odd], 20)["roles"]
    assert features[20] == pytest.approx(-math.log2(20.5 / 20.5))
    assert (features[21:] == -math.log2(0.5 / 20.5)).all()


def test_the_label_of_an_unpaired_answer_is_part_of_who_speaks() -> None:
    prompt, answer = (Message("user", "q"),), (Message("assistant", "a"),)
    liked: list[Record] = [Preference(prompt, answer) for _ in range(20)]
    features = measure([*liked, Preference(prompt, answer), Preference(prompt, (), answer)], 20)
    assert features["roles"][20:] == pytest.approx([-math.log2(20.5 / 20.5), -math.log2(0.5 / 20.5)])
    assert features["short answers"] == pytest.approx([-math.log(2)] * 22)


def test_what_a_row_does_not_have_has_no_feature() -> None:
    kept = draw_chats(np.random.default_rng(0), 20)
    answer_only = Conversation((Message("assistant", "amber basil."),))
    prompt_only = Conversation((Message("user", "amber basil?"), Message("tool", "42")))
    features = measure([*kept, answer_only, prompt_only], 20)
    none = {name: np.isnan(values[20:]).tolist() for name, values in features.items()}
    of_answers = (
        "answer repeated",
        "repetition",
        "answer characters",
        "answer endings",
        "an answer's ending",
        "short answers",
    )
    assert all(none[name] == [False, True] for name in of_answers)
    assert none["prompt repeated"] == none["short prompts"] == [True, False]
    # There are no embeddings here.
    assert none.pop("answer mismatch") == [True, True]
    # Neither prompt has four words that could stand in an answer.
    assert none.pop("prompt in answer") == [True, True]
    rest = {name for name, flags in none.items() if flags == [False, False]}
    assert rest == {"row repeated", "word pairs", "characters", "rare characters", "roles", "answer elsewhere"}


# --- texts that nobody expects -------------------------------------------------------------------------------------

odd_text = st.text(max_size=6) | st.sampled_from(
    ["", " ", "\n", "a", "...", "\0", "👩‍👩‍👧", "́", "ẞſ", "字" * 3, "\u202e", "x" * 500]
)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(odd_text, min_size=1, max_size=3), min_size=4, max_size=8), st.integers(2, 4))
def test_any_texts_have_finite_features_in_any_row_that_has_them(rows: list[list[str]], kept: int) -> None:
    records = [chat(*texts) for texts in rows]
    features = measure(records, kept)
    features.pop("answer mismatch")
    for name, values in features.items():
        assert not np.isinf(values).any(), name
    answered = [len(texts) > 1 for texts in rows]
    assert np.isfinite(features["short answers"]).tolist() == answered
    assert np.isfinite(features["characters"]).all() and np.isfinite(features["row repeated"]).all()


def test_no_character_is_taken_for_the_end_of_a_message() -> None:
    control = "".join(map(chr, range(32)))
    kept: list[Record] = [chat(f"{i}{control}", f"{i} {control}") for i in range(30)]
    features = measure([*kept, chat("a", "a" + chr(END))], 30)["answer endings"]
    assert features[:30].max() < 1 < features[30]


def test_a_million_characters_are_read_like_any_other_row() -> None:
    rng = np.random.default_rng(0)
    kept = draw_chats(rng, 40)
    long = " ".join(WORDS[i] for i in rng.integers(0, len(WORDS), 170_000)) + "."
    assert len(long) > 1_000_000
    features = measure([*kept, chat("amber basil?", long)], 40)
    assert features["short answers"][40] == pytest.approx(-math.log1p(len(long)))
    assert features["characters"][40] == pytest.approx(features["characters"][:40].mean(), abs=1)


def test_a_prompt_said_again_in_its_answer_is_counted_by_runs_of_four_words() -> None:
    asked = "do you like green tea"
    rows = [chat(asked, answer) for answer in ("Do you like GREEN -- tea? Yes.", "you like green tea", "tea", "")]
    assert measure(rows, 4)["prompt in answer"].tolist() == [1.0, 0.5, 0.0, 0.0]


def test_an_answer_that_stands_in_other_rows_counts_them_by_its_words() -> None:
    rows = [
        chat("a", "So it goes."),
        chat("b", "so it GOES"),
        chat("c", "so, it goes!"),
        chat("d", "so it went"),
        chat("e"),
    ]
    assert measure(rows, 5)["answer elsewhere"] == pytest.approx([math.log2(3)] * 3 + [0, 0])


def test_the_role_patterns_of_many_rows_are_counted_as_a_counter_counts_them() -> None:
    rng = np.random.default_rng(0)
    roles = ("system", "user", "assistant", "tool")
    records = [
        Conversation(tuple(Message(roles[i], "x") for i in rng.integers(0, 4, rng.integers(1, 4)))) for _ in range(200)
    ]

    def pattern(record: Conversation) -> str:
        names = [message.role for message in record.messages]
        names = [name for name in names if name != "system"] or names
        turns = all(a != b for a, b in pairwise(names))
        return f"{names[0]} {names[-1]} {turns}"

    kept = Counter(map(pattern, records[:150]))
    expected = [-math.log2((kept[pattern(record)] + 0.5) / 150.5) for record in records]
    assert measure(records, 150)["roles"] == pytest.approx(expected)
