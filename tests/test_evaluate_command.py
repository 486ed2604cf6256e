"""`entropylaw evaluate` from the outside: Z of each benchmark, what is kept when a judge fails, no key anywhere."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from judge_server import JudgeServer, Received, Reply, fail, say, serve_judge
from ruamel.yaml import YAML
from typer.testing import CliRunner

from corpus.errors import EntropylawError
from corpus.params import read_params
from corpus.records import HashedRecord
from entropylaw.cli import app
from entropylaw.repository.shipped_files import shipped_text
from training.device_memory import explain_full_memory
from training.evaluation_params import EvaluationParams, LmEvalParams
from training.heldout import evaluate_heldout
from training.model_loading import load_pretrained

Rows = list[HashedRecord]
Run = Callable[..., Result]

KEY = "sk-0123456789-very-secret"
EVALUATION = {"rows": 12, "max_length": 96, "batch_rows": 4}
QUESTIONS = [
    {"question_id": 81, "category": "writing", "turns": ["Write of the sea.", "Now in one line."]},
    {
        "question_id": 101,
        "category": "reasoning",
        "turns": ["Who is second?", "And last?"],
        "reference": ["You.", "I."],
    },
    {"question_id": 151, "category": "humanities", "turns": ["Why did Rome fall?", "Says who?"]},
]
needs_lm_eval = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None, reason='lm-eval is not installed: pip install "entropylaw[eval]"'
)


def write_lines(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def run(in_tmp_path: Path, chats: Rows, base_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in a folder with the shipped params.yaml, changed section by section, and a held-out file."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("no_proxy", "*")
    messages = [[vars_of(message) for message in record.messages] for record, _ in chats[900:915]]
    write_lines(Path("data/heldout.jsonl"), *[{"messages": row} for row in messages])
    write_lines(Path("question.jsonl"), *QUESTIONS)
    Path("shipped.yaml").write_text(shipped_text("params.yaml"), encoding="utf-8")

    def call(*arguments: object, **sections: dict[str, Any]) -> Result:
        params = read_params("shipped.yaml")
        for name, values in {"evaluation": EVALUATION, **sections}.items():
            params[name].update(values)
        Path("params.yaml").write_text(json.dumps(params), encoding="utf-8")
        words = ["evaluate", "--model", base_folder, "--out", "results/evaluation.json", *arguments]
        return CliRunner().invoke(app, [str(word) for word in words])

    return call


def vars_of(message: Any) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Received], Reply]], JudgeServer]]:
    with ExitStack() as servers:
        yield lambda respond: servers.enter_context(serve_judge(respond))


MT_BENCH = {"questions": "question.jsonl", "references": None, "max_new_tokens": 6, "seed": 0}


def with_mt_bench(server: JudgeServer, **judge: Any) -> dict[str, dict[str, Any]]:
    settings = {"endpoint": server.endpoint, "model": "grader", "requests_per_minute": 6_000_000, "attempts": 1}
    return {"evaluation": {**EVALUATION, "mt_bench": MT_BENCH}, "judge": {**settings, "concurrent": 1, **judge}}


def grade_by_turn(request: Received) -> Reply:
    """9 for a first turn, 4 for a second one."""
    return say("Well. Grade: [[4]]" if "second message only" in request.text else "Well. Grade: [[9]]")


def evaluation() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Path("results/evaluation.json").read_text())
    return document


def assert_no_file_holds_the_key(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path


# --- held-out ---


def test_without_benchmarks_z_is_that_of_the_held_out_rows_alone(run: Run, chats: Rows, base_folder: Path) -> None:
    result = run()
    assert result.exit_code == 0, result.output
    params = EvaluationParams(**EVALUATION)
    expected = evaluate_heldout(base_folder, [record for record, _ in chats[900:915]], params)
    document = evaluation()
    assert document["z"] == {"heldout": pytest.approx(expected.z)}
    assert document["models"]["base"]["bits_per_byte"] == pytest.approx(expected.bits_per_byte)
    assert set(document) == {"data_hash", "z", "models"}
    assert f"{expected.bits_per_byte:.4f} bits per byte" in result.stdout
    assert not Path("results/mt_bench").exists() and not Path(".entropylaw").exists()


def test_where_rows_are_of_several_sources_each_has_its_z(run: Run, chats: Rows) -> None:
    rows = [{"messages": [vars_of(m) for m in record.messages]} for record, _ in chats[900:915]]
    assert run().exit_code == 0
    alone = evaluation()
    assert "sources" not in alone["models"]["base"]
    write_lines(Path("data/heldout.jsonl"), *[row | {"source": "ab"[i % 2]} for i, row in enumerate(rows)])
    result = run()
    assert result.exit_code == 0, result.output
    document = evaluation()
    sources = document["models"]["base"].pop("sources")
    assert document == alone
    assert {name: score["rows"] for name, score in sources.items()} == {"a": 6, "b": 6}  # the first 12 rows count
    assert f"base: source 'b': Z {sources['b']['z']:.4f} on 6 held-out rows" in result.stdout


def test_full_memory_is_told_as_the_setting_to_lower() -> None:
    import torch

    for error, where in (
        (torch.OutOfMemoryError("CUDA out of memory"), "GPU memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "memory"),
        (RuntimeError("CUDA error: out of memory"), "GPU memory"),
    ):
        said = f"evaluate: out of {where}; lower evaluation.batch_rows"
        with pytest.raises(EntropylawError, match=said), explain_full_memory("evaluate", "evaluation.batch_rows"):
            raise error
    with pytest.raises(RuntimeError, match="shapes"), explain_full_memory("evaluate", "evaluation.batch_rows"):
        raise RuntimeError("shapes do not fit")


def test_two_models_of_one_name_are_refused_and_a_folder_is_known_by_its_own_name(
    run: Run, base_folder: Path, in_tmp_path: Path
) -> None:
    other = in_tmp_path / "other" / base_folder.name
    other.mkdir(parents=True)
    result = run("--model", other)
    assert result.exit_code == 2 and "two of the model folders have the same name" in result.stderr
    shutil.copytree(base_folder, in_tmp_path, dirs_exist_ok=True)
    words = ["evaluate", "data/heldout.jsonl", "--model", ".", "--out", "results/evaluation.json"]
    Path("params.yaml").unlink()
    assert CliRunner().invoke(app, words).exit_code == 0
    assert list(evaluation()["models"]) == [in_tmp_path.name]


def test_a_model_whose_loss_is_not_a_number_has_no_z(
    run: Run, base_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = load_pretrained(str(base_folder))
    model.get_input_embeddings().weight.data.fill_(float("nan"))
    monkeypatch.setattr("training.heldout.load_pretrained", lambda name: (model, tokenizer))
    result = run()
    assert result.exit_code == 3 and "held-out loss is not a number" in result.stderr
    assert not Path("results/evaluation.json").exists()


def test_the_stage_runs_again_for_whatever_changes_a_judge_s_answer() -> None:
    stage = YAML(typ="safe").load(shipped_text("dvc.yaml"))["stages"]["evaluate"]
    assert {"evaluation", "judge.model", "judge.temperature", "judge.max_tokens"} == set(stage["params"])


# --- MT-bench ---


def test_mt_bench_is_answered_graded_and_kept(run: Run, serve, in_tmp_path: Path) -> None:
    server = serve(grade_by_turn)
    result = run(**with_mt_bench(server))
    assert result.exit_code == 0, result.output
    document = evaluation()
    assert list(document["z"]) == ["heldout", "mt_bench"]
    assert document["z"]["mt_bench"] == document["mt_bench"]["z"] == 6.5
    assert (document["mt_bench"]["first_turn"], document["mt_bench"]["second_turn"]) == (9, 4)
    assert document["mt_bench"]["judge"] == "grader"
    assert "base: MT-bench 6.50 ± 0 by grader (6 grades, 0 unreadable" in result.stdout
    assert "6 requests to make, 0 answers kept from before" in result.stderr
    assert len(server.received) == 6
    answers = read_lines(Path("results/mt_bench/model_answer/base.jsonl"))
    assert [row["question_id"] for row in answers] == [81, 101, 151]
    judgments = read_lines(Path("results/mt_bench/model_judgment/base.jsonl"))
    assert [(row["question_id"], row["turn"], row["score"]) for row in judgments] == [
        (question, turn, score) for question in (81, 101, 151) for turn, score in ((1, 9.0), (2, 4.0))
    ]
    # The answers that were graded are those in the file.
    sent = "".join(server.asked())
    assert all(turn in sent for row in answers for turn in row["choices"][0]["turns"])
    before = Path("results/evaluation.json").read_bytes()
    again = run(**with_mt_bench(server))
    assert (again.exit_code, len(server.received)) == (0, 6)
    assert "0 requests to make, 6 answers kept" in again.stderr
    assert Path("results/evaluation.json").read_bytes() == before
    assert_no_file_holds_the_key(in_tmp_path)


def test_a_judge_that_goes_down_is_one_line_and_the_next_run_goes_on(run: Run, serve, in_tmp_path: Path) -> None:
    server = serve(lambda request: grade_by_turn(request) if len(server.received) <= 2 else fail(503, "overloaded"))
    result = run(**with_mt_bench(server))
    assert result.exit_code == 3, result.output
    message = result.stderr.splitlines()[-1]
    assert message.startswith("entropylaw: judge ") and "HTTP 503" in message and "run again" in message
    assert "Traceback" not in result.stderr and not Path("results/evaluation.json").exists()
    assert len(read_lines(Path(".entropylaw/judgments.jsonl"))) == 2
    answers = Path("results/mt_bench/model_answer/base.jsonl").read_bytes()
    server.respond, before = grade_by_turn, len(server.received)
    result = run(**with_mt_bench(server))
    assert result.exit_code == 0, result.output
    assert len(server.received) - before == 4 and evaluation()["z"]["mt_bench"] == 6.5
    assert Path("results/mt_bench/model_answer/base.jsonl").read_bytes() == answers
    assert_no_file_holds_the_key(in_tmp_path)


def test_a_wrong_key_is_one_line_without_the_key(run: Run, serve, in_tmp_path: Path) -> None:
    server = serve(lambda request: fail(401, f"Incorrect API key provided: {request.headers['Authorization']}"))
    result = run(**with_mt_bench(server))
    assert result.exit_code == 2
    message = result.stderr.splitlines()[-1]
    assert message.startswith("entropylaw: judge ") and "OPENAI_API_KEY" in message
    assert KEY not in result.output + result.stderr and "Traceback" not in result.stderr
    assert_no_file_holds_the_key(in_tmp_path)


def test_unreadable_grades_are_counted_and_none_at_all_is_not_assessed(run: Run, serve) -> None:
    server = serve(lambda request: say("[[7]]") if "Rome" in request.text else say("I cannot say."))
    result = run(**with_mt_bench(server))
    assert result.exit_code == 0, result.output
    assert (evaluation()["mt_bench"]["unreadable"], evaluation()["z"]["mt_bench"]) == (4, 7)
    scores = [row["score"] for row in read_lines(Path("results/mt_bench/model_judgment/base.jsonl"))]
    assert scores == [-1, -1, -1, -1, 7, 7]
    server.respond = lambda request: say("I cannot say.")
    result = run(**with_mt_bench(server, model="another"))
    assert result.exit_code == 3 and "none of 6 judgments holds a grade" in result.stderr
    # They were paid for, and tell what went wrong.
    assert {row["judge"][0] for row in read_lines(Path("results/mt_bench/model_judgment/base.jsonl"))} == {"another"}


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"evaluation": {"mt_bench": MT_BENCH}},
         "no judge is configured: set judge.endpoint and judge.model"),
        ({"evaluation": {"mt_bench": {**MT_BENCH, "questions": "gone.jsonl"}},
          "judge": {"endpoint": "http://127.0.0.1:9/v1", "model": "grader"}}, "gone.jsonl: no such file"),
        ({"evaluation": {"mt_bench": {"questions": None}}}, "evaluation.mt_bench.references: missing key"),
        ({"evaluation": {"lm_eval": {"tasks": ["a", "a"], "include_path": None, "limit": None, "few_shots": None}}},
         "evaluation.lm_eval: tasks must name each task once"),
    ],
)  # fmt: skip
def test_what_a_benchmark_lacks_is_said_before_any_model_is_loaded(
    run: Run, monkeypatch: pytest.MonkeyPatch, sections: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr("training.heldout.load_pretrained", None)
    result = run(**sections)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert said in result.stderr


# --- lm-eval ---

LM_EVAL = {"tasks": ["closing"], "include_path": "tasks", "limit": None, "few_shots": None}
CLOSINGS = [
    {"before": "How are you", "good": "today?", "bad": "zxq"},
    {"before": "I am fine and you", "good": "?", "bad": "qqqqq"},
    {"before": "Thank", "good": "you", "bad": "\u0416\u0416"},
    {"before": "What is your", "good": "qzqzqz", "bad": "name"},
]
TASK = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: tasks/closing.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{before}}}}"
doc_to_choice: "{{{{[good, bad]}}}}"
doc_to_target: 0
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: {higher}}}]
"""


def test_without_lm_eval_it_is_said_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "lm_eval"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    result = run(evaluation={**EVALUATION, "lm_eval": {**LM_EVAL, "include_path": None}})
    assert result.exit_code == 2 and 'pip install "entropylaw[eval]"' in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("changes", [{"limit": 0}, {"few_shots": -1}, {"tasks": ("a", "a")}])
def test_settings_that_score_nothing_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        LmEvalParams(**changes)


@pytest.fixture
def tasks(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two task files of one's own over one file of questions; one counts less as better."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(in_tmp_path / "cache"))
    folder = in_tmp_path / "tasks"
    write_lines(folder / "closing.jsonl", *CLOSINGS)
    (folder / "closing.yaml").write_text(TASK.format(name="closing", higher="true"))
    (folder / "losing.yaml").write_text(TASK.format(name="losing", higher="false"))
    return folder


def log_likelihood(folder: Path, before: str, choice: str) -> float:
    """Of the choice after the text and a space, by one forward pass."""
    import torch

    model, tokenizer = load_pretrained(str(folder))
    given = len(tokenizer(before)["input_ids"])
    ids = torch.tensor([tokenizer(f"{before} {choice}")["input_ids"]])
    with torch.inference_mode():
        log_shares = model(input_ids=ids).logits[0, :-1].log_softmax(dim=-1)
    return float(log_shares[range(given - 1, ids.shape[1] - 1), ids[0, given:]].sum())


@needs_lm_eval
@pytest.mark.filterwarnings("default")
def test_tasks_of_one_s_own_become_z_with_a_standard_error(run: Run, tasks: Path, base_folder: Path) -> None:
    result = run(evaluation={**EVALUATION, "lm_eval": {**LM_EVAL, "tasks": ["closing", "losing"]}})
    assert result.exit_code == 0, result.output
    document = evaluation()
    score = document["lm_eval"]["closing"]
    right = [
        log_likelihood(base_folder, row["before"], row["good"]) > log_likelihood(base_folder, row["before"], row["bad"])
        for row in CLOSINGS
    ]
    share = sum(right) / 4
    assert 0 < share < 1
    assert score["value"] == document["z"]["lm_eval/closing"] == share
    assert score["standard_error"] == pytest.approx((share * (1 - share) / 3) ** 0.5)
    assert (score["metric"], score["documents"]) == ("acc,none", 4)
    assert document["z"]["lm_eval/losing"] == -share
    assert f"base: closing {share:.4f} ± {score['standard_error']:.2g} (acc,none)" in result.stdout


@needs_lm_eval
@pytest.mark.filterwarnings("default")
def test_an_unknown_task_is_one_line(run: Run, tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Reading all of lm-eval's own tasks takes a quarter of a minute; one of its folders will do.
    import lm_eval.tasks

    only_arc = Path(lm_eval.tasks.__file__).parent / "arc" / "__init__.py"
    monkeypatch.setattr("lm_eval.tasks.manager.__file__", str(only_arc))
    result = run(evaluation={**EVALUATION, "lm_eval": {**LM_EVAL, "tasks": ["opening", "arc_easy"]}})
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert "no task or group 'opening'" in result.stderr


@needs_lm_eval
@pytest.mark.filterwarnings("default")
def test_a_task_that_fails_is_one_line(run: Run, tasks: Path) -> None:
    result = run(evaluation={**EVALUATION, "lm_eval": {**LM_EVAL, "include_path": "elsewhere"}})
    assert result.exit_code == 2 and "include_path: elsewhere: no such folder" in result.stderr
    (tasks / "closing.jsonl").unlink()
    result = run(evaluation={**EVALUATION, "lm_eval": LM_EVAL})
    assert result.exit_code == 3 and "lm-eval could not score closing" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr and not Path("results/evaluation.json").exists()


@needs_lm_eval
@pytest.mark.filterwarnings("default")
def test_memory_that_runs_out_inside_lm_eval_names_the_setting_to_lower(
    run: Run, tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def fill_memory(*arguments: object, **options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("lm_eval.simple_evaluate", fill_memory)
    result = run(evaluation={**EVALUATION, "lm_eval": LM_EVAL})
    assert result.exit_code == 2
    assert "lm-eval: out of GPU memory; lower evaluation.batch_rows (now 4)" in result.stderr.splitlines()[-1]


@needs_lm_eval
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), "N/A"])
def test_a_task_without_a_finite_number_has_no_z(
    run: Run, tasks: Path, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    output = {"results": {"closing": {"alias": "closing", "word_perplexity,none": value}}}
    monkeypatch.setattr("lm_eval.simple_evaluate", lambda *arguments, **options: output)
    result = run(evaluation={**EVALUATION, "lm_eval": LM_EVAL})
    assert result.exit_code == 3 and "lm-eval reports no number for closing" in result.stderr.splitlines()[-1]
    assert not Path("results/evaluation.json").exists()
