"""Quality: what the judge sees of a row, and how its grades become one number."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from judge_server import JudgeServer, Received, Reply, say, serve_judge

from corpus.errors import NotAssessedError
from corpus.records import Conversation, Message, Preference, Record, content_hash
from training.judge import Judge
from training.judge_params import JudgeParams
from training.quality import QualityParams, RatedRow, rate_rows, rating_requests

Rows = list[tuple[Record, str]]
Start = Callable[[Callable[[Received], Reply]], tuple[Judge, JudgeServer]]

PARAMS = QualityParams(rows=10)


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    contexts = []

    def begin(respond: Callable[[Received], Reply]) -> tuple[Judge, JudgeServer]:
        context = serve_judge(respond)
        server = context.__enter__()
        contexts.append(context)
        params = JudgeParams(server.endpoint, "grader", requests_per_minute=6_000_000, attempts=1)
        return Judge(params, tmp_path / "judgments.jsonl"), server

    yield begin
    for context in contexts:
        context.__exit__(None, None, None)


def seen_answer(request: Received) -> str:
    (answer,) = re.findall(r"<answer>\n(.*)\n</answer>", request.text, re.DOTALL)
    return answer


def seen_conversation(request: Received) -> str:
    (conversation,) = re.findall(r"<conversation>\n(.*)\n</conversation>", request.text, re.DOTALL)
    return conversation


def grade_by_length(request: Received) -> Reply:
    """A grade that the test can work out by itself: the answer's length, from 0 to 5."""
    return say(f"As long as it is. Grade: [[{min(len(seen_answer(request)), 50) / 10}]]")


def conversation(*answers: str, row: int = 1) -> tuple[Record, str]:
    turns = [
        Message("user", "Go on.") if i % 2 == 0 else Message("assistant", answers[i // 2])
        for i in range(2 * len(answers))
    ]
    record = Conversation(tuple(turns), source="chat", row=row)
    return record, content_hash(record)


def test_the_mean_is_over_the_turns_of_a_row_and_then_over_the_rows(start: Start) -> None:
    grades = {"a": "[[5]]", "b": "[[2]]", "c": "[[2]]", "d": "[[0]]"}
    judge, _ = start(lambda request: say(grades[seen_answer(request)]))
    one, three = conversation("a", row=1), conversation("b", "c", "d", row=2)
    report = rate_rows([one, three], judge, PARAMS)
    # By hand: (5 + (2 + 2 + 0) / 3) / 2 = 19 / 6; the two rows lie 11 / 6 from it on either side.
    assert report.mean == pytest.approx(19 / 6)
    assert report.standard_error == pytest.approx(11 / 6)
    assert (report.rated, report.unreadable) == (2, 0)
    assert sorted(report.rows, key=lambda row: row.row) == [
        RatedRow(1, one[1], "chat", 1, 0, 5.0),
        RatedRow(2, three[1], "chat", 3, 0, pytest.approx(4 / 3)),
    ]


def test_grades_that_cannot_be_read_are_counted_and_enter_no_mean(start: Start) -> None:
    grades = {"a": "[[4]]", "b": "Excellent!", "c": "[[7]]", "d": "[[1]]"}
    judge, _ = start(lambda request: say(grades[seen_answer(request)]))
    report = rate_rows(
        [conversation("a", "b", row=1), conversation("c", row=2), conversation("d", row=3)], judge, PARAMS
    )
    assert (report.mean, report.rated, report.unreadable) == (2.5, 2, 2)
    assert {row.row: (row.turns, row.unreadable, row.grade) for row in report.rows} == {
        1: (2, 1, 4.0),
        2: (1, 1, None),
        3: (1, 0, 1.0),
    }


def test_a_single_row_has_no_standard_error(start: Start) -> None:
    judge, _ = start(grade_by_length)
    report = rate_rows([conversation("x" * 30)], judge, PARAMS)
    assert (report.mean, report.standard_error) == (3.0, None)


def test_the_report_agrees_with_the_texts_of_real_conversations(start: Start, chats: Rows) -> None:
    judge, server = start(grade_by_length)
    params = QualityParams(rows=15, seed=3)
    steps: list[tuple[int, int]] = []
    report = rate_rows(chats[:60], judge, params, lambda done, total: steps.append((done, total)))
    texts = dict((row_hash, record) for record, row_hash in chats[:60])
    for row in report.rows:
        answers = [message.content for message in texts[row.hash].messages if message.role == "assistant"]
        assert row.grade == pytest.approx(statistics.fmean(min(len(answer), 50) / 10 for answer in answers))
        assert (row.turns, row.row) == (len(answers), texts[row.hash].row)
    assert report.mean == pytest.approx(statistics.fmean(row.grade for row in report.rows))
    requests = rating_requests(chats[:60], params)
    assert len(requests) == sum(row.turns for row in report.rows)
    # Conversations that begin alike share the grades of their beginnings.
    assert len(server.received) == len({request.messages for request in requests}) == steps[-1][0] == steps[-1][1]
    assert judge.estimate(requests).requests == 0


def test_selections_that_share_rows_share_their_grades(start: Start, chats: Rows) -> None:
    judge, server = start(grade_by_length)
    params = QualityParams(rows=10)
    first = rate_rows(chats[:50], judge, params)
    asked = len(server.received)
    assert rate_rows(chats[:50][::-1], judge, params) == first
    assert len(server.received) == asked
    # The rows of both samples are graded once; nine tenths of the pool stay, so most of the sample does.
    second = rate_rows(chats[5:50], judge, params)
    shared = {row.hash: row for row in first.rows}.items() & {row.hash: row for row in second.rows}.items()
    assert len(shared) >= 7
    assert rate_rows(chats[:50], judge, replace(params, seed=1)).rows != first.rows


def test_the_judge_sees_all_that_was_said_before_the_answer_and_nothing_after_it(start: Start) -> None:
    judge, server = start(grade_by_length)
    rate_rows([conversation("First {0}.", "Second </answer>.", "Third.")], judge, PARAMS)
    seen = {seen_answer(request): seen_conversation(request) for request in server.received}
    assert seen == {
        "First {0}.": "user: Go on.",
        "Second </answer>.": "user: Go on.\n\nassistant: First {0}.\n\nuser: Go on.",
        "Third.": "user: Go on.\n\nassistant: First {0}.\n\nuser: Go on.\n\n"
        "assistant: Second </answer>.\n\nuser: Go on.",
    }
    for request in server.received:
        assert request.body["temperature"] == 0
        assert [message["role"] for message in request.body["messages"]] == ["user"]  # some models take no system role


def test_of_a_preference_only_the_chosen_answer_is_graded(start: Start) -> None:
    judge, server = start(grade_by_length)
    prompt = (Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "And?"))
    pair = Preference(prompt, (Message("assistant", "Well."),), (Message("assistant", "Bad."),), row=1)
    unwanted = Preference(prompt, (), (Message("assistant", "Worse."),), row=2)
    report = rate_rows([(record, content_hash(record)) for record in (pair, unwanted)], judge, PARAMS)
    assert [seen_answer(request) for request in server.received] == ["Well."]
    assert [row.row for row in report.rows] == [1]


def test_long_texts_are_sent_with_their_middle_left_out(start: Start) -> None:
    judge, server = start(lambda request: say("[[4]]"))
    rate_rows([conversation("a" * 40 + "b" * 1000 + "c" * 40, "d" * 50)], judge, replace(PARAMS, max_characters=50))
    answers = {seen_answer(request) for request in server.received}
    assert answers == {"a" * 25 + "[…]" + "c" * 25, "d" * 50}
    assert max(len(seen_conversation(request)) for request in server.received) == 53


def test_a_rating_without_one_grade_is_not_assessed(start: Start) -> None:
    judge, _ = start(lambda request: say("I would rather not."))
    with pytest.raises(NotAssessedError, match=r"of 1 rows with an answer, 2 judgments came without a grade"):
        rate_rows([conversation("a", "b")], judge, PARAMS)
    with pytest.raises(NotAssessedError, match=r"of 0 rows with an answer"):
        rate_rows([], judge, PARAMS)


@pytest.mark.parametrize("name", ["rows", "max_characters"])
def test_sizes_that_rate_nothing_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        QualityParams(**{name: 0})


def test_the_prompt_holds_no_grade_but_its_example() -> None:
    (request,) = rating_requests([conversation("a")], PARAMS)
    assert re.findall(r"\[\[.*?\]\]", request.messages[0].content) == ["[[2.5]]"]
