"""Token losses of encoded rows under a causal language model. L and the held-out loss are both computed here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.chat import EncodedRow

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

IGNORED = -100  # the label index torch's cross entropy skips


def collate_rows(rows: Sequence[EncodedRow], padding_id: int) -> dict[str, torch.Tensor]:
    """A batch padded on the right: ``input_ids``, ``attention_mask`` and ``labels``, each (rows, longest row).

    Tokens without a loss have the label -100.
    """
    import torch

    longest = max(len(row.ids) for row in rows)
    ids = torch.full((len(rows), longest), padding_id, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    labels = torch.full((len(rows), longest), IGNORED, dtype=torch.long)
    for i, row in enumerate(rows):
        length = len(row.ids)
        ids[i, :length] = torch.tensor(row.ids)
        mask[i, :length] = 1
        labels[i, :length] = torch.where(torch.tensor(row.response), ids[i, :length], IGNORED)
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


@contextlib.contextmanager
def _only_positions(model: PreTrainedModel, where: torch.Tensor) -> Iterator[None]:
    """Let the model's last layer compute only the positions that carry a loss; it is the largest of a small model.

    ``where``: true at these positions, shape (rows, longest row - 1). The logits then have the shape (positions,
    vocabulary). A model that has no such layer is left as it is.
    """
    head = model.get_output_embeddings()
    if head is None:
        yield
        return
    hook = head.register_forward_pre_hook(lambda module, args: (args[0][:, :-1][where], *args[1:]))
    try:
        yield
    finally:
        hook.remove()


def row_token_losses(model: PreTrainedModel, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed loss in nats and number of response tokens of each row of a batch, both of shape (rows,).

    ``batch``: as ``collate_rows`` makes it.
    """
    import torch

    batch = {name: tensor.to(model.device) for name, tensor in batch.items()}
    labels = batch["labels"][:, 1:]
    where = labels != IGNORED
    with _only_positions(model, where):
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    if logits.dim() == 3:
        logits = logits[:, :-1][where]
    losses = torch.nn.functional.cross_entropy(logits.float(), labels[where], reduction="none")
    counts = where.sum(dim=1)
    owners = torch.arange(len(counts), device=losses.device).repeat_interleave(counts)
    sums = torch.zeros(len(counts), device=losses.device).index_add(0, owners, losses)
    return sums, counts


@dataclass(frozen=True)
class TokenLosses:
    """The losses of some rows without training.

    ``total``: in nats, of all ``tokens``. ``nats``, ``counts``: summed loss and number of response tokens of each row,
    in the order of the rows.
    """

    total: float
    tokens: int
    nats: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def mean(self) -> float:
        """In nats per response token; NaN without a response token."""
        return self.total / self.tokens if self.tokens else float("nan")


def sum_token_losses(
    model: PreTrainedModel, rows: Sequence[EncodedRow], padding_id: int, batch_rows: int
) -> TokenLosses:
    """The losses of all rows, without training."""
    import torch

    # Similar lengths together: less padding. The mean does not depend on the order.
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    total, tokens = 0.0, 0
    nats, of_row = [0.0] * len(rows), [0] * len(rows)
    model.eval()
    with torch.inference_mode():
        for start in range(0, len(order), batch_rows):
            batch = order[start : start + batch_rows]
            sums, counts = row_token_losses(model, collate_rows([rows[i] for i in batch], padding_id))
            total += float(sums.sum())
            tokens += int(counts.sum())
            for i, loss, count in zip(batch, sums.tolist(), counts.tolist(), strict=True):
                nats[i], of_row[i] = loss, count
    return TokenLosses(total, tokens, tuple(nats), tuple(of_row))


def mean_token_loss(model: PreTrainedModel, rows: Sequence[EncodedRow], padding_id: int, batch_rows: int) -> float:
    """Mean loss in nats per response token over all rows, without training; NaN without a response token."""
    return sum_token_losses(model, rows, padding_id, batch_rows).mean
