"""Packed rows do not see each other: with each kind of attention, and in each family that recipes are for."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config

pytestmark = pytest.mark.slow

ROWS = [list(range(1, 8)), list(range(20, 24)), [5, 3, 9, 30, 31, 32, 33, 2, 2]]
SIZES = {
    "vocab_size": 40, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2, "initializer_range": 0.1,
}  # fmt: skip


def token_losses(model: Any, **batch: Any) -> torch.Tensor:
    logits = model(**batch, use_cache=False).logits[0, :-1]
    return torch.nn.functional.cross_entropy(logits, batch["input_ids"][0, 1:], reduction="none")


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("config", [LlamaConfig, MistralConfig, Qwen2Config])
def test_a_row_has_the_same_losses_packed_and_alone(config: Any, attention: str) -> None:
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config(**SIZES), attn_implementation=attention)
    collate = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)
    # Two packs, of two rows and of one, which the collator lays end to end.
    packs = [ROWS[0] + ROWS[1], ROWS[2]]
    lengths = [[len(ROWS[0]), len(ROWS[1])], [len(ROWS[2])]]
    batch = collate([{"input_ids": ids, "seq_lengths": parts} for ids, parts in zip(packs, lengths, strict=True)])
    assert batch["position_ids"].tolist() == [[i for row in ROWS for i in range(len(row))]]
    labels = batch.pop("labels")
    assert (labels[0] == -100).nonzero().flatten().tolist() == [0, 7, 11]
    with torch.no_grad():
        packed = token_losses(model, **batch)[labels[0, 1:] != -100]
        alone = torch.cat([token_losses(model, input_ids=torch.tensor([row])) for row in ROWS])
        one_text = token_losses(model, input_ids=torch.tensor([[token for row in ROWS for token in row]]))
    assert torch.allclose(packed, alone, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(one_text[labels[0, 1:] != -100], alone, rtol=1e-3)
