"""The stage `evaluate`: performance Z of the trained models, on held-out data and on the benchmarks that are set."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entropylaw.options import AsJson, Out
from entropylaw.repository import layout

if TYPE_CHECKING:
    from training.evaluation_params import EvaluationParams
    from training.judge import Judge
    from training.judge_params import JudgeParams
    from training.mt_bench import MtBenchResult
    from training.mt_bench_questions import Question

# Names of Z in results/evaluation.json and in the history; held-out is the law's (monitor.assess.HELDOUT).
MT_BENCH_Z = "mt_bench"
LM_EVAL_Z = "lm_eval/"


def evaluate(
    data: Annotated[Path, typer.Argument(help="Held-out conversations.", show_default=False)] = layout.HELDOUT,
    model: Annotated[
        list[Path] | None,
        typer.Option(help="Model folders, the released one last; by default what the pipeline trained."),
    ] = None,
    out: Out = None,
    json: AsJson = False,
) -> None:
    """Z: minus the mean loss on held-out conversations, of every trained model; the last one's is the version's.

    The last model is also scored by MT-bench and by lm-eval where params.yaml sets evaluation.mt_bench.questions and
    evaluation.lm_eval.tasks. For MT-bench the judge is sent the questions and the model's answers; both come to
    results/mt_bench/, with its judgments, and none of them is asked for twice.

    Example: entropylaw evaluate data/heldout.jsonl --model models/sft --json
    """
    from corpus.artifacts import read_json, write_json
    from corpus.errors import EntropylawError, NotAssessedError
    from corpus.params import read_section
    from entropylaw.repository.results import read_datasets
    from entropylaw.repository.rows import load_rows
    from entropylaw.terminal import print_result
    from monitor.assess import HELDOUT
    from training.device_memory import explain_full_memory
    from training.evaluation_params import EvaluationParams
    from training.fine_tuning import quiet_libraries
    from training.heldout import evaluate_heldout
    from training.judge import Judge
    from training.judge_params import JudgeParams
    from training.lm_eval_tasks import open_tasks, score_tasks
    from training.mt_bench_questions import read_questions

    folders = model or [layout.trained_model(dataset) for dataset in read_datasets()]
    for folder in folders:
        if not folder.is_dir():
            raise EntropylawError(f"{folder}: no model there; run `dvc repro` or name one with --model")
    # Results and answers are kept by the folder's name, which `.` does not tell.
    folders = [folder if folder.name not in ("", "..") else folder.resolve() for folder in folders]
    if len({folder.name for folder in folders}) < len(folders):
        raise EntropylawError("two of the model folders have the same name; evaluate them one at a time")
    released = folders[-1]
    params = read_section(EvaluationParams, "evaluation")
    # Whatever a benchmark lacks is said before the first model is loaded.
    questions: tuple[Question, ...] = ()
    if params.mt_bench.questions is not None:
        judge_params = read_section(JudgeParams, "judge")
        judge = Judge(judge_params, layout.JUDGMENTS)
        questions = read_questions(params.mt_bench.questions, params.mt_bench.references)
    tasks = open_tasks(params.lm_eval) if params.lm_eval.tasks else None
    records = [record for record, _ in load_rows(data)]
    quiet_libraries()
    with explain_full_memory("evaluate", f"evaluation.batch_rows (now {params.batch_rows})"):
        results = {folder.name: evaluate_heldout(folder, records, params) for folder in folders}
        for folder in folders:
            if not math.isfinite(results[folder.name].loss_nats):
                raise NotAssessedError(
                    f"{folder}: the model's held-out loss is not a number; lower the learning rate and train it again"
                )
        mt_bench = run_mt_bench(released, questions, params, judge, judge_params) if questions else None
        scores = score_tasks(released, tasks, params.lm_eval, params.batch_rows) if tasks is not None else {}
    z = {HELDOUT: results[released.name].z}
    if mt_bench is not None:
        z[MT_BENCH_Z] = mt_bench.z
    z |= {f"{LM_EVAL_Z}{name}": score.z for name, score in scores.items()}
    document: dict[str, Any] = {
        # Which data the models were approved on, so that a Z is never booked on another version.
        "data_hash": read_json(layout.APPROVAL)["data_hash"] if model is None and layout.APPROVAL.exists() else None,
        "z": z,
        "models": results,
        **({"mt_bench": mt_bench} if mt_bench is not None else {}),
        **({"lm_eval": scores} if scores else {}),
    }
    if out:
        write_json(out, document)
    lines = [
        f"{name}: Z {result.z:.4f} ({result.loss_nats:.4f} nats per token, {result.bits_per_byte:.4f} bits per byte "
        f"on {result.rows} held-out rows)"
        for name, result in results.items()
    ]
    if mt_bench is not None:
        lines.append(
            f"{mt_bench.model}: MT-bench {mt_bench.z:.2f}{_plus_minus(mt_bench.standard_error)} by {mt_bench.judge} "
            f"({mt_bench.graded} grades, {mt_bench.unreadable} unreadable, {mt_bench.cut_turns} answers cut)"
        )
    lines += [
        f"{released.name}: {name} {score.value:.4f}{_plus_minus(score.standard_error)} ({score.metric})"
        for name, score in scores.items()
    ]
    print_result(document, json, lines)


def run_mt_bench(
    folder: Path, questions: tuple[Question, ...], params: EvaluationParams, judge: Judge, judge_params: JudgeParams
) -> MtBenchResult:
    """Answers, then grades; both are written below results/mt_bench/ in the folders and formats of FastChat."""
    from corpus.files import write_rows
    from entropylaw.terminal import show_progress
    from training.mt_bench import grade_answers, grading_requests, summarise_grades, to_judgment_row
    from training.mt_bench_answers import answer_questions

    name, grader = folder.name, str(judge_params.model)
    with show_progress(f"{name}: MT-bench answers") as progress:
        answers = answer_questions(
            folder, questions, params, layout.MT_BENCH / "model_answer" / f"{name}.jsonl", progress
        )
    sys.stderr.write(
        f"MT-bench: {judge.estimate(grading_requests(answers))}; the questions and the answers of {name} go to "
        f"{judge_params.endpoint}\n"
    )
    with show_progress(f"{name}: MT-bench grades") as progress:
        graded = grade_answers(answers, judge, progress)
    judgments = layout.MT_BENCH / "model_judgment" / f"{name}.jsonl"
    write_rows(judgments, (to_judgment_row(turn, name, grader) for turn in graded))
    return summarise_grades(name, grader, answers, graded)


def _plus_minus(standard_error: float | None) -> str:
    return "" if standard_error is None else f" ± {standard_error:.2g}"
