"""The fixed model every version is probed from: trained from scratch on the baseline version, or pretrained."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.artifacts import fingerprint, hash_folder, write_json
from corpus.errors import EntropylawError
from corpus.records import Record, canonical_text, hash_fraction
from training.chat import (
    CHAT_TEMPLATE,
    END_OF_TURN,
    PADDING,
    ROLE_TOKENS,
    EncodedRow,
    check_chat_template,
    encode_conversation,
    training_messages,
)
from training.loss import collate_rows, row_token_losses

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CARD = "entropylaw.json"

# Rows whose content hash falls in the upper half train the base model, rows in the lower half are probed. The split
# is by content, so in every later version no probed row has been seen by the base model: otherwise the rows of the
# first version would look easier than any honest update.
TRAINED_FROM = 0.5

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BaseModelParams:
    """``pretrained``: a local folder or a Hub id; None trains a small Llama-architecture model from scratch.

    The other fields describe that small model: enough capacity to tell real text from damaged text on two CPU cores.
    """

    pretrained: str | None = None
    revision: str | None = None
    vocabulary: int = 2048
    hidden_size: int = 96
    layers: int = 3
    heads: int = 4
    max_length: int = 256
    steps: int = 240
    batch_rows: int = 8
    learning_rate: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        sizes = (self.hidden_size, self.layers, self.heads, self.max_length, self.steps, self.batch_rows)
        if min(sizes) < 1 or self.vocabulary <= 300:
            raise ValueError("vocabulary must exceed 300 (bytes and role tokens), and all sizes must be positive")
        if self.hidden_size % self.heads or self.hidden_size // self.heads % 2:
            raise ValueError("hidden_size must be an even multiple of heads")


@dataclass(frozen=True)
class BaseModelCard:
    """What the base model is, written beside it. ``identity`` enters the configuration fingerprint.

    ``trained_from``: rows with a content-hash fraction at or above it may have been trained on (1.0: none were).
    """

    identity: str
    pretrained: str | None
    revision: str | None
    trained_from: float
    parameters: int
    rows: int
    tokens: int
    first_loss_nats: float | None
    last_loss_nats: float | None


def is_trained_row(row_hash: str) -> bool:
    return hash_fraction(row_hash) >= TRAINED_FROM


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerBase:
    """Byte-level BPE: any text can be encoded, so damaged text costs tokens instead of failing."""
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


def build_base_model(
    records: Sequence[tuple[Record, str]],
    data_hash: str,
    params: BaseModelParams,
    folder: str | Path,
    progress: Progress = lambda done, total: None,
) -> BaseModelCard:
    """Train the small model on the upper half of the baseline (by content hash), or point to a pretrained one.

    ``records``: (record, content hash) of the baseline version, ``data_hash`` its identity. Writes model, tokenizer
    and card to ``folder``. Raises EntropylawError when there is nothing to train on or the pretrained model cannot
    be used.
    """
    folder = Path(folder)
    if params.pretrained:
        model, _ = load_pretrained(params.pretrained, params.revision)
        card = card_of_pretrained(model, params.pretrained, params.revision)
        write_json(folder / CARD, card)
        return card

    mine = [record for record, row_hash in records if is_trained_row(row_hash)]
    if not mine:
        raise EntropylawError(
            "the baseline has too few rows to train a base model on; add rows or set base_model.pretrained"
        )
    tokenizer = train_tokenizer([canonical_text(record) for record in mine], params.vocabulary)
    model = new_model(params, tokenizer)
    rows = [encode_conversation(tokenizer, training_messages(record), params.max_length) for record in mine]
    usable = [row for row in rows if row is not None]
    if not usable:
        raise EntropylawError(f"no baseline row has a response within base_model.max_length={params.max_length} tokens")
    losses, tokens = _train(model, usable, tokenizer.pad_token_id, params, progress)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    card = BaseModelCard(
        identity=fingerprint({"params": params, "baseline": data_hash}),
        pretrained=None,
        revision=None,
        trained_from=TRAINED_FROM,
        parameters=model.num_parameters(),
        rows=len(usable),
        tokens=tokens,
        first_loss_nats=losses[0],
        last_loss_nats=sum(losses[-10:]) / len(losses[-10:]),
    )
    write_json(folder / CARD, card)
    return card


def _train(
    model: PreTrainedModel, rows: list[EncodedRow], padding_id: int, params: BaseModelParams, progress: Progress
) -> tuple[list[float], int]:
    """AdamW with linear warm-up and decay. All tokens are predicted, prompts too: a base model knows both sides."""
    import numpy
    import torch

    rng = numpy.random.default_rng(params.seed)
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


def load_pretrained(
    name: str, revision: str | None = None, device: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal model and a tokenizer that knows which tokens are the assistant's, as ``load_causal_model`` does.

    Raises EntropylawError when the model cannot be loaded or its chat template does not mark the assistant's tokens.
    """
    model, tokenizer = load_causal_model(name, revision, device)
    check_chat_template(tokenizer)
    return model, tokenizer


def load_causal_model(
    name: str, revision: str | None = None, device: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal model and its tokenizer from a local folder or a Hub id.

    The weights are float32 on every device: AdamW's updates at a learning rate of 1e-5 are smaller than a bfloat16
    weight can take up. Mixed precision is the trainer's business (``hardware_arguments``).
    Hub code is never run and pickled weights are refused. Raises EntropylawError when it cannot be loaded.
    """
    import torch

    if looks_like_folder(name) and not Path(name).is_dir():
        raise EntropylawError(f"model {name}: no such folder; run `dvc repro` to make it, or name another")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
        model: Any = AutoModelForCausalLM.from_pretrained(
            name,
            revision=revision,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise EntropylawError(f"model {name}: cannot be loaded: {_explain_failure(error)}") from None
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise EntropylawError(f"model {name}: the tokenizer has neither a padding nor an end token; add one to it")
        tokenizer.pad_token = tokenizer.eos_token
    return model.to(device), tokenizer


def _explain_failure(error: Exception) -> str:
    """A library's error as one line, and what to do where that is known."""
    cause = next(iter(str(error).strip().splitlines()), type(error).__name__)
    if isinstance(error, OSError) and "file named" in cause and "safetensors" in cause:
        return (
            "it has no weights as safetensors, and pickled ones are not loaded; "
            "convert them in Python (from_pretrained, then save_pretrained) and name that folder"
        )
    if "`tiktoken` is required" in cause:  # transformers' last resort for a SentencePiece model that it cannot read
        return "its tokenizer.model cannot be read; install the package sentencepiece"
    return cause


def looks_like_folder(name: str) -> bool:
    """Whether a model's name is meant as a path here rather than as a Hub id, which is ``name`` or ``owner/name``.

    >>> looks_like_folder("./sft"), looks_like_folder("models/sft"), looks_like_folder("Qwen/Qwen2.5-0.5B")
    (True, True, False)
    """
    parts = Path(name).parts
    return (
        name.startswith((".", "/", "~")) or len(parts) > 2 or parts[:1] == ("models",) or Path(name).is_dir()
        or (len(parts) == 2 and Path(parts[0]).is_dir())
    )  # fmt: skip


def card_of_pretrained(model: PreTrainedModel, name: str, revision: str | None) -> BaseModelCard:
    """The card of a model that was not made here. A local folder is known by its files, a Hub id by its commit."""
    if Path(name).is_dir():
        identity = hash_folder(name)
    else:
        identity = fingerprint({"pretrained": name, "commit": getattr(model.config, "_commit_hash", None) or revision})
    return BaseModelCard(identity, name, revision, 1.0, model.num_parameters(), 0, 0, None, None)


def read_card(folder: str | Path) -> BaseModelCard:
    """The card of the base model in ``folder``. Raises EntropylawError when there is none."""
    try:
        document: dict[str, Any] = json.loads((Path(folder) / CARD).read_text(encoding="utf-8"))
        return BaseModelCard(**document)
    except (OSError, json.JSONDecodeError, TypeError):
        raise EntropylawError(f"{folder}: not a base model; run `dvc repro base_model` first") from None


def load_base_model(folder: str | Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, BaseModelCard]:
    """The base model of a repository, or any model folder or Hub id that has no card of ours."""
    if (Path(folder) / CARD).exists():
        card = read_card(folder)
        model, tokenizer = load_pretrained(card.pretrained or str(folder), card.revision)
    else:
        model, tokenizer = load_pretrained(str(folder))
        card = card_of_pretrained(model, str(folder), None)
    return model, tokenizer, card
