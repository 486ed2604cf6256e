"""C: agreement of prompts and responses, near-duplicates and contradictions."""

from dataclasses import replace

import numpy as np
import pytest

import monitor.measures.consistency
from corpus.records import Conversation, HashedRecord, Message, Preference, Record, content_hash
from corpus.row_sides import normalise_text
from monitor.measures.agreement import row_agreement
from monitor.measures.consistency import (
    ConsistencyParams,
    flag_contradictions,
    flag_equal_pairs,
    flag_flipped_pairs,
    profile_consistency,
)
from monitor.measures.near_duplicates import flag_near_duplicates
from monitor.measures.row_findings import prompt_and_response

Rows = list[HashedRecord]
PARAMS = ConsistencyParams()

TOPICS = (
    ("How do I bake bread at home?", "Mix flour, yeast and water, let the dough rise and bake the loaf in the oven."),
    ("Which planet is the largest?", "Jupiter is the largest planet; it is a gas giant that orbits the sun."),
    ("How do I learn the guitar?", "Practise chords every day, and play simple songs on your guitar slowly."),
    ("Why is my car engine hot?", "The engine of your car may be low on coolant; check the radiator."),
    ("What is a good dog breed?", "A labrador is a friendly breed of dog and good with children."),
    ("How do taxes on income work?", "You pay a share of your income as tax, more in higher brackets."),
)


def ask(prompt: str, response: str) -> Conversation:
    return Conversation((Message("user", prompt), Message("assistant", response)))


def hashed(records: list[Record]) -> Rows:
    return [(record, content_hash(record)) for record in records]


def swap_answers(rows: Rows, share: float) -> Rows:
    """The first ``share`` of the rows, each with the answers of the one after it."""
    records = [record for record, _ in rows]
    count = round(share * len(records))
    swapped = []
    for i, record in enumerate(records):
        donor = records[(i + 1) % count] if i < count else record
        answers = [m for m in donor.messages if m.role == "assistant"]
        asked = [m for m in record.messages if m.role != "assistant"]
        swapped.append(replace(record, messages=(*asked, *answers)))
    return hashed(swapped)


def test_the_prompt_is_what_the_model_is_given_and_the_response_what_it_should_give() -> None:
    talk = Conversation(
        (Message("system", "Be kind."), Message("user", "Hi"), Message("assistant", "Hello!"), Message("user", "Bye"))
    )
    assert prompt_and_response(talk) == ("Be kind.\nHi\nBye", "Hello!")
    asked = (Message("user", "Hi"), Message("assistant", "Hello!"), Message("user", "Joke?"))
    good, bad = (Message("assistant", "Knock knock."),), (Message("assistant", "No."),)
    assert prompt_and_response(Preference(asked, good, bad)) == ("Hi\nHello!\nJoke?", "Knock knock.")
    assert prompt_and_response(Preference(asked, rejected=bad))[1] == "No."


@pytest.mark.slow
def test_swapping_answers_lowers_agreement_in_proportion_to_the_rows_swapped(chats: Rows) -> None:
    rows = chats[:400]
    honest, some, more = (profile_consistency(swap_answers(rows, share), PARAMS)[0] for share in (0.0, 0.1, 0.3))
    assert honest.measured == some.measured == 400
    assert honest.agreement - some.agreement > 0.01
    assert honest.agreement - more.agreement == pytest.approx(3 * (honest.agreement - some.agreement), rel=0.35)


def test_each_row_agrees_more_with_its_own_answer_than_with_another_rows() -> None:
    own = row_agreement([ask(prompt, answer) for prompt, answer in TOPICS])
    shifted = [TOPICS[(i + 1) % len(TOPICS)][1] for i in range(len(TOPICS))]
    other = row_agreement([ask(prompt, answer) for (prompt, _), answer in zip(TOPICS, shifted, strict=True)])
    assert (own > other + 0.3).all()


@pytest.mark.slow
def test_agreement_does_not_depend_on_the_order_of_the_rows(chats: Rows) -> None:
    records = [record for record, _ in chats[:60]]
    forward, backward = row_agreement(records), row_agreement(records[::-1])
    assert forward == pytest.approx(backward[::-1], abs=1e-5)


def test_a_blank_answer_is_not_measured_and_does_not_count() -> None:
    rows = [ask(prompt, answer) for prompt, answer in TOPICS]
    with_blank = row_agreement([*rows, ask("What now?", "  \n")])
    assert np.isnan(with_blank[-1])
    assert with_blank[:-1] == pytest.approx(row_agreement(rows), abs=1e-6)


def test_a_version_of_blank_answers_only_has_no_agreement() -> None:
    profile, agreement = profile_consistency(hashed([ask(prompt, " ") for prompt, _ in TOPICS]), PARAMS)
    assert profile.measured == 0
    assert np.isnan(profile.agreement)
    assert np.isnan(agreement).all()


@pytest.mark.parametrize("rows", [6, 3000])
def test_where_all_prompts_are_the_same_agreement_is_exactly_zero(rows: int) -> None:
    records = [ask("Tell me something.", f"{TOPICS[i % 6][1]} That is fact {i}.") for i in range(rows)]
    profile, agreement = profile_consistency(hashed(records), PARAMS)
    assert (agreement == 0.0).all()
    assert (profile.agreement, profile.agreement_sd) == (0.0, 0.0)


def test_copies_in_other_case_spacing_and_punctuation_are_near_duplicates_and_not_exact_ones() -> None:
    records: list[Record] = [ask(prompt, answer) for prompt, answer in TOPICS]
    loud = [ask(prompt.upper(), answer.replace(" ", "  ").replace(".", "!")) for prompt, answer in TOPICS[:3]]
    profile, _ = profile_consistency(hashed([*records, *loud, records[0]]), PARAMS)
    assert (profile.exact_duplicates, profile.near_duplicates) == (1, 4)
    assert flag_near_duplicates([*records, *loud], 0.8) == [False] * 6 + [True] * 3


def count_contradictions(rows: list[Record]) -> int:
    return profile_consistency(hashed(rows), PARAMS)[0].contradictions


def test_two_unrelated_answers_to_one_prompt_contradict_each_other_and_two_alike_do_not() -> None:
    answers = [TOPICS[0][1], TOPICS[1][1], TOPICS[0][1] + " Enjoy the bread."]
    rows: list[Record] = [ask("Tell me a FACT!", answers[0]), *[ask(prompt, answer) for prompt, answer in TOPICS[2:]]]
    rows += [ask("tell me a fact", answers[1]), ask("Tell me a fact.", answers[2])]
    assert count_contradictions(rows) == 1
    assert count_contradictions(rows[:-1]) == 2


def test_blank_prompts_and_symbols_do_not_make_rows_answers_to_one_question() -> None:
    blank: list[Record] = [
        ask(" ", TOPICS[0][1]),
        ask(" ", TOPICS[1][1]),
        ask("?", TOPICS[2][1]),
        ask("!", TOPICS[3][1]),
    ]
    assert count_contradictions(blank) == 0


def test_the_same_answer_everywhere_contradicts_nothing() -> None:
    rows = hashed([ask(prompt, "I'm sorry, I cannot help.") for prompt, _ in TOPICS] * 2)
    assert profile_consistency(rows, PARAMS)[0].contradictions == 0


def test_contradictions_are_the_same_however_many_rows_are_compared_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    responses = rng.normal(size=(40, 256)).astype(np.float32)
    responses[20:30] = responses[:10]
    responses /= np.linalg.norm(responses, axis=1, keepdims=True)

    def flag() -> list[bool]:
        prompts, everything = np.zeros(40, dtype=np.uint64), np.ones(40, dtype=bool)
        return flag_contradictions(prompts, everything, lambda rows: responses[rows], 0.5).tolist()

    at_once = flag()
    assert at_once == [not (i < 10 or 20 <= i < 30) for i in range(40)]
    monkeypatch.setattr(monitor.measures.consistency, "COMPARED_ROWS", 7)
    assert flag() == at_once
    # All are compared with the first 30, and so with both rows of each pair.
    monkeypatch.setattr(monitor.measures.consistency, "MOST_ANSWERS", 30)
    assert flag() == at_once


def test_the_chosen_margin_is_positive_where_the_chosen_answers_fit_better() -> None:
    shifted = [TOPICS[(i + 1) % len(TOPICS)][1] for i in range(len(TOPICS))]
    pairs: list[Record] = [
        Preference((Message("user", prompt),), (Message("assistant", good),), (Message("assistant", bad),))
        for (prompt, good), bad in zip(TOPICS, shifted, strict=True)
    ]
    margin = profile_consistency(hashed(pairs), PARAMS)[0].chosen_margin
    assert margin is not None and margin > 0.5
    unpaired = [replace(pair, rejected=()) for pair in pairs if isinstance(pair, Preference)]
    assert profile_consistency(hashed([*unpaired]), PARAMS)[0].chosen_margin is None


def test_normalising_keeps_words_of_any_script() -> None:
    assert normalise_text("¿Dónde está, 東京?") == "dónde está 東京"


def prefer(prompt: str, chosen: str, rejected: str, row: int = 0) -> Preference:
    answers = [(Message("assistant", text),) if text else () for text in (chosen, rejected)]
    return Preference((Message("user", prompt),), *answers, row=row)


def test_a_pair_is_flipped_where_another_row_of_its_prompt_prefers_what_it_rejects() -> None:
    rows: list[Record] = [
        prefer("Tea?", "Yes, please.", "No."),
        prefer("Tea?", "Perhaps.", "yes,  PLEASE"),  # rejects what the first row chooses
        prefer("Coffee?", "No.", "Yes, please."),  # another prompt
        prefer("Tea?", "Certainly.", "No."),
        prefer("Tea?", "Never.", "Not today."),
    ]
    assert flag_flipped_pairs(rows) == [True, True, False, False, False]
    assert flag_flipped_pairs(rows[:1] + rows[2:]) == [False] * 4


def test_labels_of_one_answer_contradict_each_other() -> None:
    rows: list[Record] = [prefer("Tea?", "Yes.", ""), prefer("Tea?", "", "Yes."), prefer("Tea?", "", "No.")]
    assert flag_flipped_pairs(rows) == [True, True, False]


def test_copies_of_a_pair_do_not_contradict_it_and_its_reverse_does() -> None:
    pair = prefer("Tea?", "Yes.", "No.")
    assert flag_flipped_pairs([pair, pair]) == [False, False]
    assert flag_flipped_pairs([pair, replace(pair, chosen=pair.rejected, rejected=pair.chosen)]) == [True, True]


def test_two_equal_answers_are_an_equal_pair_and_contradict_nothing() -> None:
    rows: list[Record] = [
        prefer("Tea?", "Yes!", "yes"),
        prefer("Tea?", "Yes.", "No."),
        prefer("Tea?", "Yes.", ""),
        ask("Tea?", "Yes."),
    ]
    assert flag_equal_pairs(rows) == [True, False, False, False]
    assert flag_flipped_pairs(rows) == [False] * 4


def test_flipped_and_equal_pairs_are_counted_and_the_first_fifty_named() -> None:
    rows: list[Record] = [prefer(f"Prompt {i}?", "Yes.", "No.", row=i) for i in range(1, 61)]
    rows += [prefer(f"Prompt {i}?", "No.", "Yes.", row=60 + i) for i in range(1, 31)]
    rows += [prefer(f"Other {i}?", "Same.", "same", row=90 + i) for i in range(1, 4)]
    profile, _ = profile_consistency(hashed(rows), PARAMS)
    assert (profile.flipped_pairs, profile.equal_pairs) == (60, 3)
    assert profile.flipped_rows == (*range(1, 31), *range(61, 81))
    assert profile.equal_rows == (91, 92, 93)


def test_conversations_have_no_pairs_to_count(chats: Rows) -> None:
    profile, agreement = profile_consistency(chats[:20], PARAMS)
    assert (profile.flipped_pairs, profile.equal_pairs, profile.flipped_rows, profile.equal_rows) == (
        None,
        None,
        (),
        (),
    )
    assert agreement.shape == (20,)


def test_the_agreement_of_pairs_is_of_both_answers() -> None:
    shifted = [TOPICS[(i + 1) % len(TOPICS)][1] for i in range(len(TOPICS))]
    pairs = [prefer(prompt, good, bad) for (prompt, good), bad in zip(TOPICS, shifted, strict=True)]
    rows: list[Record] = [*pairs[:5], replace(pairs[5], rejected=())]
    profile, agreement = profile_consistency(hashed(rows), PARAMS)
    assert agreement.shape == (6, 2)
    assert (agreement[:5, 0] > agreement[:5, 1] + 0.3).all()
    assert np.isnan(agreement[5, 1]) and agreement[5, 0] > 0.3
    assert profile.measured == 6
    assert profile.agreement == pytest.approx(agreement[:, 0].mean())
    assert profile.chosen_margin == pytest.approx((agreement[:5, 0] - agreement[:5, 1]).mean())
