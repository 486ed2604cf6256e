"""Selects from a pool: computes what the method needs of its rows (scores, embeddings), and calls the method.

A method that ranks rows by a number has one entry in SCORERS, which says how that number is computed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from corpus.embeddings import MAX_CHARACTERS
from corpus.errors import DataError, EntropylawError
from corpus.formats import SCORE_KEYS
from corpus.progress import StageProgress, ignore_stages
from corpus.records import Preference, answers_of, plain_text
from entropylaw.printing import note
from entropylaw.repository.datasets import reading_for
from entropylaw.repository.rows import number_usable
from entropylaw.select import model_scores
from entropylaw.select.pool import Pool
from entropylaw.select.scoring import Scoring
from entropylaw.select.token_counts import load_token_counter
from entropylaw.terminal import STREAM_STEP
from selection.engines import EngineName
from selection.methods import METHODS, Candidates, Chosen, Method, RowFacts, SelectionParams, select_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.row_scores import RowScoreParams


# Shorter selections do not say beforehand how long they take.
TOLD_SECONDS = 60


def _score_by_deita(scoring: Scoring) -> NDArray[np.float64]:
    from selection.baselines import score_deita
    from training.deita_scores import score_turns
    from training.fine_tuning import quiet_libraries

    quiet_libraries()
    return score_deita(*score_turns(scoring.pool.records, scoring.models, scoring.advance, scoring.announce))


def _score_by_loss(scoring: Scoring) -> NDArray[np.float64]:
    from training.fine_tuning import quiet_libraries
    from training.row_scores import score_losses

    quiet_libraries()
    return score_losses(scoring.model, scoring.pool.records, scoring.models, scoring.advance, scoring.announce)


def _score_by_ifd(scoring: Scoring) -> NDArray[np.float64]:
    """Instruction-following difficulty: of perplexities for `superfiltering`, else of losses."""
    from training.fine_tuning import quiet_libraries
    from training.row_scores import score_answers

    quiet_libraries()
    losses = score_answers(scoring.model, scoring.pool.records, scoring.models, scoring.advance, scoring.announce)
    return losses.perplexity_ratio if scoring.params.method == "superfiltering" else losses.loss_ratio


def _measure_answers(scoring: Scoring) -> NDArray[np.float64]:
    """The length of each row's answers, which for a preference is the chosen one: in tokens where the pool counted
    tokens, else in characters."""
    pool = scoring.pool
    count_tokens = None if pool.tokenizer is None else load_token_counter(pool.tokenizer)
    lengths: list[int] = []
    waiting: list[str] = []

    def count_waiting() -> None:
        lengths.extend(map(len, waiting) if count_tokens is None else count_tokens(waiting))
        waiting.clear()

    for record in pool.stream_records("score", scoring.progress):
        waiting.append(answers_of(record))
        if len(waiting) >= STREAM_STEP:
            count_waiting()
    count_waiting()
    return np.array(lengths, dtype=float)


def _read_grades(scoring: Scoring) -> NDArray[np.float64]:
    pool = scoring.pool
    grades = []
    for record in pool.stream_records("score", scoring.progress):
        if not isinstance(record, Preference):
            raise DataError(pool.path, "holds conversations; score ranks preferences by the grade of the chosen answer")
        grades.append(np.nan if record.chosen_score is None else record.chosen_score)
    if np.isnan(grades).all():
        raise DataError(pool.path, f"no row has a grade of its chosen answer ({' or '.join(SCORE_KEYS)}) to rank by")
    return np.array(grades)


# What each method ranks rows by: one number for each row of the pool, NaN for a row that has none.
SCORERS: Mapping[Method, Callable[[Scoring], NDArray[np.float64]]] = {
    "perplexity": _score_by_loss,
    "superfiltering": _score_by_ifd,
    "superfiltering-loss": _score_by_ifd,
    "deita": _score_by_deita,
    "score": _read_grades,
    "length": _measure_answers,
    "mods": model_scores.score_by_reward,
    "cherry": model_scores.score_by_cherry,
    "alpagasus": model_scores.grade_pool,
    "qurating": model_scores.rate_pool,
}


@dataclass(frozen=True)
class PlainTexts:
    """The texts of a pool's rows without role tags, read from its file each time."""

    pool: Pool

    def __iter__(self) -> Iterator[str]:
        return map(plain_text, self.pool.stream_records())


def _read_target(params: SelectionParams, pool: Pool) -> Iterator[str]:
    """The texts of the rows in a target file, which is read as the pool is. Raises DataError as reading that does."""
    path = _require_target(params)
    return (plain_text(record) for _, (record, _) in number_usable(path, pool.prepare, reading_for(path)))


def _tell_cost(pool: Pool, params: SelectionParams) -> None:
    """Say before a long selection how long it takes."""
    seconds = METHODS[params.method].estimate_seconds(Candidates(len(pool), params, RowFacts(pool.token_counts)))
    if seconds >= TOLD_SECONDS:
        note(f"select {params.method}: takes about {math.ceil(seconds / 60)} min of one core for {len(pool):,} rows")


def _require_target(params: SelectionParams) -> Path:
    if params.target is None:
        raise EntropylawError(
            f"select {params.method}: needs a file of rows like those that are wanted; give --target FILE, or set "
            "selection.target"
        )
    return Path(params.target)


def select_from_pool(
    pool: Pool,
    params: SelectionParams,
    scoring: RowScoreParams,
    workers: int = 1,
    engine: EngineName = "threads",
    progress: StageProgress = ignore_stages,
) -> Chosen:
    """Compute what ``params.method`` ranks by, and select.

    ``progress`` hears of the stages score, embed, load and select, in rows but for select, which is in the budget's
    unit. Raises EntropylawError when the pool has not what the method ranks by.
    """
    seconds: dict[str, float] = {}
    scores = embeddings = tags = plain_texts = target_texts = None
    needs = METHODS[params.method].needs
    _tell_cost(pool, params)
    given = Scoring(pool, params, scoring, progress)
    if "scores" in needs:
        start = time.perf_counter()
        scores = SCORERS[params.method](given)
        seconds["score"] = time.perf_counter() - start
    if "tags" in needs:
        start = time.perf_counter()
        tags = model_scores.tag_pool(given)
        seconds["score"] = time.perf_counter() - start
    if "embeddings" in needs:
        start = time.perf_counter()
        embed = model_scores.embed_instructions if params.method == "mods" else _embed_rows
        embeddings = embed(given)
        seconds["embed"] = time.perf_counter() - start
    if "plain texts" in needs:
        plain_texts = PlainTexts(pool)
    if "target" in needs:
        target_texts = _read_target(params, pool)
    chosen = select_rows(
        pool.stream_reference_texts() if params.compat == "reference" else pool.texts,
        len(pool),
        params,
        RowFacts(
            pool.token_counts,
            scores,
            embeddings,
            plain_texts,
            target_texts,
            tags,
            model_scores.reward_seed_answers(given) if "reward answers" in needs else None,
        ),
        workers=workers,
        engine=engine,
        progress=progress,
    )
    return replace(chosen, seconds={**seconds, **chosen.seconds})


def _embed_rows(scoring: Scoring) -> NDArray[np.float32]:
    """Unit vectors, shape (rows, 256), of the canonical texts."""
    return scoring.embed([text.decode()[:MAX_CHARACTERS] for text in scoring.pool.texts])
