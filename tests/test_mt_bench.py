"""MT-bench: its files, its conversation in two turns, what the judge reads, and how grades become one number."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from judge_server import JudgeServer, Received, Reply, fail, say, serve_judge

from corpus.errors import DataError, NotAssessedError
from training import mt_bench_answers
from training.evaluation_params import EvaluationParams, MtBenchParams
from training.judge import Judge
from training.judge_params import JudgeParams
from training.mt_bench import GradedTurn, grade_answers, grading_prompt, grading_requests, summarise_grades
from training.mt_bench_answers import AnsweredQuestion, answer_questions
from training.mt_bench_questions import Question, read_questions

PARAMS = EvaluationParams(batch_rows=2, mt_bench=MtBenchParams(max_new_tokens=8))

# Rows as FastChat's question.jsonl and reference_answer/gpt-4.jsonl have them.
ROWS: list[dict[str, Any]] = [
    {"question_id": 81, "category": "writing", "turns": ["Write of the sea.", "Now in one line."]},
    {
        "question_id": 101,
        "category": "reasoning",
        "turns": ["Who is second?", "And last?"],
        "reference": ["You.", "I."],
    },
    {"question_id": 111, "category": "math", "turns": ["What is 2 + 2?", "Doubled?"]},
    {
        "question_id": 151,
        "category": "humanities",
        "turns": ["Why did Rome fall?", "Says who?"],
        "reference": ["-", "-"],
    },
]
REFERENCES: list[dict[str, Any]] = [
    {"question_id": 111, "answer_id": "x", "model_id": "gpt-4", "choices": [{"index": 0, "turns": ["4", "8"]}]}
]
QUESTIONS = (
    Question(81, "writing", ("Write of the sea.", "Now in one line.")),
    Question(101, "reasoning", ("Who is second?", "And last?"), ("You.", "I.")),
    Question(111, "math", ("What is 2 + 2?", "Doubled?"), ("4", "8")),
    Question(151, "humanities", ("Why did Rome fall?", "Says who?")),
)


def write_lines(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- files ---


def test_questions_are_read_with_references_where_a_judge_needs_them(tmp_path: Path) -> None:
    questions = write_lines(tmp_path / "question.jsonl", *ROWS)
    references = write_lines(tmp_path / "gpt-4.jsonl", *REFERENCES)
    assert read_questions(questions, references) == QUESTIONS
    both = [*REFERENCES, {**REFERENCES[0], "question_id": 101, "choices": [{"turns": ["He.", "She."]}]}]
    assert read_questions(questions, write_lines(references, *both))[1].reference == ("He.", "She.")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"question_id": 1, "category": "math", "turns": ["a", "b"]}, r"line 2: question 1 \(math\) has no reference"),
        ({"question_id": 81, "category": "stem", "turns": ["a", "b"]}, "line 2: question 81 comes twice"),
        ({"question_id": 1, "category": "stem", "turns": ["a"]}, "line 2: turns: expected a list of 2 texts"),
        ({"question_id": 1, "category": "stem", "turns": ["a", 2]}, "line 2: turns: expected a list of 2 texts"),
        ({"question_id": 1, "category": "stem"}, "line 2: turns: expected a list of 2 texts"),
        ({"question_id": 1, "category": "math", "turns": ["a", "b"], "reference": "c"}, "line 2: reference: expected"),
        ({"question_id": 1, "turns": ["a", "b"]}, "line 2: question 1 has no category"),
        ({"question_id": True, "category": "stem", "turns": ["a", "b"]}, "line 2: has no question_id"),
        ({"messages": []}, "line 2: has no question_id"),
    ],
)
def test_a_question_that_is_none_is_named_by_its_line(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    path = write_lines(tmp_path / "question.jsonl", ROWS[0], row)
    with pytest.raises(DataError, match=rf"question\.jsonl, {said}"):
        read_questions(path)


@pytest.mark.parametrize("choices", [None, [], ["text"], [{"turns": ["a"]}], [{}]])
def test_references_that_are_no_answers_are_named_by_their_line(tmp_path: Path, choices: object) -> None:
    questions = write_lines(tmp_path / "question.jsonl", *ROWS)
    references = write_lines(tmp_path / "gpt-4.jsonl", {"question_id": 111, "choices": choices})
    with pytest.raises(DataError, match=r"gpt-4\.jsonl, line 1: choices\[0\]\.turns: expected a list of 2 texts"):
        read_questions(questions, references)


# --- answers ---


def test_the_second_turn_is_asked_after_the_first_answer(
    base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    original = mt_bench_answers.generate_answers

    def watch(model, tokenizer, requests, *rest):
        asked.extend(requests)
        return original(model, tokenizer, requests, *rest)

    monkeypatch.setattr(mt_bench_answers, "generate_answers", watch)
    answers = answer_questions(base_folder, QUESTIONS, PARAMS, tmp_path / "answers.jsonl")
    conversations = {tuple((m.role, m.content) for m in request.messages): request.temperature for request in asked}
    expected = {}
    for question, answer in zip(QUESTIONS, answers, strict=True):
        first = (("user", question.turns[0]),)
        temperature = {"writing": 0.7, "reasoning": 0.0, "math": 0.0, "humanities": 0.1}[question.category]
        expected[first] = temperature
        expected[(*first, ("assistant", answer.turns[0]), ("user", question.turns[1]))] = temperature
    assert conversations == expected


def test_answers_are_kept_in_fastchat_s_form_and_serve_again(base_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "results" / "answers.jsonl"
    steps: list[tuple[int, int]] = []
    answers = answer_questions(base_folder, QUESTIONS, PARAMS, path, lambda done, total: steps.append((done, total)))
    assert steps == [(0, 4), (2, 4), (4, 4)]
    rows = read_lines(path)
    assert [row["question_id"] for row in rows] == [81, 101, 111, 151]
    assert [tuple(row["choices"][0]["turns"]) for row in rows] == [answer.turns for answer in answers]
    assert {row["model_id"] for row in rows} == {"base"}
    marked = [{**row, "choices": [{"index": 0, "turns": ["kept", "too"]}]} for row in rows]
    write_lines(path, *marked)
    assert {answer.turns for answer in answer_questions(base_folder, QUESTIONS, PARAMS, path)} == {("kept", "too")}


def test_an_interrupted_run_goes_on_and_ends_with_the_answers_of_an_unbroken_one(
    base_folder: Path, tmp_path: Path
) -> None:
    whole = answer_questions(base_folder, QUESTIONS, PARAMS, tmp_path / "whole.jsonl")

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer_questions(base_folder, QUESTIONS, PARAMS, tmp_path / "broken.jsonl", stop)
    assert len(read_lines(tmp_path / "broken.jsonl")) == 2
    one_by_one = replace(PARAMS, batch_rows=1)
    assert answer_questions(base_folder, QUESTIONS, one_by_one, tmp_path / "broken.jsonl") == whole
    assert (tmp_path / "broken.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_another_model_seed_or_length_is_answered_anew(base_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    answer_questions(base_folder, QUESTIONS[:1], PARAMS, path)
    seen = [read_lines(path)[0]["answer_id"]]
    other = shutil.copytree(base_folder, tmp_path / "base")
    (other / "README.md").write_text("another model")
    for folder, params in (
        (base_folder, replace(PARAMS, mt_bench=MtBenchParams(max_new_tokens=8, seed=1))),
        (base_folder, replace(PARAMS, mt_bench=MtBenchParams(max_new_tokens=9))),
        (other, PARAMS),
    ):
        answer_questions(folder, QUESTIONS[:1], params, path)
        (row,) = read_lines(path)
        seen.append(row["answer_id"])
    assert len(set(seen)) == 4


# --- what the judge reads ---


def answered(question: Question, first: str = "One.", second: str = "Two.", cut_turns: int = 0) -> AnsweredQuestion:
    return AnsweredQuestion(question, (first, second), cut_turns)


def part(prompt: str, tag: str) -> str:
    (found,) = re.findall(rf"<{tag}>\n(.*)\n</{tag}>", prompt, re.DOTALL)
    return str(found)


def test_the_first_turn_is_graded_without_the_second() -> None:
    prompt = grading_prompt(answered(QUESTIONS[2]), 1)
    assert part(prompt, "conversation") == "user: What is 2 + 2?"
    assert part(prompt, "reference") == "answer 1: 4"
    assert part(prompt, "answer") == "One."
    assert "Two." not in prompt and "Doubled?" not in prompt and "8" not in prompt


def test_the_second_turn_is_graded_with_all_that_went_before_it() -> None:
    prompt = grading_prompt(answered(QUESTIONS[2]), 2)
    assert part(prompt, "conversation") == "user: What is 2 + 2?\n\nassistant: One.\n\nuser: Doubled?"
    assert part(prompt, "reference") == "answer 1: 4\n\nanswer 2: 8"
    assert part(prompt, "answer") == "Two."
    assert "second message only" in prompt


def test_an_empty_reference_is_none_at_all() -> None:
    # Questions 103, 108 and 110 of FastChat's question.jsonl are like the first one.
    first_only = Question(103, "reasoning", ("Why go there?", "Explain."), ("He works there.", ""))
    assert part(grading_prompt(answered(first_only), 2), "reference") == "answer 1: He works there."
    second_only = replace(first_only, reference=("", "A pun."))
    assert "reference" not in grading_prompt(answered(second_only), 1).lower()
    assert part(grading_prompt(answered(second_only), 2), "reference") == "answer 2: A pun."


def test_without_a_reference_none_is_spoken_of_and_the_only_grade_is_the_example() -> None:
    for question in QUESTIONS:
        for turn in (1, 2):
            prompt = grading_prompt(answered(question), turn)
            assert ("reference" in prompt.lower()) == bool(question.reference)
            assert re.findall(r"\[\[.*?\]\]", prompt) == ["[[4]]"]


# --- grades ---


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Judge, JudgeServer]]]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with ExitStack() as servers:

        def begin(respond: Callable[[Received], Reply]) -> tuple[Judge, JudgeServer]:
            server = servers.enter_context(serve_judge(respond))
            params = JudgeParams(server.endpoint, "grader", requests_per_minute=6_000_000, attempts=1, concurrent=1)
            return Judge(params, tmp_path / "judgments.jsonl"), server

        yield begin


def test_z_is_the_plain_mean_of_all_readable_grades(start) -> None:
    words = {"a": "[[9]]", "b": "[[6]]", "c": "Grade: [[2.5]]", "d": "No idea.", "e": "[[11]]", "f": "[[7]]"}
    judge, server = start(lambda request: say(words[part(request.text, "answer")]))
    answers = [
        answered(QUESTIONS[0], "a", "b", cut_turns=1),
        answered(QUESTIONS[1], "c", "d", cut_turns=2),
        answered(QUESTIONS[2], "e", "f"),
    ]
    assert judge.estimate(grading_requests(answers)).requests == 6
    graded = grade_answers(answers, judge)
    assert graded[3] == GradedTurn(101, "reasoning", 2, "No idea.", None)
    assert [turn.grade for turn in graded] == [9, 6, 2.5, None, None, 7]
    result = summarise_grades("sft", "grader", answers, graded)
    assert result.z == pytest.approx((9 + 6 + 2.5 + 7) / 4)
    assert (result.first_turn, result.second_turn) == (pytest.approx(11.5 / 2), pytest.approx(13 / 2))
    assert result.categories == {"writing": 7.5, "reasoning": 2.5, "math": 7.0}
    # The questions' means are 7.5, 2.5 and 7: mean 17 / 3, sum of squared distances 91 / 6.
    assert result.standard_error == pytest.approx((91 / 6 / 2 / 3) ** 0.5)
    assert (result.questions, result.graded, result.unreadable, result.cut_turns) == (3, 4, 2, 3)
    assert len(server.received) == 6


def test_the_grades_of_one_question_have_no_standard_error_and_a_turn_may_have_no_mean() -> None:
    graded = [GradedTurn(1, "stem", 1, "[[3]]", 3.0), GradedTurn(1, "stem", 2, "", None)]
    result = summarise_grades("sft", "grader", [answered(QUESTIONS[0])], graded)
    assert (result.z, result.standard_error, result.first_turn, result.second_turn) == (3.0, None, 3.0, None)


def test_a_request_that_the_judge_refuses_is_an_unreadable_grade(start) -> None:
    def respond(request: Received) -> Reply:
        return fail(400, "content policy") if part(request.text, "answer") == "rude" else say("[[5]]")

    judge, _ = start(respond)
    answers = [answered(QUESTIONS[0], "rude", "kind")]
    result = summarise_grades("sft", "grader", answers, grade_answers(answers, judge))
    assert (result.z, result.unreadable) == (5.0, 1)


def test_without_one_grade_nothing_is_scored() -> None:
    with pytest.raises(NotAssessedError, match=r"none of 1 judgments holds a grade"):
        summarise_grades("sft", "grader", [answered(QUESTIONS[0])], [GradedTurn(81, "writing", 1, "Fine.", None)])


@pytest.mark.parametrize("changes", [{"max_new_tokens": 0}, {"seed": -1}])
def test_settings_that_answer_nothing_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        MtBenchParams(**changes)
