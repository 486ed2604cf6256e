"""QuRating's four ratings of a row: style, expertise, facts and educational value (Wettig et al., 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.progress import Progress, ignore_progress
from corpus.records import Preference, Record, canonical_text, chosen_conversation
from training.classifiers import classify, load_classifier
from training.model_loading import limit_length
from training.row_scores import RowScoreParams
from training.scoring_cost import Announce, estimate_cost, ignore_cost

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The rater's outputs in their order, from the model card of princeton-nlp/QuRater-1.3B.
CRITERIA = ("writing_style", "required_expertise", "facts_and_trivia", "educational_value")
# The card: the rater was trained on up to 512 tokens; the ratings of such windows are averaged by their lengths.
WINDOW_TOKENS = 512


def rate_quality(
    records: Sequence[Record],
    params: RowScoreParams,
    progress: Progress = ignore_progress,
    announce: Announce = ignore_cost,
) -> NDArray[np.float64]:
    """The ratings of each row by ``params.rater``: (rows, 4), in the order of CRITERIA, not normalised.

    The rater reads a row's canonical text, of a preference that with the chosen answer, in windows of WINDOW_TOKENS
    tokens. ``progress`` is told windows done and windows in all. Raises EntropylawError when the rater cannot be loaded
    or has not four outputs.
    """
    model, tokenizer = load_classifier(params.rater, len(CRITERIA), "row_scores.rater")
    window = limit_length(model, WINDOW_TOKENS)
    texts = [canonical_text(_read_conversation(record)) for record in records]
    announce(estimate_cost("ratings", params.rater, model, tokenizer, texts, 2**62))
    windows: list[dict[str, Any]] = []
    owners: list[int] = []
    for row, text in enumerate(texts):
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False, verbose=False)
        for start in range(0, len(ids), window):
            part = ids[start : start + window]
            windows.append({"input_ids": part, "attention_mask": [1] * len(part)})
            owners.append(row)
    ratings = classify(model, tokenizer, windows, params.batch_rows, progress)
    lengths = np.array([len(part["input_ids"]) for part in windows], dtype=float)
    sums, tokens = np.zeros((len(texts), len(CRITERIA))), np.zeros(len(texts))
    np.add.at(sums, owners, ratings * lengths[:, None])
    np.add.at(tokens, owners, lengths)
    means = np.full_like(sums, np.nan)
    np.divide(sums, tokens[:, None], out=means, where=tokens[:, None] > 0)
    return means


def _read_conversation(record: Record) -> Record:
    if isinstance(record, Preference) and record.chosen:
        return chosen_conversation(record)
    return record
