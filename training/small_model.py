"""The small base model: a byte-level tokenizer and a Llama-architecture model, both trained on the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from corpus.progress import Progress
from training.chat import CHAT_TEMPLATE, END_OF_TURN, PADDING, ROLE_TOKENS, EncodedRow
from training.loss import collate_rows, row_token_losses

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from training.base_model_params import BaseModelParams


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerBase:
    """Train a byte-level BPE tokenizer. It can encode any text, so damaged text costs tokens and does not fail."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PADDING, END_OF_TURN, *ROLE_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PADDING, eos_token=END_OF_TURN)
    fast.chat_template = CHAT_TEMPLATE
    return fast


def new_model(params: BaseModelParams, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A model of the Llama architecture with random weights, which ``params.seed`` decides."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(params.seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=params.hidden_size,
        intermediate_size=params.hidden_size * 8 // 3 // 8 * 8,
        num_hidden_layers=params.layers,
        num_attention_heads=params.heads,
        num_key_value_heads=params.heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def train_model(
    model: PreTrainedModel, rows: list[EncodedRow], padding_id: int, params: BaseModelParams, progress: Progress
) -> tuple[list[float], int]:
    """Train the model in place; the loss in nats per token of every step, and the number of tokens trained on.

    AdamW with linear warm-up and decay. All tokens are predicted, those of prompts too: a base model knows both.
    """
    import numpy as np
    import torch

    rng = np.random.default_rng(params.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=params.learning_rate, weight_decay=0.01)
    warmup = max(1, params.steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, max(0.05, (params.steps - step) / params.steps))
    )
    order: list[int] = []
    losses, tokens = [], 0
    model.train()
    for step in range(params.steps):
        while len(order) < params.batch_rows:
            order += rng.permutation(len(rows)).tolist()
        chosen, order = order[: params.batch_rows], order[params.batch_rows :]
        whole = [EncodedRow(rows[i].ids, (True,) * len(rows[i].ids)) for i in chosen]
        sums, counts = row_token_losses(model, collate_rows(whole, padding_id))
        loss = sums.sum() / counts.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        tokens += int(counts.sum())
        progress(step + 1, params.steps)
    return losses, tokens
