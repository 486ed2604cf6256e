"""The judge: what it is sent, what is done when it does not answer well, and that nothing is asked or paid twice."""

from __future__ import annotations

import datetime
import email.utils
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judge_server import Clock, JudgeServer, Received, Reply, fail, in_turn, say, serve_judge

from corpus.errors import DataError, EntropylawError, NotAssessedError, ParamsError
from corpus.params import parse_section
from corpus.records import Message
from training.chat_endpoint import Pace, UnusableAnswerError
from training.judge import Judge, JudgeEstimate, JudgeRequest, read_grade
from training.judge_params import JudgeParams
from training.judgments import Judgment, Judgments

KEY = "sk-0123456789-very-secret"
PARAMS = JudgeParams(requests_per_minute=6_000_000, concurrent=1, timeout_seconds=5.0)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "judgments" / "judge.jsonl"


@pytest.fixture
def start(file: Path, clock: Clock) -> Iterator[Callable[..., tuple[Judge, JudgeServer]]]:
    """Starts a server with these replies and opens a judge that asks it, on a clock that never really waits."""
    servers = []

    def begin(respond: Callable[[Received], Reply], **changes: Any) -> tuple[Judge, JudgeServer]:
        context = serve_judge(respond)
        server = context.__enter__()
        servers.append(context)
        return open_judge(server, file, clock, **changes), server

    yield begin
    for context in servers:
        context.__exit__(None, None, None)


def open_judge(server: JudgeServer, file: Path, clock: Clock, **changes: Any) -> Judge:
    params = replace(PARAMS, **{"endpoint": server.endpoint, "model": "grader", **changes})
    return Judge(params, file, clock=clock, sleep=clock.sleep, random=np.random.default_rng(0))


def question(text: str = "Grade this.", **changes: Any) -> JudgeRequest:
    return JudgeRequest((Message("system", "You grade."), Message("user", text)), **{"about": "row 1", **changes})


def questions(count: int) -> list[JudgeRequest]:
    return [question(f"Grade number {i}.") for i in range(count)]


def grade_number(request: Received) -> Reply:
    """The grade is the last digit of the question's number."""
    return say(f"Grade: [[{request.text.rstrip('.')[-1]}]]")


def read_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


# --- what is sent, and kept ---


def test_a_request_goes_out_in_the_chat_format_and_its_answer_is_kept(start, file) -> None:
    judge, server = start(in_turn(say("Good. [[4]]")), max_tokens=77, temperature=0.7)
    assert judge.ask([question()]) == ["Good. [[4]]"]
    (request,) = server.received
    assert request.path == "/v1/chat/completions"
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["User-Agent"] == "entropylaw"  # some hosts turn Python's own away
    assert request.body == {
        "model": "grader",
        "messages": [{"role": "system", "content": "You grade."}, {"role": "user", "content": "Grade this."}],
        "temperature": 0.7,
        "max_tokens": 77,
    }
    (line,) = read_lines(file)
    assert len(line.pop("key")) == 16
    assert line == {
        **{"about": "row 1", "model": "grader", "temperature": 0.7, "max_tokens": 77, "is_cut": False},
        "answer": "Good. [[4]]",
    }


def test_a_local_server_needs_no_key_and_no_limit(start, monkeypatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    judge, server = start(in_turn(say("[[3]]")), max_tokens=None)
    assert judge.ask([question()]) == ["[[3]]"]
    assert "Authorization" not in server.received[0].headers
    assert "max_tokens" not in server.received[0].body
    assert judge.estimate(questions(2)).output_tokens is None


@pytest.mark.parametrize("name", ["temperature", "max_tokens"])
def test_a_refused_setting_is_named_as_it_stands_in_params_yaml(start, name) -> None:
    reply = fail(400, f"Unsupported value: '{name}' is not supported with this model.")
    judge, _ = start(in_turn(reply))
    with pytest.raises(UnusableAnswerError, match=rf"HTTP 400: .*\); judge\.{name}: null sends none$"):
        judge.ask([question()])
    judge, _ = start(in_turn(reply), **{name: None})
    with pytest.raises(UnusableAnswerError, match=r"with this model\.\)$"):
        judge.ask([question()])


def test_a_model_that_accepts_no_temperature_is_sent_none(start, file) -> None:
    judge, server = start(in_turn(say("[[3]]")), temperature=None)
    assert judge.ask([question()]) == ["[[3]]"]
    assert "temperature" not in server.received[0].body
    assert read_lines(file)[0]["temperature"] is None
    assert judge.estimate([question()]).kept == 1


@pytest.mark.parametrize("concurrent", [1, 4])
def test_answers_come_in_the_order_of_the_requests_and_equal_requests_are_asked_once(start, concurrent) -> None:
    judge, server = start(grade_number, concurrent=concurrent)
    asked = [*questions(9), *questions(3)]
    expected = [f"Grade: [[{i}]]" for i in (*range(9), *range(3))]
    steps: list[tuple[int, int]] = []
    assert judge.ask(asked, lambda done, total: steps.append((done, total))) == expected
    assert sorted(server.asked()) == sorted(request.messages[-1].content for request in questions(9))
    assert steps == [(done, 9) for done in range(1, 10)]


def test_so_many_requests_as_allowed_are_under_way_at_once(start) -> None:
    together = threading.Barrier(3, timeout=5)

    def respond(request: Received) -> Reply:
        together.wait()  # breaks, and the answer is an error, unless three come together
        return grade_number(request)

    judge, _ = start(respond, concurrent=3, attempts=1)
    assert judge.ask(questions(6)) == [f"Grade: [[{i}]]" for i in range(6)]


def test_nothing_to_ask_asks_nothing(start, file) -> None:
    judge, server = start(in_turn(say("[[1]]")))
    assert judge.ask([]) == []
    assert (server.received, file.exists()) == ([], False)


# --- continuing without paying twice ---


def test_a_second_run_asks_nothing_that_was_answered(start, file, clock) -> None:
    judge, server = start(grade_number)
    first = judge.ask(questions(4))
    again = open_judge(server, file, clock)
    steps: list[tuple[int, int]] = []
    assert again.ask(questions(6), lambda done, total: steps.append((done, total)))[:4] == first
    assert server.asked() == [f"Grade number {i}." for i in range(6)]
    assert steps == [(5, 6), (6, 6)]


@pytest.mark.parametrize(
    ("changes", "other"),
    [({"model": "another"}, question()), ({}, question("Other.")), ({"temperature": 0.5}, question())],
    ids=["model", "messages", "temperature"],
)
def test_another_model_text_or_temperature_is_asked_anew(start, file, clock, changes, other) -> None:
    judge, server = start(in_turn(say("[[1]]"), say("[[2]]")))
    judge.ask([question()])
    judge = open_judge(server, file, clock, **changes)
    assert judge.ask([other]) == ["[[2]]"]
    assert judge.ask([replace(other, about="the same by another name")]) == ["[[2]]"]
    assert len(server.received) == 2


def test_an_interrupted_run_has_kept_every_answer_it_got(start, file, clock) -> None:
    judge, server = start(grade_number)

    def interrupt(done: int, total: int) -> None:
        assert len(read_lines(file)) >= done
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge.ask(questions(8), interrupt)
    assert 3 <= len(server.received) <= 5  # nothing was started after it, but for what the thread had at hand
    assert len(read_lines(file)) == len(server.received)
    # The same judge can be asked again, and so can one of another process.
    assert judge.ask(questions(5)) == [f"Grade: [[{i}]]" for i in range(5)]
    assert open_judge(server, file, clock).ask(questions(8)) == [f"Grade: [[{i}]]" for i in range(8)]
    assert len(server.received) == len(set(server.asked())) == 8


def test_an_answer_cut_at_its_limit_is_asked_again_only_under_another_limit(start, file, clock) -> None:
    judge, server = start(in_turn(say("Well, the", "length"), say("Well, the answer is fine. [[4]]")), max_tokens=3)
    for _ in range(2):
        assert judge.ask([question()]) == ["Well, the"]
    assert open_judge(server, file, clock, max_tokens=300).ask([question()]) == ["Well, the answer is fine. [[4]]"]
    assert len(server.received) == 2
    assert open_judge(server, file, clock, max_tokens=3).ask([question()]) == ["Well, the answer is fine. [[4]]"]


def judgment(key: str, answer: str = "Fine.\n[[4]]") -> Judgment:
    return Judgment(key, "row 1", "grader", 0.0, 100, False, answer)


def test_a_line_torn_anywhere_costs_that_answer_only(tmp_path) -> None:
    first, torn, other = judgment("a" * 16), judgment("b" * 16), judgment("d" * 16)
    last = judgment("c" * 16, "\ud83d é \u2028 [[1]]")  # half a surrogate pair, and a line break of Unicode's
    file = tmp_path / "whole.jsonl"
    for item in (first, torn):
        Judgments(file).keep(item)
    whole = file.read_bytes()
    start_of_torn = whole.index(b"\n") + 1
    for end in range(start_of_torn, len(whole) - 1, 5):
        file = tmp_path / f"{end}.jsonl"
        file.write_bytes(whole[:end])
        kept = Judgments(file)
        assert (kept.get(first.key, 100), kept.get(torn.key, 100)) == (first, None)
        kept.keep(last)
        kept.keep(other)
        assert b"\n\n" not in file.read_bytes()
        reread = Judgments(file)
        assert (reread.get(first.key, 100), reread.get(torn.key, 100), reread.get(last.key, 100)) == (first, None, last)


def test_a_damaged_line_is_asked_again(start, file, clock) -> None:
    judge, server = start(grade_number)
    judge.ask(questions(3))
    file.write_text(file.read_text().replace('"Grade: [[1]]"', "1"))
    assert open_judge(server, file, clock).ask(questions(3)) == [f"Grade: [[{i}]]" for i in range(3)]
    assert len(server.received) == 4


@pytest.mark.parametrize("content", ['{"messages": []}\n', "row,grade\n1,4\n", "[1, 2]", "{}\n"])
def test_a_file_of_something_else_is_refused_and_left_alone(start, file, content) -> None:
    file.parent.mkdir()
    file.write_text(content)
    with pytest.raises(DataError, match=r"judge\.jsonl, line 1: not a file of judgments"):
        start(grade_number)
    assert file.read_text() == content


def test_a_file_that_cannot_be_used_is_one_clear_error(start, file) -> None:
    file.mkdir(parents=True)
    with pytest.raises(EntropylawError, match=r"judge\.jsonl: cannot be read: Is a directory"):
        start(grade_number)
    file.rmdir()
    judge, _ = start(grade_number)
    file.mkdir()
    with pytest.raises(EntropylawError, match=r"judge\.jsonl: cannot be written: Is a directory"):
        judge.ask([question()])


def test_the_estimate_counts_what_is_still_to_be_asked(start) -> None:
    judge, server = start(grade_number)
    asked = [*questions(10), *questions(2)]
    sent = sum(len(f"You grade.Grade number {i}.") for i in range(10))
    assert judge.estimate(asked) == JudgeEstimate(10, 0, round(sent / 4), 10 * 1024)
    assert server.received == []
    judge.ask(questions(7))
    assert judge.estimate(asked) == JudgeEstimate(3, 7, round(sent * 0.3 / 4), 3 * 1024)
    assert judge.estimate(questions(7)) == JudgeEstimate(0, 7, 0, 0)


# --- what passes is tried again ---


def test_a_rate_limit_is_waited_out_as_long_as_the_endpoint_asks(start, clock) -> None:
    judge, server = start(in_turn(fail(429, "slow down", Retry_After="17"), say("[[4]]")))
    assert judge.ask([question()]) == ["[[4]]"]
    assert len(server.received) == 2
    assert clock.now == pytest.approx(17)


def test_a_rate_limit_may_be_given_as_a_date(start, clock) -> None:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=40)
    judge, _ = start(in_turn(fail(429, Retry_After=email.utils.format_datetime(moment, usegmt=True)), say("[[4]]")))
    assert judge.ask([question()]) == ["[[4]]"]
    assert 37 <= clock.now <= 40


@pytest.mark.parametrize("header", ["soon", "nan", "-5", "inf", "Wed, 21 Oct 2015 07:28:00 GMT"])
def test_an_odd_retry_after_does_no_harm(start, clock, header) -> None:
    judge, server = start(in_turn(fail(429, Retry_After=header), say("[[4]]")))
    assert judge.ask([question()]) == ["[[4]]"]
    assert len(server.received) == 2
    assert clock.now <= 1


def test_an_endpoint_that_asks_for_an_hour_ends_the_run(start, clock) -> None:
    judge, server = start(in_turn(fail(429, "daily quota", Retry_After="3600")))
    with pytest.raises(EntropylawError, match=r"asks to wait 3600 seconds \(HTTP 429: daily quota\); run again then"):
        judge.ask(questions(3))
    assert (len(server.received), clock.now) == (1, pytest.approx(0, abs=0.01))


def test_waits_double_and_are_spread_by_chance(start, clock) -> None:
    judge, server = start(
        in_turn(*[fail(status) for status in (500, 502, 503, 529, 408, 409)], say("[[4]]")), attempts=7
    )
    assert judge.ask([question()]) == ["[[4]]"]
    assert len(server.received) == 7
    waits = [seconds for seconds in clock.slept if seconds > 0.1]
    for wait, longest in zip(waits, (1, 2, 4, 8, 16, 30), strict=True):
        assert longest / 2 <= wait <= longest
    assert len({wait / longest for wait, longest in zip(waits, (1, 2, 4, 8, 16, 30), strict=True)}) == 6


def test_a_server_that_stays_down_is_reported_once_and_what_was_answered_is_kept(start, file) -> None:
    judge, server = start(in_turn(say("[[1]]"), say("[[2]]"), fail(503, "overloaded")), attempts=3)
    with pytest.raises(
        NotAssessedError, match=r"no answer after 3 attempts: HTTP 503: overloaded; .* are kept"
    ) as error:
        judge.ask(questions(9))
    assert not isinstance(error.value, UnusableAnswerError)
    assert len(read_lines(file)) == 2
    assert len(server.received) == 2 + 3


def test_a_refused_connection_names_the_address(file, clock) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    params = replace(PARAMS, endpoint=f"http://127.0.0.1:{port}", model="m")
    judge = Judge(params, file, clock=clock, sleep=clock.sleep)
    with pytest.raises(NotAssessedError, match=rf"127.0.0.1:{port}/chat/completions: no answer after 5 .*refused"):
        judge.ask([question()])


def test_a_connection_that_breaks_is_tried_again(start) -> None:
    # The body is announced longer than it is, so the connection ends in the middle of it.
    judge, server = start(in_turn(Reply(200, b'{"choices": [', {"Content-Length": "500"}), say("[[4]]")))
    assert judge.ask([question()]) == ["[[4]]"]
    assert len(server.received) == 2


def test_a_timeout_is_tried_again_and_then_reported(start, clock) -> None:
    silent = threading.Event()

    def respond(request: Received) -> Reply:
        if "slow" in request.text or len(server.received) == 1:
            silent.wait(5)
        return say("[[4]]")

    judge, server = start(respond, timeout_seconds=0.15, attempts=2)
    try:
        assert judge.ask([question()]) == ["[[4]]"]
        with pytest.raises(
            EntropylawError, match=r"2 attempts: no answer within 0\.15 seconds \(judge\.timeout_seconds"
        ):
            judge.ask([question("slow")])
    finally:
        silent.set()
    assert len(server.received) == 4


def test_a_body_that_trickles_is_a_timeout(file) -> None:
    def trickle(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(100):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        judge = Judge(replace(PARAMS, endpoint=endpoint, model="m", attempts=1, timeout_seconds=0.2), file)
        started = time.monotonic()
        with pytest.raises(EntropylawError, match=r"no answer after 1 attempt: no answer within 0\.2 seconds"):
            judge.ask([question()])
        assert time.monotonic() - started < 2
        thread.join()


# --- answers that are none ---

MALFORMED = {
    "not JSON": Reply(200, b"<html>busy</html>"),
    "empty": Reply(200, b""),
    "no choices": Reply(200, b'{"id": "x"}'),
    "empty choices": Reply(200, b'{"choices": []}'),
    "no message": Reply(200, b'{"choices": [{"text": "[[4]]"}]}'),
    "content a number": Reply(200, b'{"choices": [{"message": {"content": 4}}]}'),
    "an error with status 200": Reply(200, b'{"error": {"message": "upstream failed"}}'),
    "a list": Reply(200, b"[[4]]"),
    "not UTF-8": Reply(200, b'{"choices": "\xff\xfe"}'),
    "deep": Reply(200, b"[" * 100_000),
    "huge": say("x" * (5 * 2**20)),
}


@pytest.mark.parametrize("reply", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_body_is_tried_again(start, reply) -> None:
    judge, server = start(in_turn(reply, reply, say("[[4]]")))
    assert judge.ask([question()]) == ["[[4]]"]
    assert len(server.received) == 3


def test_a_request_that_gets_only_malformed_bodies_is_passed_over_and_asked_again_next_time(start, file) -> None:
    judge, server = start(
        lambda request: MALFORMED["no choices"] if "number 1" in request.text else grade_number(request), attempts=2
    )
    for calls in (4, 6):  # the good ones once, the bad one twice in each run
        assert judge.ask(questions(3)) == ["Grade: [[0]]", None, "Grade: [[2]]"]
        assert len(server.received) == calls
    assert len(read_lines(file)) == 2


def test_a_message_without_text_is_an_answer(start, file) -> None:
    judge, server = start(in_turn(say(None)))
    for _ in range(2):
        assert judge.ask([question()]) == [""]
    assert len(server.received) == 1


@pytest.mark.parametrize(("asked", "requests"), [(1, 2), (3, 6), (30, 10)])
def test_an_endpoint_of_another_kind_is_noticed_after_a_few_requests(start, asked, requests) -> None:
    judge, server = start(in_turn(Reply(200, b"<html>Welcome to nginx!</html>")), attempts=2)
    with pytest.raises(
        EntropylawError, match=r"no answer in the OpenAI chat format after 2 attempts: <html>Welcome to"
    ):
        judge.ask(questions(asked))
    assert requests <= len(server.received) <= requests + 2


@pytest.mark.parametrize("status", [400, 413, 422])
def test_one_refused_request_is_not_tried_again_and_does_not_stop_the_others(start, status) -> None:
    judge, server = start(
        lambda request: fail(status, "too long") if "number 2" in request.text else grade_number(request)
    )
    assert judge.ask(questions(4)) == ["Grade: [[0]]", "Grade: [[1]]", None, "Grade: [[3]]"]
    assert len(server.received) == 4


def test_refusals_that_do_not_follow_each_other_do_not_stop_the_others(start) -> None:
    judge, _ = start(lambda request: fail(400) if int(request.text.rstrip(".")[-1]) % 2 else grade_number(request))
    assert judge.ask(questions(20)).count(None) == 10


def test_an_endpoint_that_refuses_every_request_says_why(start) -> None:
    judge, server = start(in_turn(fail(400, "use 'max_completion_tokens' instead")))
    with pytest.raises(EntropylawError, match=r"refused the request \(HTTP 400: use 'max_completion_tokens' instead\)"):
        judge.ask([question()])
    assert len(server.received) == 1


# --- what does not pass ends the run at once ---


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, r"refused the key in OPENAI_API_KEY \(HTTP 401: bad key\): set one that may use grader"),
        (403, r"refused the key in OPENAI_API_KEY \(HTTP 403: bad key\)"),
        (404, r"HTTP 404: bad key: check judge\.endpoint and judge\.model grader"),
        (405, r"HTTP 405: bad key: check judge\.endpoint"),
        (301, r"redirects \(HTTP 301: bad key\): set judge\.endpoint to the final address"),
    ],
)
def test_a_refusal_ends_the_run_with_one_line_after_one_request(start, status, said) -> None:
    judge, server = start(in_turn(fail(status, "bad\n\n  key")))
    with pytest.raises(EntropylawError, match=said) as error:
        judge.ask(questions(20))
    assert server.endpoint in str(error.value)
    assert "\n" not in str(error.value)
    assert len(server.received) == 1


def test_a_refusal_stops_the_requests_that_wait_for_their_turn(start, file) -> None:
    _, server = start(in_turn(say("[[1]]"), fail(401)))
    params = replace(PARAMS, endpoint=server.endpoint, model="grader", requests_per_minute=60, concurrent=8)
    started = time.monotonic()
    with pytest.raises(EntropylawError, match="refused the key"):
        Judge(params, file).ask(questions(20))  # on the real clock: twenty seconds' worth of turns
    assert time.monotonic() - started < 6  # those of the eight threads alone take seven
    assert (len(server.received), len(read_lines(file))) == (2, 1)


def test_the_refusal_is_what_is_reported_and_not_that_it_stopped_others(start, file) -> None:
    _, server = start(in_turn(fail(401)))
    params = replace(PARAMS, endpoint=server.endpoint, model="grader", requests_per_minute=60, concurrent=32)
    for _ in range(5):  # a race that the threads that wait win nearly always
        with pytest.raises(EntropylawError, match="refused the key"):
            Judge(params, file).ask(questions(40))


def test_a_missing_key_is_named_by_its_variable(start, monkeypatch) -> None:
    monkeypatch.setenv("MY_KEY", "  ")
    judge, _ = start(in_turn(fail(401)), api_key_variable="MY_KEY")
    with pytest.raises(EntropylawError, match=r"asks for a key \(HTTP 401: no\): set MY_KEY"):
        judge.ask([question()])


def test_without_a_judge_the_error_says_what_to_set(file) -> None:
    with pytest.raises(EntropylawError, match=r"no judge is configured: set judge\.endpoint and judge\.model"):
        Judge(JudgeParams(), file)


# --- the key ---


def echo(status: int, **headers: str) -> Callable[[Received], Reply]:
    def respond(request: Received) -> Reply:
        return replace(fail(status, f"you sent {request.headers}"), headers=headers)

    return respond


@pytest.mark.parametrize("as_answer", [True, False])
@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 429, 500])
def test_the_key_appears_in_no_file_and_no_error_even_if_the_server_repeats_it(start, file, status, as_answer) -> None:
    if as_answer:
        judge, server = start(lambda request: replace(say(f"{request.headers} [[4]]"), status=status), attempts=2)
    else:
        judge, server = start(echo(status), attempts=2)
    said = ""
    try:
        said = str(judge.ask(questions(2)))
    except EntropylawError as error:
        while error is not None:  # the causes too: a traceback would show them
            said += repr(error) + str(error)
            error = error.__cause__
    assert KEY in server.received[0].headers["Authorization"]
    assert "[key]" in said and KEY not in said
    for path in file.parent.parent.rglob("*"):
        assert path.is_dir() or KEY not in path.read_text()
    assert KEY not in repr(judge)


@pytest.mark.parametrize("cut", [KEY[:12], KEY[:6] + "..." + KEY[-6:], f"{KEY[3:15]}\n{KEY[15:]}"])
def test_no_part_of_the_key_that_the_server_repeats_is_shown(start, cut) -> None:
    judge, _ = start(in_turn(fail(401, f"Incorrect API key provided: {cut}. See your account.")))
    with pytest.raises(EntropylawError, match=r"Incorrect API key provided: \[key\].* See your account") as error:
        judge.ask(questions(1))
    shown = str(error.value)
    assert not any(KEY[i : i + 6] in shown for i in range(len(KEY) - 5))


@pytest.mark.parametrize("variable", ["AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "CI_JOB_TOKEN", "AZURE_STORAGE_KEY"])
def test_credentials_of_other_things_are_never_sent_to_an_endpoint(variable: str) -> None:
    with pytest.raises(ValueError, match=f"{variable} holds credentials that are not a judge's"):
        JudgeParams("https://example.org/v1", "m", api_key_variable=variable)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_key_is_not_carried_to_where_the_endpoint_redirects(start, status) -> None:
    _, elsewhere = start(in_turn(say("[[4]]")))
    judge, _ = start(in_turn(fail(status, Location=f"{elsewhere.endpoint}/chat/completions")))
    with pytest.raises(EntropylawError, match="redirects"):
        judge.ask([question()])
    assert elsewhere.received == []


def test_a_short_placeholder_key_does_not_garble_answers(start, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    judge, server = start(in_turn(say("An excellent example. [[5]]")))
    assert judge.ask([question()]) == ["An excellent example. [[5]]"]
    assert server.received[0].headers["Authorization"] == "Bearer x"


@pytest.mark.parametrize("key", [f"{KEY}\nX-Other: 1", f'"{KEY}"', f"{KEY} {KEY}", f"{KEY}é"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(start, monkeypatch, key) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(EntropylawError, match=r"the key in OPENAI_API_KEY holds") as error:
        start(grade_number)
    assert KEY not in str(error.value)


def test_the_line_break_of_a_file_is_no_part_of_the_key(start, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    judge, server = start(grade_number)
    judge.ask([question("1")])
    assert server.received[0].headers["Authorization"] == f"Bearer {KEY}"


# --- pace ---


def test_requests_and_repetitions_keep_to_the_rate(start, clock) -> None:
    times: list[float] = []
    replies = in_turn(say("[[1]]"), fail(500), *[say("[[1]]")] * 9)

    def respond(request: Received) -> Reply:
        times.append(clock.now)
        return replies(request)

    judge, _ = start(respond, requests_per_minute=20)
    judge.ask(questions(10))
    assert len(times) == 11
    assert times[0] == 0
    assert all(after - before >= 3 - 1e-9 for before, after in itertools.pairwise(times))
    assert times[-1] <= 33.1


def test_threads_share_one_pace(clock) -> None:
    waits: list[float] = []
    pace = Pace(30, clock, waits.append)  # time stands still, so every wait is the turn itself
    threads = [threading.Thread(target=pace.wait_turn) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == [2.0 * turn for turn in range(8)]
    pace.postpone(100)
    pace.wait_turn()
    pace.postpone(1)
    pace.wait_turn()
    assert waits[8:] == [100, 102]


# --- parameters ---


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": None}, "go together"),
        ({"endpoint": None}, "go together"),
        ({"endpoint": "api.example.org/v1"}, "not an address such as"),
        ({"endpoint": "file:///etc/passwd"}, "not an address such as"),
        ({"endpoint": "https:///v1"}, "not an address such as"),
        ({"endpoint": "https://a b/v1"}, "not an address such as"),
        ({"endpoint": "https://host\n/v1"}, "not an address such as"),
        ({"endpoint": "https://host:port/v1"}, "not an address such as"),
        ({"endpoint": f"https://{'a' * 64}/v1"}, "not an address such as"),
        ({"endpoint": "https://[::1/v1"}, "not an address such as"),
        ({"endpoint": f"https://{KEY}@host/v1"}, "no user, password, query or fragment"),
        ({"endpoint": f"https://host/v1?key={KEY}"}, "no user, password, query or fragment"),
        ({"endpoint": "https://host/v1/chat/completions"}, "must end before /chat/completions"),
        ({"api_key_variable": KEY}, "not hold the key itself"),
        ({"api_key_variable": "gsk_abcdEFGH"}, "not hold the key itself"),
        ({"requests_per_minute": 0}, "must be positive"),
        ({"concurrent": 0}, "must be positive"),
        ({"attempts": 0}, "must be positive"),
        ({"max_tokens": 0}, "must be positive"),
        ({"temperature": -0.1}, "temperature must lie between 0 and 2"),
        ({"temperature": 2.5}, "temperature must lie between 0 and 2"),
        ({"timeout_seconds": 0.0}, "timeout_seconds must"),
        ({"timeout_seconds": 1e9}, "timeout_seconds must"),
    ],
)
def test_a_judge_that_cannot_work_is_refused_with_the_section(changes, said) -> None:
    section = {
        **{"endpoint": "https://host/v1", "model": "m", "api_key_variable": "KEY", "requests_per_minute": 60},
        **{"concurrent": 4, "attempts": 5, "timeout_seconds": 60, "temperature": None, "max_tokens": None},
    }
    assert parse_section(JudgeParams, section, "judge").model == "m"
    with pytest.raises(ParamsError, match=said) as error:
        parse_section(JudgeParams, {**section, **changes}, "params.yaml: judge")
    assert str(error.value).startswith("params.yaml: judge: ")
    assert KEY not in str(error.value)


# --- grades ---


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        ("[[5]]", 5),
        ("Grade: [[ 0 ]]", 0),
        ("[[4.25]] and once more: [[4.25]]", 4.25),
        ("[[3]], no, [[4]]", None),
        ("[[5.1]]", None),
        ("[[-1]]", None),
        ("[[4/5]]", None),
        ("[[four]]", None),
        ("[4]", None),
        ("4", None),
        ("", None),
        (None, None),
        (f"[[{'9' * 400}]]", None),
    ],
)
def test_a_grade_is_read_from_double_brackets_and_never_guessed(answer, grade) -> None:
    assert read_grade(answer, 0, 5) == grade
