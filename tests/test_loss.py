"""Row losses against transformers' own, and against logits worked by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from corpus.records import HashedRecord
from training.chat import EncodedRow, encode_conversation, training_messages
from training.loss import IGNORED, collate_rows, mean_token_loss, row_token_losses
from training.model_loading import load_pretrained

pytestmark = pytest.mark.slow

Rows = list[HashedRecord]


@pytest.fixture(scope="module")
def loaded(base_folder: Path) -> tuple[object, object]:
    return load_pretrained(str(base_folder))


@pytest.fixture(scope="module")
def encoded(loaded: tuple[object, object], chats: Rows) -> list[EncodedRow]:
    rows = [encode_conversation(loaded[1], training_messages(record), 80) for record, _ in chats[300:330]]
    return [row for row in rows if row is not None]


def test_the_mean_over_a_batch_is_the_loss_transformers_computes_from_the_labels(
    loaded: tuple[object, object], encoded: list[EncodedRow]
) -> None:
    model, tokenizer = loaded
    batch = collate_rows(encoded, tokenizer.pad_token_id)
    sums, counts = row_token_losses(model, batch)
    with torch.no_grad():
        expected = model(**batch).loss
    assert (sums.sum() / counts.sum()).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_row_has_the_same_loss_alone_and_padded_beside_longer_ones(
    loaded: tuple[object, object], encoded: list[EncodedRow]
) -> None:
    model, tokenizer = loaded
    assert len({len(row.ids) for row in encoded}) > 5
    together, counts = row_token_losses(model, collate_rows(encoded, tokenizer.pad_token_id))
    alone = [row_token_losses(model, collate_rows([row], tokenizer.pad_token_id))[0].item() for row in encoded]
    assert together.tolist() == pytest.approx(alone, rel=1e-4)
    assert counts.tolist() == [sum(row.response[1:]) for row in encoded]


def test_the_loss_of_a_row_worked_by_hand(loaded: tuple[object, object]) -> None:
    model, tokenizer = loaded
    row = EncodedRow((7, 8, 9, 10), (False, False, True, True))
    sums, counts = row_token_losses(model, collate_rows([row], tokenizer.pad_token_id))
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([row.ids])).logits[0].double().numpy()
    nats = [math.log(np.exp(logits[i]).sum()) - logits[i, row.ids[i + 1]] for i in (1, 2)]
    assert (sums.item(), counts.item()) == (pytest.approx(sum(nats), rel=1e-5), 2)


def test_the_mean_token_loss_weighs_tokens_and_not_rows_or_batches(
    loaded: tuple[object, object], encoded: list[EncodedRow]
) -> None:
    model, tokenizer = loaded
    sums, counts = row_token_losses(model, collate_rows(encoded, tokenizer.pad_token_id))
    expected = (sums.sum() / counts.sum()).item()
    for batch_rows in (1, 7, 100):
        assert mean_token_loss(model, encoded[::-1], tokenizer.pad_token_id, batch_rows) == pytest.approx(
            expected, rel=1e-5
        )


def test_of_no_rows_the_mean_is_not_a_number(loaded: tuple[object, object]) -> None:
    assert math.isnan(mean_token_loss(loaded[0], [], 0, 4))


def test_a_batch_is_padded_on_the_right_and_padding_carries_no_label() -> None:
    batch = collate_rows([EncodedRow((5, 6, 7), (False, True, True)), EncodedRow((8, 9), (False, True))], 3)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 6, 7], [IGNORED, 9, IGNORED]]
