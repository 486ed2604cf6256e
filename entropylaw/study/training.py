"""Trains and scores one model of a study: SFT on conversations, or KTO on preferences."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corpus.errors import EntropylawError, NotAssessedError
from corpus.params import read_section
from corpus.records import Preference, Record
from entropylaw.repository.datasets import read_datasets
from entropylaw.repository.layout import BASE_MODEL, SFT, prepared
from entropylaw.repository.rows import load_rows
from entropylaw.study.files import StudyFiles
from entropylaw.study.params import StudyParams
from entropylaw.study.pool_files import choose_rows
from entropylaw.study.sections import Sections
from entropylaw.terminal import show_progress
from training.fine_tuning import CHECKPOINTS, quiet_libraries
from training.heldout import evaluate_heldout
from training.heldout_pairs import evaluate_pairs
from training.kto import KtoParams, train_kto
from training.sft import SftParams, train_sft

# Beside the training checkpoints: ignored by Git, on a disk that has room for models.
SCRATCH = CHECKPOINTS.parent


@dataclass(frozen=True)
class Scored:
    """A model's ``z``, the ``tokens`` of an epoch of its training, and of held-out pairs the ``right_share``."""

    z: float
    tokens: int
    right_share: float | None = None


@dataclass(frozen=True)
class Trainer:
    """What all models of a study have in common. ``held_out``: the rows that score them."""

    params: StudyParams
    sections: Sections
    files: StudyFiles
    held_out: Sequence[Record]


def train_and_score(name: str, seed: int, records: Sequence[Record], common: Trainer) -> Scored:
    """Z of a model that is trained on an entry's selection, scored and deleted."""
    sections = common.sections
    title = f"{name}, seed {seed}"
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="study-", dir=SCRATCH) as scratch:
        # MT-bench keeps answers by the name of the model's folder.
        folder = Path(scratch) / f"{sections.dataset}-{name}-{seed}"
        with show_progress(f"{title}: training") as progress:
            trainer = replace(sections.trainer, seed=seed)
            if isinstance(trainer, KtoParams):
                pairs = [record for record in records if isinstance(record, Preference)]
                tokens = train_kto(pairs, common.files.start, trainer, folder, progress).tokens
            else:
                tokens = train_sft(records, BASE_MODEL, trainer, folder, progress).tokens
        scored = _score(folder, common, tokens)
    if math.isnan(scored.z):
        section = "kto" if isinstance(sections.trainer, KtoParams) else "sft"
        raise NotAssessedError(f"{title}: the trained model's loss is not a number; lower {section}.learning_rate")
    return scored


def _score(folder: Path, common: Trainer, tokens: int) -> Scored:
    evaluation, measure = common.sections.evaluation, common.params.z_measure
    if measure == "mt_bench":
        return Scored(_grade(folder, common.sections), tokens)
    if measure == "margin":
        pairs = evaluate_pairs(folder, common.held_out, evaluation)
        return Scored(pairs.z, tokens, pairs.right_share)
    return Scored(evaluate_heldout(folder, common.held_out, evaluation).z, tokens)


def _grade(folder: Path, sections: Sections) -> float:
    """The mean grade of a model in MT-bench, as `evaluate` measures it."""
    from entropylaw.evaluate import read_benchmarks, run_mt_bench

    mt_bench = read_benchmarks(sections.evaluation).mt_bench
    if mt_bench is None:
        raise EntropylawError("params.yaml: evaluation.mt_bench.questions: missing; the study scores by MT-bench")
    return run_mt_bench(folder, sections.evaluation, mt_bench).z


def train_start(folder: Path, rows: int | None = None) -> str:
    """Make the model that a study of preferences aligns; what it is, in words.

    It is the base model after SFT on the prepared conversations (the paper aligns its SFT model, 5.2.1), at most
    ``rows`` of them, or the base model as it is where there are none.
    """
    quiet_libraries()
    if SFT not in read_datasets():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(BASE_MODEL, folder)
        return "the base model, for there are no conversations"
    known = load_rows(prepared(SFT))
    records = [known[i].record for i in choose_rows(known, rows)]
    with show_progress("start: training") as progress:
        report = train_sft(records, BASE_MODEL, read_section(SftParams, "sft"), folder, progress)
    return f"the base model after SFT on {report.rows} conversations"
