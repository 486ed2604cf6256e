"""A brief training on few rows, to have a model that knows what they are like: Cherry's and MoDS' first step."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from corpus.progress import Progress, ignore_progress
from corpus.records import Record, canonical_text
from training.base_model import load_base_model
from training.fine_tuning import CHECKPOINTS
from training.row_scores import RowScoreParams
from training.scoring_cost import Announce, estimate_cost, ignore_cost
from training.sft import SftParams, train_sft

# Cherry (Li et al., 2023, section 4.2): once over the rows. MoDS (Du et al., 2023, section 4.1): three times.
CHERRY_EPOCHS = 1.0
MODS_EPOCHS = 3.0


@contextlib.contextmanager
def train_briefly(
    model: str,
    records: Sequence[Record],
    epochs: float,
    params: RowScoreParams,
    training: SftParams,
    seed: int,
    progress: Progress = ignore_progress,
    announce: Announce = ignore_cost,
) -> Iterator[Path]:
    """A folder with ``model``, a folder or a Hub id, after ``epochs`` over ``records``; it is deleted at the end.

    Learning rate and length are those of ``params``; how the model is tuned, in which precision and in which batches,
    is said by ``training``. Raises EntropylawError when the model cannot be loaded or no record has an answer within
    ``params.max_length`` tokens, and NotAssessedError when the loss stops being a number.
    """
    started, tokenizer, _ = load_base_model(model)
    announce(
        estimate_cost(
            "brief training",
            model,
            started,
            tokenizer,
            [canonical_text(record) for record in records],
            params.max_length,
            epochs_learned=epochs,
        )
    )
    del started
    settings = replace(
        training, epochs=epochs, learning_rate=params.learning_rate, max_length=params.max_length, seed=seed
    )
    # Beside the training checkpoints: ignored by Git, on a disk that has room for models.
    CHECKPOINTS.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="brief-", dir=CHECKPOINTS.parent) as folder:
        train_sft(records, model, settings, folder, progress)
        yield Path(folder)
