"""Quality: what the judge sees of a row, and how its grades become one number."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from judge_server import Received, Reply, Start, fail, say, serve_judge, start_judges
from typer.testing import CliRunner

from corpus.errors import NotAssessedError
from corpus.params import read_params
from corpus.records import Conversation, HashedRecord, Message, Preference, content_hash
from entropylaw.cli import app
from entropylaw.repository.shipped_files import shipped_text
from training.quality import QualityParams, RatedRow, rate_rows, rating_requests

Rows = list[HashedRecord]

PARAMS = QualityParams(rows=10)


start = pytest.fixture(start_judges)


def seen_answer(request: Received) -> str:
    (answer,) = re.findall(r"<answer>\n(.*)\n</answer>", request.text, re.DOTALL)
    return answer


def seen_conversation(request: Received) -> str:
    (conversation,) = re.findall(r"<conversation>\n(.*)\n</conversation>", request.text, re.DOTALL)
    return conversation


def grade_by_length(request: Received) -> Reply:
    """A grade that the test can work out by itself: the answer's length, from 0 to 5."""
    return say(f"As long as it is. Grade: [[{min(len(seen_answer(request)), 50) / 10}]]")


def conversation(*answers: str, row: int = 1) -> HashedRecord:
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


# --- the command ---

KEY = "sk-0123456789-very-secret"


@pytest.fixture
def rate(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple]]:
    """Runs `entropylaw rate` on six rows, whose answers are 10 to 60 characters long, with a judge of this kind."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("no_proxy", "*")
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Say {i}."},
                {"role": "assistant", "content": f"{i}secret" + "x" * i},
            ]
        }
        for i in (30, 10, 20, 50, 0, 40)
    ]
    Path("data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("shipped.yaml").write_text(shipped_text("params.yaml"))
    contexts = []

    def call(respond: Callable[[Received], Reply], *arguments: str):
        contexts.append(serve_judge(respond))
        server = contexts[-1].__enter__()
        params = read_params("shipped.yaml")
        settings = {"endpoint": server.endpoint, "model": "grader", "requests_per_minute": 6_000_000, "attempts": 1}
        params["judge"].update(settings, concurrent=1)
        Path("params.yaml").write_text(json.dumps(params))
        return CliRunner().invoke(app, ["rate", "data.jsonl", *arguments]), server

    yield call
    for context in contexts:
        context.__exit__(None, None, None)


def grade_by_number(request: Received) -> Reply:
    """The number at the answer's start, as tens of a grade: 0 to 5."""
    (number,) = re.findall(r"\d+", seen_answer(request))
    return say(f"So it is. Grade: [[{int(number) / 10}]]")


def test_the_command_names_the_mean_and_the_lowest_rows_but_no_text(rate) -> None:
    result, server = rate(grade_by_number, "--out", "results/quality.json")
    assert result.exit_code == 0, result.output
    assert "6 requests to make" in result.stderr and f"go to {server.endpoint}" in result.stderr
    # Grades 3, 1, 2, 5, 0 and 4: mean 2.5, variance 3.5.
    assert result.stdout.splitlines() == [
        "data.jsonl: quality 2.50 ± 0.76 of 5, from 6 of 6 rows; 0 answers without a readable grade",
        "lowest rated: rows 5 (0.0), 2 (1.0), 3 (2.0), 1 (3.0), 6 (4.0), 4 (5.0)",
    ]
    document = json.loads(Path("results/quality.json").read_text())
    assert (document["mean"], document["rated"], document["unreadable"]) == (2.5, 6, 0)
    for text in (result.output, Path("results/quality.json").read_text()):
        assert "secret" not in text
    again, server = rate(grade_by_number, "--json")
    assert json.loads(again.stdout) == document and server.received == []


def test_a_dry_run_prints_the_estimate_and_sends_nothing(rate, in_tmp_path: Path) -> None:
    result, server = rate(grade_by_number, "--rows", "4", "--dry-run")
    assert result.exit_code == 0 and server.received == []
    assert "4 requests to make, 0 answers kept from before" in result.stdout
    assert "the texts of at most 4 rows go to" in result.stdout
    assert not Path(".entropylaw").exists()
    result, _ = rate(grade_by_number, "--rows", "4", "--dry-run", "--json")
    estimate = json.loads(result.stdout)
    assert (estimate["requests"], estimate["kept"], estimate["output_tokens"]) == (4, 0, 4 * 1024)


def test_a_rating_that_is_cut_off_keeps_what_it_paid_for(rate, in_tmp_path: Path) -> None:
    replies = iter([*[None] * 4, *[fail(503, "overloaded")] * 100])
    result, _ = rate(lambda request: next(replies) or grade_by_number(request), "--out", "results/quality.json")
    assert result.exit_code == 3 and "HTTP 503" in result.stderr.splitlines()[-1]
    assert not Path("results/quality.json").exists()
    result, server = rate(grade_by_number)
    assert result.exit_code == 0 and "quality 2.50" in result.stdout
    assert "2 requests to make, 4 answers kept from before" in result.stderr and len(server.received) == 2
    for path in in_tmp_path.rglob("*"):
        assert path.is_dir() or KEY not in path.read_text()


def test_a_refused_key_is_one_line_without_it(rate, in_tmp_path: Path) -> None:
    result, _ = rate(lambda request: fail(401, f"wrong key {request.headers['Authorization']}"))
    assert result.exit_code == 2 and "OPENAI_API_KEY" in result.stderr.splitlines()[-1]
    assert KEY not in result.output
    for path in in_tmp_path.rglob("*"):
        assert path.is_dir() or KEY not in path.read_text()


def test_without_a_judge_nothing_is_rated(rate) -> None:
    Path("params.yaml").write_text(Path("shipped.yaml").read_text())
    result = CliRunner().invoke(app, ["rate", "data.jsonl"])
    assert result.exit_code == 2
    assert result.stderr == ("entropylaw: no judge is configured: set judge.endpoint and judge.model in params.yaml\n")
