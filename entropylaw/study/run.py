"""Runs one entry of a study: select rows, measure them, train on them with every seed, evaluate the models."""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from corpus.errors import EntropylawError, NotAssessedError
from corpus.params import read_section
from corpus.prepare import PrepareParams
from corpus.records import HashedRecord, Record, canonical_text, content_hash, data_hash
from entropylaw.probe_memory import explain_probe_memory
from entropylaw.repository.layout import BASE_MODEL, HELDOUT, JUDGMENTS, SFT, STUDY_PARAMS, prepared
from entropylaw.repository.rows import load_rows
from entropylaw.select.pool import Pool, read_pool
from entropylaw.select.selecting import select_from_pool
from entropylaw.study.params import StudyParams
from entropylaw.terminal import show_progress, show_stages
from monitor.measures.compression import CompressionParams
from reports.study.runs import Lengths, MeasuredSelection, MethodResult, StudyRun
from selection.diversity import DiversityMeter
from selection.engines import count_cores
from selection.methods import SEEDED, SelectionParams
from training.evaluation_params import EvaluationParams
from training.fine_tuning import CHECKPOINTS, quiet_libraries
from training.heldout import evaluate_heldout
from training.judge import Judge
from training.judge_params import JudgeParams
from training.probe import probe_loss
from training.probe_run import ProbeParams
from training.probed_model import load_probed_model
from training.quality import QualityParams, rate_rows
from training.row_scores import RowScoreParams
from training.sft import SftParams, train_sft

# Beside the training checkpoints: ignored by Git, on a disk that has room for models.
SCRATCH = CHECKPOINTS.parent


@dataclass(frozen=True)
class Sections:
    """The sections of the root's params.yaml that a run depends on: it measures and trains as the pipeline does."""

    compression: CompressionParams
    probe: ProbeParams
    sft: SftParams
    evaluation: EvaluationParams
    row_scores: RowScoreParams
    judge: JudgeParams


def read_sections() -> Sections:
    """Raises ParamsError naming the section or key that is missing."""
    return Sections(
        read_section(CompressionParams, "compression"),
        read_section(ProbeParams, "probe"),
        read_section(SftParams, "sft"),
        read_section(EvaluationParams, "evaluation"),
        read_section(RowScoreParams, "row_scores"),
        read_section(JudgeParams, "judge"),
    )


@dataclass(frozen=True)
class _Selection:
    """The pool indices of the selected rows, the rows, and what is known of them before training."""

    positions: tuple[int, ...]
    records: list[Record]
    measured: MeasuredSelection


def run_method(name: str, params: StudyParams) -> tuple[MethodResult, Lengths]:
    """Run one entry with all its seeds. Lengths are of the selected rows in tokens, over all seeds.

    Raises EntropylawError when the budget pays for no row, and NotAssessedError when L or Z cannot be measured.
    """
    quiet_libraries()
    sections = read_sections()
    with show_stages({"read": "reading rows"}) as progress:
        pool = read_pool(prepared(SFT), read_section(PrepareParams, "prepare"), BASE_MODEL, progress)
    lengths = pool.token_counts or []
    # Counted whole, long rows would cost a method tokens that its model is never trained on.
    row_tokens = sections.sft.max_length
    pool = replace(pool, token_counts=[min(length, row_tokens) for length in lengths])
    budget_tokens = int(params.share * sum(pool.token_counts or ()))
    settings = replace(params.methods[name], share=params.share)
    held_out = [record for record, _ in load_rows(HELDOUT)]
    runs: list[StudyRun] = []
    selected_lengths: Counter[int] = Counter()
    selection: _Selection | None = None
    for seed in params.seeds:
        # The methods that make no random choice select once.
        if selection is None or settings.method in SEEDED:
            budgeted = replace(settings, tokens=budget_tokens, seed=seed)
            selection = _select_and_measure(name, pool, budgeted, sections)
        z, tokens = _train_and_evaluate(f"{name}, seed {seed}", selection.records, seed, held_out, sections)
        runs.append(StudyRun(seed, z, tokens, selection.measured))
        selected_lengths.update(lengths[i] for i in selection.positions)
    return MethodResult(name, settings, budget_tokens, row_tokens, tuple(runs)), selected_lengths


def _select_and_measure(name: str, pool: Pool, settings: SelectionParams, sections: Sections) -> _Selection:
    labels = {"score": "scoring rows", "embed": "embedding rows", "filter": "reading rows", "load": "loading rows"}
    labels["select"] = f"{name}: tokens"
    with show_stages(labels) as progress:
        chosen = select_from_pool(pool, settings, sections.row_scores, count_cores(), progress=progress)
    if not chosen.positions:
        raise EntropylawError(
            f"{STUDY_PARAMS}: {name}: the budget of {settings.tokens} tokens pays for no row; raise study.share"
        )
    wanted = set(chosen.positions)
    kept = {i: record for i, record in enumerate(pool.stream_records()) if i in wanted}
    rows = [HashedRecord(kept[i], content_hash(kept[i])) for i in chosen.positions]
    texts = [canonical_text(record).encode() for record, _ in rows]
    diversity = DiversityMeter(pool.texts, pool.hashes).measure(chosen.positions)
    measured = MeasuredSelection(
        identity=data_hash(sorted(row_hash for _, row_hash in rows)),
        rows=len(rows),
        r=sections.compression.codec().ratio(texts),
        r_long=sections.compression.long_codec().ratio(texts),
        l=_probe(name, rows, sections.probe),
        seconds=sum(chosen.seconds.values()),
        quality=_rate(name, rows, sections.judge),
        r_equal_length=diversity.r_equal_length,
        self_repetition=diversity.self_repetition,
        novelsum=diversity.novelsum,
    )
    return _Selection(chosen.positions, [record for record, _ in rows], measured)


def _probe(name: str, rows: Sequence[HashedRecord], params: ProbeParams) -> float:
    with show_progress(f"{name}: probe") as progress, explain_probe_memory(f"{name}: probe", params):
        model, tokenizer, card = load_probed_model(BASE_MODEL)
        return probe_loss(model, tokenizer, rows, params, card.trained_from, progress).l


def _rate(name: str, rows: Sequence[HashedRecord], params: JudgeParams) -> float | None:
    """The mean grade of a sample of the rows, where a judge is configured."""
    if params.endpoint is None:
        return None
    with show_progress(f"{name}: judging") as progress:
        return rate_rows(rows, Judge(params, JUDGMENTS), QualityParams(), progress).mean


def _train_and_evaluate(
    title: str, records: Sequence[Record], seed: int, held_out: Sequence[Record], sections: Sections
) -> tuple[float, int]:
    """Z of a model that is trained, evaluated and deleted, and the tokens of an epoch."""
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="study-", dir=SCRATCH) as folder:
        with show_progress(f"{title}: training") as progress:
            training = train_sft(records, BASE_MODEL, replace(sections.sft, seed=seed), folder, progress)
        z = evaluate_heldout(folder, held_out, sections.evaluation).z
    if math.isnan(z):
        raise NotAssessedError(f"{title}: the trained model's loss is not a number; lower sft.learning_rate")
    return z, training.tokens
