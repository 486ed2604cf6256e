"""Runs one entry of a study: select rows, measure them, train on them with every seed, evaluate the models."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from corpus.errors import EntropylawError
from corpus.records import HashedRecord, Record, canonical_text, content_hash, data_hash
from entropylaw.probe_memory import explain_probe_memory
from entropylaw.repository.layout import BASE_MODEL, JUDGMENTS, PREFERENCES
from entropylaw.select.pool import Pool
from entropylaw.select.selecting import select_from_pool
from entropylaw.study.budget import StudyBudget, find_budget
from entropylaw.study.files import SELECTION, StudyFiles
from entropylaw.study.params import StudyParams
from entropylaw.study.pool import open_pool
from entropylaw.study.sections import Sections, read_sections
from entropylaw.study.training import SCRATCH, Trainer, train_and_score
from entropylaw.terminal import show_progress, show_stages
from reports.study.runs import Lengths, MeasuredSelection, MethodResult, StudyRun
from selection.diversity import DiversityMeter
from selection.engines import count_cores
from selection.methods import SEEDED, SelectionParams
from training.fine_tuning import quiet_libraries
from training.judge import Judge
from training.judge_params import JudgeParams
from training.preference_probe import probe_preferences
from training.probe import probe_loss
from training.probe_run import ProbeParams
from training.probed_model import load_probed_model
from training.quality import QualityParams, rate_rows


@dataclass(frozen=True)
class _Selection:
    """The pool indices of the selected rows, the rows, and what is known of them before training."""

    positions: tuple[int, ...]
    records: list[Record]
    measured: MeasuredSelection


def run_method(name: str, params: StudyParams, files: StudyFiles = SELECTION) -> tuple[MethodResult, Lengths]:
    """Run one entry with all its seeds. Lengths are of the selected rows in tokens, over all seeds.

    Raises EntropylawError when the budget pays for no row, and NotAssessedError when L or Z cannot be measured.
    """
    quiet_libraries()
    sections = read_sections(params)
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="study-", dir=SCRATCH) as folder:
        with show_stages({"read": "reading rows"}) as progress:
            pool = open_pool(params, sections.max_length, Path(folder), progress)
        budget = find_budget(params, files, pool.tokens)
        common = Trainer(params, sections, files, pool.held_out)
        settings = replace(params.methods[name], share=budget.share)
        runs: list[StudyRun] = []
        selected_lengths: Counter[int] = Counter()
        selection: _Selection | None = None
        for seed in params.seeds:
            if selection is None or settings.method in SEEDED:
                budgeted = replace(settings, tokens=budget.tokens, seed=seed)
                selection = _select_and_measure(name, pool.pool, budgeted, sections, files)
            scored = train_and_score(name, seed, selection.records, common)
            runs.append(StudyRun(seed, scored.z, scored.tokens, selection.measured, scored.right_share))
            selected_lengths.update(pool.lengths[i] for i in selection.positions)
    return MethodResult(name, settings, budget.tokens, pool.row_tokens, tuple(runs)), selected_lengths


def find_entry_budget(params: StudyParams) -> StudyBudget:
    """The budget of a study that is given in rows of one of its entries: the tokens of what that entry selects."""
    name, rows = params.budget_entry, params.budget_rows
    if name is None or rows is None:
        raise EntropylawError("study.budget_entry: not set; the budget of this study is study.share")
    quiet_libraries()
    sections = read_sections(params)
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="study-", dir=SCRATCH) as folder:
        with show_stages({"read": "reading rows"}) as progress:
            pool = open_pool(params, sections.max_length, Path(folder), progress)
        settings = replace(params.methods[name], rows=min(rows, len(pool.pool)), seed=params.seeds[0])
        labels = {"score": "scoring rows", "embed": "embedding rows", "filter": "reading rows", "load": "loading rows"}
        labels["select"] = f"{name}: rows"
        with show_stages(labels) as progress:
            chosen = select_from_pool(pool.pool, settings, sections.row_scores, count_cores(), progress=progress)
        counts = pool.pool.token_counts or []
        tokens = sum(counts[i] for i in chosen.positions)
        return StudyBudget(tokens, tokens / pool.tokens)


def _select_and_measure(
    name: str, pool: Pool, settings: SelectionParams, sections: Sections, files: StudyFiles
) -> _Selection:
    labels = {"score": "scoring rows", "embed": "embedding rows", "filter": "reading rows", "load": "loading rows"}
    labels["select"] = f"{name}: tokens"
    with show_stages(labels) as progress:
        chosen = select_from_pool(pool, settings, sections.row_scores, count_cores(), progress=progress)
    if not chosen.positions:
        raise EntropylawError(
            f"{files.params}: {name}: the budget of {settings.tokens} tokens pays for no row; raise study.share"
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
        l=_probe(name, rows, sections.probe, sections.dataset),
        seconds=sum(chosen.seconds.values()),
        quality=_rate(name, rows, sections.judge),
        r_equal_length=diversity.r_equal_length,
        self_repetition=diversity.self_repetition,
        novelsum=diversity.novelsum,
    )
    return _Selection(chosen.positions, [record for record, _ in rows], measured)


def _probe(name: str, rows: Sequence[HashedRecord], params: ProbeParams, dataset: str) -> float:
    probe = probe_preferences if dataset == PREFERENCES else probe_loss
    with show_progress(f"{name}: probe") as progress, explain_probe_memory(f"{name}: probe", params):
        base = load_probed_model(BASE_MODEL)
        return probe(base.model, base.tokenizer, rows, params, base.card.trained_from, progress).l


def _rate(name: str, rows: Sequence[HashedRecord], params: JudgeParams) -> float | None:
    """The mean grade of a sample of the rows, where a judge is configured."""
    if params.endpoint is None:
        return None
    with show_progress(f"{name}: judging") as progress:
        return rate_rows(rows, Judge(params, JUDGMENTS), QualityParams(), progress).mean
