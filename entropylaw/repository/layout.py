"""Where the pipeline keeps its files, relative to the root of the data repository."""

from __future__ import annotations

from pathlib import Path

DATA = Path("data")
BASELINE = DATA / "baseline.jsonl"
HELDOUT = DATA / "heldout.jsonl"
RESULTS = Path("results")
CALIBRATION = RESULTS / "calibration.json"
VERDICT = RESULTS / "verdict.json"
METRICS = RESULTS / "metrics.json"
APPROVAL = RESULTS / "approval.json"
EVALUATION = RESULTS / "evaluation.json"
# What an own trainer reports of the version under test; `accept` carries it into the history.
REPORTED_SCORES = RESULTS / "scores.json"
MT_BENCH = RESULTS / "mt_bench"
QUALITY = RESULTS / "quality.json"
POWER = RESULTS / "power.json"
REPORT_HTML = RESULTS / "report.html"
REPORT_MD = RESULTS / "report.md"
PLOTS = RESULTS / "plots"
RELEASE_JSON = RESULTS / "release.json"
RELEASE_MD = RESULTS / "release.md"
MODELS = Path("models")
BASE_MODEL = MODELS / "base"
HISTORY = Path("history")
WAIVERS = Path("waivers.yaml")
# What a judge was paid for, outside the outputs of any stage, and of no interest to Git: it may quote the data.
JUDGMENTS = Path(".entropylaw") / "judgments.jsonl"
# The study of selection methods: a pipeline of its own, see entropylaw/study/files.py.
STUDY = Path("studies") / "selection"

# The two datasets that the pipeline knows, and what each holds.
SFT, PREFERENCES = "sft", "preferences"


def prepared(dataset: str) -> Path:
    return DATA / "prepared" / f"{dataset}.jsonl"


def selected(dataset: str) -> Path:
    return DATA / "selected" / f"{dataset}.jsonl"


def result(dataset: str, name: str) -> Path:
    return RESULTS / dataset / name


def trained_model(dataset: str) -> Path:
    """The model whose training reads this dataset: SFT the conversations, KTO the preferences."""
    return MODELS / ("kto" if dataset == PREFERENCES else "sft")
