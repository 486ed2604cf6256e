"""The command `evaluate`: performance Z of the trained models, on held-out data and on benchmarks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from entropylaw.options import AsJson, Out
from entropylaw.printing import note
from entropylaw.repository import layout
from entropylaw.run_elsewhere import run_elsewhere

if TYPE_CHECKING:
    from corpus.records import Record
    from training.evaluation_params import EvaluationParams
    from training.heldout import HeldoutResult
    from training.judge import Judge
    from training.judge_params import JudgeParams
    from training.lm_eval_tasks import TaskScore
    from training.mt_bench import MtBenchResult
    from training.mt_bench_questions import Question

# Names of Z in results/evaluation.json and in the history, beside monitor.rules.scored_versions.HELDOUT, which the law
# is fitted on.
MT_BENCH_Z = "mt_bench"
LM_EVAL_Z = "lm_eval/"


@dataclass(frozen=True)
class MtBench:
    """MT-bench as params.yaml sets it: the questions, and the judge that grades the answers."""

    questions: tuple[Question, ...]
    judge: Judge
    judge_params: JudgeParams


@dataclass(frozen=True)
class Benchmarks:
    """The benchmarks that params.yaml sets; None where it does not. ``tasks``: lm-eval's own object for its tasks."""

    mt_bench: MtBench | None
    tasks: Any | None


@dataclass(frozen=True)
class Scores:
    """All that was measured. ``heldout``: by model name; the benchmarks are of the model ``released``."""

    released: str
    heldout: dict[str, HeldoutResult]
    mt_bench: MtBenchResult | None
    lm_eval: dict[str, TaskScore]

    def document(self, data_hash: str | None) -> dict[str, Any]:
        """The content of results/evaluation.json. ``data_hash``: of the version that the models were approved on."""
        from monitor.rules.scored_versions import HELDOUT

        z = {HELDOUT: self.heldout[self.released].z}
        if self.mt_bench is not None:
            z[MT_BENCH_Z] = self.mt_bench.z
        z |= {f"{LM_EVAL_Z}{name}": score.z for name, score in self.lm_eval.items()}
        return {
            "data_hash": data_hash,
            "z": z,
            "models": {name: document_heldout(result) for name, result in self.heldout.items()},
            **({"mt_bench": self.mt_bench} if self.mt_bench is not None else {}),
            **({"lm_eval": self.lm_eval} if self.lm_eval else {}),
        }


def document_heldout(result: HeldoutResult) -> dict[str, Any]:
    """A model's result as results/evaluation.json has it: by source only where there are several."""
    found = vars(result)
    return found if result.sources else {key: value for key, value in found.items() if key != "sources"}


@run_elsewhere("evaluate")
def evaluate(
    data: Annotated[Path, typer.Argument(help="Held-out conversations.", show_default=False)] = layout.HELDOUT,
    model: Annotated[
        list[Path] | None,
        typer.Option(help="Model folders, the released one last; by default what the pipeline trained."),
    ] = None,
    out: Out = None,
    json: AsJson = False,
) -> None:
    """Measure Z of every trained model: minus its mean loss on held-out conversations. The last one's is the version's.

    The last model is also scored by MT-bench and by lm-eval where params.yaml sets evaluation.mt_bench.questions and
    evaluation.lm_eval.tasks. For MT-bench the judge is sent the questions and the model's answers; both come to
    results/mt_bench/, with its judgments, and none of them is asked for twice.

    Example: entropylaw evaluate data/heldout.jsonl --model models/sft --json
    """
    from corpus.artifacts import write_json
    from corpus.params import read_section
    from entropylaw.repository.rows import load_rows
    from entropylaw.terminal import print_result
    from training.evaluation_params import EvaluationParams

    folders = find_models(model)
    params = read_section(EvaluationParams, "evaluation")
    benchmarks = read_benchmarks(params)
    records = [record for record, _ in load_rows(data)]
    scores = score_models(folders, records, params, benchmarks)
    document = scores.document(None if model else read_approved_hash())
    if out:
        write_json(out, document)
    print_result(document, json, describe_scores(scores))


def find_models(named: list[Path] | None) -> list[Path]:
    """The model folders to evaluate, the released one last: those named, else what the pipeline trained.

    Raises EntropylawError when one is missing, and when two have the same name, by which their results are kept.
    """
    from corpus.errors import EntropylawError
    from entropylaw.repository.datasets import read_datasets

    folders = named or [layout.trained_model(dataset) for dataset in read_datasets()]
    for folder in folders:
        if not folder.is_dir():
            raise EntropylawError(f"{folder}: no model there; run `dvc repro` or name one with --model")
    # Results and answers are kept by the folder's name, which `.` does not tell.
    folders = [folder if folder.name not in ("", "..") else folder.resolve() for folder in folders]
    if len({folder.name for folder in folders}) < len(folders):
        raise EntropylawError("two of the model folders have the same name; evaluate them one at a time")
    return folders


def read_benchmarks(params: EvaluationParams) -> Benchmarks:
    """What the benchmarks of params.yaml need. Whatever they lack is said here, before the first model is loaded."""
    from corpus.params import read_section
    from training.judge import Judge
    from training.judge_params import JudgeParams
    from training.lm_eval_tasks import open_tasks
    from training.mt_bench_questions import read_questions

    mt_bench = None
    if params.mt_bench.questions is not None:
        judge_params = read_section(JudgeParams, "judge")
        judge = Judge(judge_params, layout.JUDGMENTS)
        questions = read_questions(params.mt_bench.questions, params.mt_bench.references)
        mt_bench = MtBench(questions, judge, judge_params)
    return Benchmarks(mt_bench, open_tasks(params.lm_eval) if params.lm_eval.tasks else None)


def score_models(
    folders: Sequence[Path], records: Sequence[Record], params: EvaluationParams, benchmarks: Benchmarks
) -> Scores:
    """Z of every model on the held-out ``records``, and of the last one on the benchmarks too.

    Raises NotAssessedError when a model's loss is not a number.
    """
    from corpus.errors import NotAssessedError
    from training.device_memory import explain_full_memory
    from training.fine_tuning import quiet_libraries
    from training.heldout import evaluate_heldout
    from training.lm_eval_tasks import score_tasks

    quiet_libraries()
    released, tasks = folders[-1], benchmarks.tasks
    with explain_full_memory("evaluate", f"evaluation.batch_rows (now {params.batch_rows})"):
        results = {folder.name: evaluate_heldout(folder, records, params) for folder in folders}
        for folder in folders:
            if not math.isfinite(results[folder.name].loss_nats):
                raise NotAssessedError(
                    f"{folder}: the model's held-out loss is not a number; lower the learning rate and train it again"
                )
        mt_bench = run_mt_bench(released, params, benchmarks.mt_bench) if benchmarks.mt_bench else None
        lm_eval = score_tasks(released, tasks, params.lm_eval, params.batch_rows) if tasks is not None else {}
    return Scores(released.name, results, mt_bench, lm_eval)


def read_approved_hash() -> str | None:
    """The data that the pipeline's models were approved on, so that a Z is never booked on another version."""
    from entropylaw.repository.results import load_approval

    return load_approval().data_hash if layout.APPROVAL.exists() else None


def describe_scores(scores: Scores) -> list[str]:
    """The scores for a person, a line for each model and each benchmark."""
    lines = []
    for name, result in scores.heldout.items():
        lines.append(
            f"{name}: Z {result.z:.4f} ({result.loss_nats:.4f} nats per token, {result.bits_per_byte:.4f} bits per "
            f"byte on {result.rows} held-out rows)"
        )
        lines += [
            f"{name}: source {source!r}: Z {score.z:.4f} on {score.rows} held-out rows"
            for source, score in result.sources.items()
        ]
    if (mt_bench := scores.mt_bench) is not None:
        lines.append(
            f"{mt_bench.model}: MT-bench {mt_bench.z:.2f}{_plus_minus(mt_bench.standard_error)} by {mt_bench.judge} "
            f"({mt_bench.graded} grades, {mt_bench.unreadable} unreadable, {mt_bench.cut_turns} answers cut)"
        )
    lines += [
        f"{scores.released}: {name} {score.value:.4f}{_plus_minus(score.standard_error)} ({score.metric})"
        for name, score in scores.lm_eval.items()
    ]
    return lines


def run_mt_bench(folder: Path, params: EvaluationParams, benchmark: MtBench) -> MtBenchResult:
    """Answers, then grades; both are written below results/mt_bench/ in the folders and formats of FastChat."""
    from corpus.files import write_rows
    from entropylaw.terminal import show_progress
    from training.mt_bench import grade_answers, grading_requests, summarise_grades, to_judgment_row
    from training.mt_bench_answers import answer_questions

    name, judge, grader = folder.name, benchmark.judge, str(benchmark.judge_params.model)
    with show_progress(f"{name}: MT-bench answers") as progress:
        answers = answer_questions(
            folder, benchmark.questions, params, layout.MT_BENCH / "model_answer" / f"{name}.jsonl", progress
        )
    note(
        f"MT-bench: {judge.estimate(grading_requests(answers))}; the questions and the answers of {name} go to "
        f"{benchmark.judge_params.endpoint}"
    )
    with show_progress(f"{name}: MT-bench grades") as progress:
        graded = grade_answers(answers, judge, progress)
    judgments = layout.MT_BENCH / "model_judgment" / f"{name}.jsonl"
    write_rows(judgments, (to_judgment_row(turn, name, grader) for turn in graded))
    return summarise_grades(name, grader, answers, graded)


def _plus_minus(standard_error: float | None) -> str:
    return "" if standard_error is None else f" ± {standard_error:.2g}"
