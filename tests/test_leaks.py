"""Near copies of evaluation sets: what is found, and what is not taken for one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.corpora import Part, read_part
from benchmarks.rephrased_rows import REPHRASINGS, list_words, rephrase
from corpus.leaked_rows import LISTED_LEAKS
from corpus.prepared_rows import write_row
from corpus.records import Conversation, HashedRecord, Message, Preference, Record, content_hash
from corpus.stored_rows import StoredRows
from corpus.workers import EngineName, start_workers
from entropylaw.repository.evaluation_sets import to_evaluation_row
from monitor.measures import leak_candidates
from monitor.measures.leak_candidates import ASKED_SHARE, CANDIDATE_SHARE, choose_in_numpy, look_up
from monitor.measures.leak_counts import count_leaks
from monitor.measures.leak_index import TEMPLATE_ROWS, EvaluationRow, EvaluationSet, build_index, hash_messages
from monitor.measures.leaks import Match, decide, find_leaks
from monitor.measures.row_sketch import RowSketch
from monitor.measures.row_split import split_rows

QUESTION = "A farmer packs eggs in boxes of twelve and sells nine boxes a day. How many eggs are that in a week?"
ANSWER = "Nine boxes of twelve eggs are one hundred and eight eggs a day, so a week makes seven hundred and fifty-six."


def talk(question: str, answer: str, row: int = 1) -> Conversation:
    return Conversation((Message("user", question), Message("assistant", answer)), row=row)


def hashed(records: Sequence[Record]) -> list[HashedRecord]:
    return [HashedRecord(replace(row, row=i), content_hash(row)) for i, row in enumerate(records, start=1)]


def as_set(records: Sequence[Record], name: str = "test") -> EvaluationSet:
    return EvaluationSet(name, [to_evaluation_row(row, i) for i, row in enumerate(records, start=1)])


@cache
def chats() -> list[Record]:
    found = {content_hash(row): row for row in read_part(Part(None))}
    return [found[key] for key in sorted(found)]


def three_words(messages: Sequence[str]) -> set[tuple[str, ...]]:
    """The runs of three words, said by a regular expression and not by hashes."""
    runs = set()
    for message in messages:
        words = re.findall(r"\w+", message.lower())
        runs |= {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))} if words else {(message.lower(),)}
    return runs


def test_a_row_that_says_a_test_row_again_in_other_case_spacing_and_punctuation_leaks() -> None:
    again = talk(QUESTION.upper().replace(" ", "  "), re.sub(r"[.,]", "", ANSWER).title())
    found = find_leaks(
        hashed([talk("Hi", "Hello, what can I do for you today?"), again]), [as_set([talk(QUESTION, ANSWER)])]
    )
    assert found.leaked == 1 and [(row.row, row.set_row, row.share) for row in found.listed] == [(2, 1, 1.0)]


def test_a_question_alone_is_no_leak_of_a_row_that_has_an_answer() -> None:
    other = talk(QUESTION, "I would rather talk about the weather, which is fine for the season, and the harvest.")
    found = find_leaks(hashed([other]), [as_set([talk(QUESTION, ANSWER)])])
    assert (found.leaked, found.asked_only) == (0, 1)


@pytest.mark.parametrize("answer", ["", "B"])
def test_of_a_row_with_no_answer_or_a_short_one_a_long_question_is_enough_with_it(answer: str) -> None:
    wanted = EvaluationSet("test", [EvaluationRow(1, (QUESTION,), (answer,) if answer else ())])
    same = talk(QUESTION.lower(), f"The answer is {answer or 'unknown'}.")
    assert find_leaks(hashed([same]), [wanted]).leaked == 1
    if answer:
        assert find_leaks(hashed([talk(QUESTION, "The answer is C.")]), [wanted]).leaked == 0


def test_an_answer_that_repeats_its_question_is_no_evidence_of_the_answer() -> None:
    wanted = as_set([talk(QUESTION, f"{QUESTION} Good one, hello!")])
    rows = [talk(QUESTION, f"I would say that it is {number}") for number in ("many", "few")]
    assert find_leaks(hashed([*rows, *chats()[:300]]), [wanted]).leaked == 0


def test_small_talk_is_no_leak_however_equal_it_is() -> None:
    small = talk("How are you?", "I am fine, thanks!")
    found = find_leaks(hashed([small] * 3), [as_set([small])])
    assert found.leaked == 0 and found.sets["test"].too_short == 1


def test_a_question_that_many_rows_answer_otherwise_is_no_leak_of_a_short_answer() -> None:
    wanted = as_set([talk(QUESTION, "Hi!")])
    rows = [talk(QUESTION, answer) for answer in ("Hi", "Well, let me see", "No idea, and you?", "Many", "Hi there")]
    found = find_leaks(hashed([*rows, *chats()[:300]]), [wanted])
    assert (found.leaked, found.asked_only) == (0, 5)


def test_a_test_row_is_found_within_a_longer_conversation_and_in_a_rejected_answer() -> None:
    wanted = as_set([talk(QUESTION, ANSWER)])
    before = (Message("user", "Good morning"), Message("assistant", "Good morning to you as well, how may I help?"))
    long = Conversation((*before, *talk(QUESTION, ANSWER).messages))
    pair = Preference((Message("user", QUESTION),), (Message("assistant", "None"),), (Message("assistant", ANSWER),))
    assert find_leaks(hashed([long]), [wanted]).leaked == find_leaks(hashed([pair]), [wanted]).leaked == 1


def test_chinese_without_spaces_is_found_and_another_text_is_not() -> None:
    question, answer = (
        "北京的冬天平均气温是多少度，需要穿什么样的衣服？",
        "北京冬天平均气温在零下三度左右，需要穿羽绒服和保暖内衣。",
    )
    wanted = as_set([talk(question, answer)])
    assert find_leaks(hashed([talk(f"「{question}」", answer.replace("，", " "))]), [wanted]).leaked == 1
    assert (
        find_leaks(
            hashed([talk("上海的夏天热不热，游客应该什么时候去？", "上海夏天很热，最好在秋天去旅游。")]), [wanted]
        ).leaked
        == 0
    )


def test_lone_surrogates_and_blank_messages_are_read() -> None:
    odd = [talk("\ud800 " + QUESTION, " "), talk(" ", "\udfff")]
    rows = [HashedRecord(row, "0" * 32) for row in odd]
    assert find_leaks(rows, [as_set([talk(QUESTION, ANSWER)])]).leaked == 0


@pytest.mark.parametrize("how", REPHRASINGS)
def test_real_rows_said_again_are_found_nineteen_times_in_twenty(how: str) -> None:
    rng = np.random.default_rng(5)
    rows = chats()[:400]
    held, others = rows[:120], rows[120:]
    index = build_index([as_set(held)])
    assert index is not None
    long = [row.number - 1 for row in index.rows if not row.short_answer]
    words = list_words(others, rng)
    again = [rephrase(held[i], REPHRASINGS[how], rng, words) for i in long]
    found = {row.row: row.set_row for row in find_leaks(hashed([*again, *others]), [as_set(held)]).listed}
    assert sum(found.get(place) == i + 1 for place, i in enumerate(long, start=1)) >= 0.95 * len(long)


def test_of_real_conversations_almost_none_is_a_near_copy_of_others() -> None:
    rows = chats()[:800]
    assert find_leaks(hashed(rows[300:]), [as_set(rows[:300])]).leaked <= 1


def test_the_candidates_have_the_shares_that_words_compared_one_by_one_have() -> None:
    rows, held = chats()[200:300], chats()[:60]
    index = build_index([as_set(held)])
    assert index is not None
    row, run = look_up(rows, index)
    best = choose_in_numpy(row, run, len(rows), index, CANDIDATE_SHARE, ASKED_SHARE)
    # What a set row has without the runs that are its set's template.
    both = [[three_words(side) for side in to_evaluation_row(record, 0)[1:]] for record in held]
    sides = [(question, answer - question) for question, answer in both]
    often = {
        run for run in set().union(*(a | b for a, b in sides)) if sum(run in a | b for a, b in sides) > TEMPLATE_ROWS
    }
    kept = [[side - often for side in sides[one.number - 1]] for one in index.rows]
    for own, chosen in zip(rows, best.tolist(), strict=True):
        said = three_words([message.text for message in own.messages])
        shares = []
        for parts in kept:
            whole = len(parts[0]) + len(parts[1])
            share = sum(len(part & said) for part in parts) / whole
            is_side = any(part and len(part & said) / len(part) >= ASKED_SHARE for part in parts)
            shares.append(max(share, CANDIDATE_SHARE) if is_side else share)
        top = max(shares)
        assert chosen[0] == (shares.index(top) if top >= CANDIDATE_SHARE else -1)


def test_compiled_loops_choose_what_numpy_chooses() -> None:
    leak_loops = pytest.importorskip("monitor.measures.leak_loops")
    rows, held = chats()[500:900], chats()[:500]
    index = build_index([as_set(held[:250], "a"), as_set(held[250:], "b")])
    assert index is not None
    read = (
        *look_up(rows, index),
        len(rows),
        index,
        CANDIDATE_SHARE,
        ASKED_SHARE,
    )
    expected = choose_in_numpy(*read)
    assert (expected >= 0).any() and np.array_equal(leak_loops.choose(*read), expected)


def test_the_order_of_the_rows_and_of_the_sets_changes_no_finding() -> None:
    rows, held = chats()[:400], chats()[350:450]
    first = find_leaks(hashed(rows), [as_set(held, "a"), as_set(rows[:20], "b")])
    turned = find_leaks(hashed(rows)[::-1], [as_set(rows[:20], "b"), as_set(held, "a")])
    assert first.leaked == turned.leaked >= 50 and set(first.listed) == set(turned.listed)


def test_portions_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, held = hashed(chats()[:300]), [as_set(chats()[280:340])]
    whole = find_leaks(rows, held)
    monkeypatch.setattr(leak_candidates, "CHUNK_ROWS", 7)
    assert find_leaks(rows, held) == whole


def test_of_very_many_leaks_those_with_the_lowest_hashes_are_listed_and_counted_by() -> None:
    words = [f"word{k}" for k in range(16)]
    rng = np.random.default_rng(2)
    said = [" ".join([words[i] for i in rng.integers(16, size=14)]) for _ in range(2 * (LISTED_LEAKS + 500))]
    held = [talk(question, answer) for question, answer in zip(said[::2], said[1::2], strict=True)]
    rows = hashed(held)
    found = find_leaks(rows, [as_set(held)])
    assert found.leaked > LISTED_LEAKS == len(found.listed)
    lowest = sorted(row_hash for _, row_hash in rows)
    assert max(row.hash for row in found.listed) <= lowest[LISTED_LEAKS + len(rows) - found.leaked]
    split = split_rows([row_hash for _, row_hash in rows], RowSketch.of(["0" * 32]))
    counts = count_leaks(rows, split, found)
    assert counts.leaked_added == LISTED_LEAKS and counts.share_added >= 0.95


def test_a_row_leaks_by_its_answer_and_not_by_its_question() -> None:
    match = Match(question=(20.0, 20.0), answer=(20.0, 20.0), answer_runs=20, covered=1.0)
    assert decide(match) == "leaked"
    assert decide(match._replace(answer=(2.0, 20.0))) == "asked"
    assert decide(match._replace(question=(2.0, 20.0), answer=(2.0, 20.0))) == ""
    near = match._replace(question=(9.0, 20.0), answer=(9.0, 20.0))
    assert decide(near._replace(cosine=0.99)) == "leaked" and decide(near._replace(cosine=0.5)) == ""


def test_runs_do_not_cross_from_one_message_into_the_next() -> None:
    assert len(hash_messages(["one two three", "four five six"])) == 2
    assert np.array_equal(hash_messages(["One, two;\nTHREE"]), hash_messages(["one two three"]))


def test_sets_of_no_rows_find_nothing() -> None:
    found = find_leaks(hashed(chats()[:5]), [EvaluationSet("empty", [])])
    assert (found.rows, found.leaked, found.sets["empty"].rows) == (5, 0, 0)


@pytest.mark.parametrize("engine", ["threads", "processes"])
def test_the_report_is_the_same_whoever_reads_the_rows(
    engine: EngineName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corpus.row_pieces.PIECE_ROWS", 7)
    monkeypatch.setattr("corpus.row_pieces.PIECE_BYTES", 2**13)
    path = tmp_path / "rows.jsonl"
    rows = hashed([*chats()[:80], *chats()[:3]])
    path.write_text("".join(write_row(record, row_hash) for record, row_hash in rows), encoding="utf-8")
    held = [as_set(chats()[:5]), as_set(chats()[40:43], "other")]
    expected = find_leaks(rows, held)
    assert expected.leaked >= 3
    with start_workers(engine, 2) as workers:
        assert find_leaks(StoredRows(path), held, workers=workers) == expected
        assert find_leaks(rows, held, workers=workers) == expected
