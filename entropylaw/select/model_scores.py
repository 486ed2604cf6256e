"""What InsTag, MoDS, Cherry, AlpaGasus and QuRating need to know of each row: they ask models, or a judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from corpus.errors import DataError
from corpus.records import HashedRecord
from entropylaw.printing import note
from entropylaw.repository.layout import JUDGMENTS
from entropylaw.select.row_labels import read_labels
from entropylaw.select.scoring import Scoring

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.scoring_cost import ScoringCost
    from training.sft import SftParams


def tag_pool(scoring: Scoring) -> list[frozenset[str]]:
    """InsTag: the tags of each row, those in the rows and the tagger's for all others."""
    from training.fine_tuning import quiet_libraries
    from training.tagging import read_tags, tag_rows

    pool, models = scoring.pool, scoring.models
    tags = [None if label is None else read_tags(label) for label in read_labels(pool, models.tag_key, models.labels)]
    missing = [i for i, names in enumerate(tags) if names is None]
    found: dict[int, frozenset[str]] = {}
    if missing:
        quiet_libraries()
        records = [pool.records[i] for i in missing]
        found = dict(zip(missing, tag_rows(records, models, scoring.advance, scoring.announce), strict=True))
    return [found[i] if names is None else names for i, names in enumerate(tags)]


def grade_pool(scoring: Scoring) -> NDArray[np.float64]:
    """AlpaGasus: the grade of each row, those in the rows and the judge's for all others."""
    from corpus.params import read_section
    from training.alpagasus_grades import grade_rows, grading_requests
    from training.judge import Judge
    from training.judge_params import JudgeParams
    from training.quality import QualityParams

    pool, models = scoring.pool, scoring.models
    labels = read_labels(pool, models.grade_key, models.labels)
    grades = np.array([_read_grade(scoring, i, label) for i, label in enumerate(labels)], dtype=float)
    missing = [i for i, label in enumerate(labels) if label is None]
    if missing:
        params = read_section(JudgeParams, "judge")
        judge = Judge(params, JUDGMENTS)
        rows = [HashedRecord(pool.records[i], pool.hashes[i]) for i in missing]
        requests = grading_requests(rows, QualityParams().max_characters)
        estimate = judge.estimate([request for row in requests for request in row])
        note(f"{pool.path}: {estimate}; the texts of {len(rows):,} rows go to {params.endpoint}")
        grades[missing] = grade_rows(rows, judge, progress=scoring.advance)
    return grades


def _read_grade(scoring: Scoring, index: int, label: object) -> float:
    """NaN where there is none. Raises DataError for what is no number."""
    if label is None:
        return np.nan
    if isinstance(label, (int, float)) and not isinstance(label, bool):
        return float(label)
    models, number = scoring.models, scoring.pool.numbers[index]
    raise DataError(
        models.labels or scoring.pool.path,
        f"{models.grade_key} is {str(label)[:50]!r}, and a grade is a number; set row_scores.grade_key to another",
        None if models.labels else number,
    )


def rate_pool(scoring: Scoring) -> NDArray[np.float64]:
    """QuRating: the rating of each row by the criterion of `selection.criterion`, or the mean of the four."""
    from training.fine_tuning import quiet_libraries
    from training.quality_ratings import CRITERIA, rate_quality

    quiet_libraries()
    ratings = rate_quality(scoring.pool.records, scoring.models, scoring.advance, scoring.announce)
    criterion = scoring.params.criterion
    chosen: NDArray[np.float64] = ratings.mean(axis=1) if criterion == "mean" else ratings[:, CRITERIA.index(criterion)]
    return chosen


def score_by_cherry(scoring: Scoring) -> NDArray[np.float64]:
    """Cherry: the ratio of losses, by a model that learned briefly from some rows of each cluster of instructions."""
    from selection.cherry import choose_experience
    from training.brief_training import CHERRY_EPOCHS, train_briefly
    from training.fine_tuning import quiet_libraries
    from training.row_scores import score_answers

    quiet_libraries()
    pool, seed = scoring.pool, scoring.params.seed
    chosen = choose_experience(embed_instructions(scoring), np.random.default_rng(seed))
    records = [pool.records[i] for i in chosen]
    with train_briefly(
        scoring.model, records, CHERRY_EPOCHS, scoring.models, _read_training(), seed, scoring.advance, scoring.announce
    ) as folder:
        losses = score_answers(str(folder), pool.records, scoring.models, scoring.advance, _trained_model(scoring))
    return losses.loss_ratio


def score_by_reward(scoring: Scoring) -> NDArray[np.float64]:
    """MoDS: the quality of each row as the reward model sees it."""
    from training.fine_tuning import quiet_libraries
    from training.reward_scores import score_rewards

    quiet_libraries()
    return score_rewards(scoring.pool.records, scoring.models, scoring.advance, scoring.announce)


def reward_seed_answers(scoring: Scoring) -> Callable[[Sequence[int], Sequence[int]], NDArray[np.float64]]:
    """MoDS: a function that trains a model on the seed rows and has its answers to the good rows graded."""
    from training.brief_training import MODS_EPOCHS, train_briefly
    from training.own_answers import answer_rows
    from training.reward_scores import score_turns_of_rows

    def reward(seed_rows: Sequence[int], good_rows: Sequence[int]) -> NDArray[np.float64]:
        records = scoring.pool.records
        learned, asked = [records[i] for i in seed_rows], [records[i] for i in good_rows]
        seed, training = scoring.params.seed, _read_training()
        with train_briefly(
            scoring.model, learned, MODS_EPOCHS, scoring.models, training, seed, scoring.advance, scoring.announce
        ) as folder:
            turns = answer_rows(folder, asked, scoring.models, scoring.advance, _trained_model(scoring))
        return score_turns_of_rows("necessity", turns, scoring.models, scoring.advance, scoring.announce)

    return reward


def embed_instructions(scoring: Scoring) -> NDArray[np.float32]:
    """Unit vectors, shape (rows, 256), of what each row asks, all turns together."""
    from training.chat import training_messages
    from training.turns import split_turns

    records = scoring.pool.records
    return scoring.embed(
        ["\n".join(turn.instruction for turn in split_turns(training_messages(record))) for record in records]
    )


def _read_training() -> SftParams:
    """How the pipeline trains; the defaults in a repository that trains elsewhere and has no section ``sft``."""
    from corpus.params import PARAMS_FILE, parse_section, read_params
    from training.sft import SftParams

    section = read_params().get("sft") if Path(PARAMS_FILE).exists() else None
    return SftParams() if section is None else parse_section(SftParams, section, f"{PARAMS_FILE}: sft")


def _trained_model(scoring: Scoring) -> Callable[[ScoringCost], None]:
    """Announces what a briefly trained model will take by the name of the one it was trained from."""
    return lambda cost: scoring.announce(replace(cost, model=f"{scoring.model}, briefly trained"))
