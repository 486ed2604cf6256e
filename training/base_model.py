"""The fixed model every version is probed from: trained from scratch on the baseline version, or pretrained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from corpus.artifacts import fingerprint, hash_folder, write_json
from corpus.errors import EntropylawError
from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord, canonical_text, hash_fraction
from training.base_model_params import BaseModelParams
from training.chat import encode_conversation, training_messages
from training.chat_templates import prepare_chat_template, read_chat_template
from training.model_loading import load_pretrained
from training.small_model import new_model, train_model, train_tokenizer

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase

CARD = "entropylaw.json"

# Rows whose content hash falls in the upper half train the base model, rows in the lower half are probed. The split
# is by content, so in every later version no probed row has been seen by the base model: otherwise the rows of the
# first version would look easier than any honest update.
TRAINED_FROM = 0.5


@dataclass(frozen=True)
class BaseModelCard:
    """What the base model is, written beside it. ``identity`` enters the configuration fingerprint.

    ``trained_from``: rows with a content-hash fraction at or above it may have been trained on (1.0: none were).
    ``chat_template``: the Jinja text given to a pretrained model; None where the model's files hold its template.
    ``weights``, ``lora_rank`` and ``adapter_seed``: how ``load_probed_model`` prepares it.
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
    chat_template: str | None = None
    weights: Literal["float32", "bfloat16"] = "float32"
    lora_rank: int | None = None
    adapter_seed: int = 0


def is_trained_row(row_hash: str) -> bool:
    return hash_fraction(row_hash) >= TRAINED_FROM


def build_base_model(
    records: Sequence[HashedRecord],
    data_hash: str,
    params: BaseModelParams,
    folder: str | Path,
    progress: Progress = ignore_progress,
) -> BaseModelCard:
    """Train the small model on the upper half of the baseline (by content hash), or point to a pretrained one.

    ``records``: (record, content hash) of the baseline version, ``data_hash`` its identity. Writes model, tokenizer
    and card to ``folder``. Raises EntropylawError when there is nothing to train on or the pretrained model cannot
    be used.
    """
    folder = Path(folder)
    template = None if params.chat_template is None else read_chat_template(params.chat_template)
    if params.pretrained:
        model, _ = load_pretrained(params.pretrained, params.revision, dtype=params.weights, chat_template=template)
        card = card_of_pretrained(
            model, params.pretrained, params.revision, template, params.weights, params.lora_rank, params.seed
        )
        write_json(folder / CARD, card)
        return card

    mine = [record for record, row_hash in records if is_trained_row(row_hash)]
    if not mine:
        raise EntropylawError(
            "the baseline has too few rows to train a base model on; add rows or set base_model.pretrained"
        )
    tokenizer = train_tokenizer([canonical_text(record) for record in mine], params.vocabulary)
    prepare_chat_template(tokenizer, template)
    model = new_model(params, tokenizer)
    rows = [encode_conversation(tokenizer, training_messages(record), params.max_length) for record in mine]
    usable = [row for row in rows if row is not None]
    if not usable:
        raise EntropylawError(f"no baseline row has a response within base_model.max_length={params.max_length} tokens")
    losses, tokens = train_model(model, usable, tokenizer.pad_token_id, params, progress)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    card = BaseModelCard(
        identity=fingerprint({"params": _describe_params(params, template), "baseline": data_hash}),
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


def _describe_params(params: BaseModelParams, template: str | None) -> dict[str, Any]:
    """The parameters as they enter the identity: a template by its text, which a file's name does not tell.

    Without one the key is left out: models from before there was a choice keep their identity, and their history.
    """
    described = asdict(params)
    for field in ("chat_template", "weights", "lora_rank"):  # the last two are always the same for a small model
        del described[field]
    return described if template is None else {**described, "chat_template": template}


def card_of_pretrained(
    model: PreTrainedModel,
    name: str,
    revision: str | None,
    chat_template: str | None = None,
    weights: Literal["float32", "bfloat16"] = "float32",
    lora_rank: int | None = None,
    seed: int = 0,
) -> BaseModelCard:
    """The card of a model that was not made here. A local folder is known by its files, a Hub id by its commit.

    What else its losses depend on is part of its identity, where it was chosen: a chat template, the weights'
    precision, and the adapters that are tuned in place of the weights.
    """
    if Path(name).is_dir():
        identity = hash_folder(name)
    else:
        identity = fingerprint({"pretrained": name, "commit": getattr(model.config, "_commit_hash", None) or revision})
    chosen: dict[str, Any] = {}
    if chat_template is not None:
        chosen["chat_template"] = chat_template
    if weights != "float32":
        chosen["weights"] = weights
    if lora_rank is not None:
        chosen |= {"lora_rank": lora_rank, "adapter_seed": seed}
    return BaseModelCard(
        identity=fingerprint({"model": identity, **chosen}) if chosen else identity,
        pretrained=name,
        revision=revision,
        trained_from=1.0,
        parameters=model.num_parameters(),
        rows=0,
        tokens=0,
        first_loss_nats=None,
        last_loss_nats=None,
        chat_template=chat_template,
        weights=weights,
        lora_rank=lora_rank,
        adapter_seed=0 if lora_rank is None else seed,
    )


def read_card(folder: str | Path) -> BaseModelCard:
    """The card of the base model in ``folder``. Raises EntropylawError when there is none."""
    try:
        document: dict[str, Any] = json.loads((Path(folder) / CARD).read_text(encoding="utf-8"))
        return BaseModelCard(**document)
    except (OSError, json.JSONDecodeError, TypeError):
        raise EntropylawError(f"{folder}: not a base model; run `dvc repro base_model` first") from None


def load_base_model(
    folder: str | Path,
    device: str | None = None,
    dtype: str = "float32",
    quantization: BitsAndBytesConfig | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, BaseModelCard]:
    """The base model of a repository, or any model folder or Hub id that has no card of ours.

    Those who train it or score with it choose ``dtype`` themselves; those who probe it use ``load_probed_model``.
    """
    if (Path(folder) / CARD).exists():
        card = read_card(folder)
        model, tokenizer = load_pretrained(
            card.pretrained or str(folder), card.revision, device, dtype, quantization, card.chat_template
        )
    else:
        model, tokenizer = load_pretrained(str(folder), None, device, dtype, quantization)
        card = card_of_pretrained(model, str(folder), None)
    return model, tokenizer, card
