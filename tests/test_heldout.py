"""Z: minus the mean held-out loss, whatever the batches."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from corpus.errors import NotAssessedError
from corpus.records import Record
from training.base_model import load_pretrained
from training.chat import encode_conversation, training_messages
from training.heldout import EvaluationParams, evaluate_heldout
from training.loss import collate_rows

Rows = list[tuple[Record, str]]
PARAMS = EvaluationParams(rows=20, max_length=80, batch_rows=6)


def test_z_is_minus_the_mean_token_loss_that_transformers_computes(chats: Rows, base_folder: Path) -> None:
    records = [record for record, _ in chats[900:940]]
    result = evaluate_heldout(base_folder, records, PARAMS)
    model, tokenizer = load_pretrained(str(base_folder))
    rows = [encode_conversation(tokenizer, training_messages(record), 80) for record in records[:20]]
    batch = collate_rows([row for row in rows if row], tokenizer.pad_token_id)
    assert result.loss_nats == pytest.approx(model.eval()(**batch).loss.item(), rel=1e-5)
    assert result.tokens == int((batch["labels"][:, 1:] >= 0).sum())
    assert (result.rows, result.z) == (len(batch["labels"]), -result.loss_nats)
    assert result.perplexity == pytest.approx(math.exp(result.loss_nats))
    assert result.model == "base"


def test_the_size_of_a_batch_does_not_matter_and_only_the_first_rows_count(chats: Rows, base_folder: Path) -> None:
    records = [record for record, _ in chats[900:940]]
    expected = evaluate_heldout(base_folder, records[:20], PARAMS).z
    for batch_rows in (1, 50):
        assert evaluate_heldout(base_folder, records, replace(PARAMS, batch_rows=batch_rows)).z == pytest.approx(
            expected
        )


def test_held_out_rows_without_a_response_in_reach_cannot_be_scored(chats: Rows, base_folder: Path) -> None:
    for records in ([record for record, _ in chats[:5]], []):
        with pytest.raises(NotAssessedError, match=r"no held-out row has a response within evaluation\.max_length=2"):
            evaluate_heldout(base_folder, records, replace(PARAMS, max_length=2))


@pytest.mark.parametrize("name", ["rows", "max_length", "batch_rows"])
def test_sizes_that_evaluate_nothing_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        EvaluationParams(**{name: 0})
