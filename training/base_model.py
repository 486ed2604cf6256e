"""The fixed model that every version is probed from: trained from scratch on the baseline version, or pretrained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from corpus.artifacts import fingerprint, hash_folder, read_result, write_json
from corpus.errors import EntropylawError
from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord, Record, canonical_text
from corpus.row_sides import key_fraction, question_key
from corpus.stored_rows import ChosenRows
from training.base_model_params import BaseModelParams
from training.chat import EncodedRow, encode_record
from training.chat_templates import prepare_chat_template, read_chat_template
from training.disk_errors import name_unwritten
from training.gguf_model import hash_gguf, is_gguf, save_gguf_model
from training.model_loading import load_pretrained
from training.probe_run import choose_probe_rows
from training.row_window import read_window
from training.small_model import new_model, train_model, train_tokenizer
from training.threads import same_bits

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase

CARD = "entropylaw.json"

# Rows whose question's key falls in the upper half train the base model; rows in the lower half are probed. The split
# is by what a row asks, so the base model has seen no probed question of any later version, and a row whose answer was
# edited stays on its side. Otherwise the rows of the first version would look easier than those of any honest update.
TRAINED_FROM = 0.5
# Below this share of rows with room for an answer, the others are read in windows: a minority would make the model.
MIN_FITTING_SHARE = 0.5
# A small model gets at most so many rows for each row that its steps train on; of more rows so many are drawn. The
# steps never see the others, and reading them took a quarter of the time at 10,000 rows.
DRAWN_PER_TRAINED = 2
# And at most so many bytes of text, so that long rows take no longer: reading them takes some ten seconds.
MAX_TEXT_BYTES = 16_000_000
# But at least so many rows: a model of fewer would know these rows and not the data.
MIN_DRAWN_ROWS = 500
# Part of a small model's identity: a model whose rows were told apart in another way is another one.
SPLIT: Literal["question"] = "question"


@dataclass(frozen=True)
class BaseModelCard:
    """What the base model is; the file lies in its folder.

    ``identity``: part of the configuration fingerprint. ``trained_from``: rows whose question has a key fraction of at
    least this may have been trained on (1.0: none were). ``split``: by what the rows of a small model were told apart;
    None of a pretrained model, and of an older one, whose rows were told apart by their whole content. ``rows`` and
    ``tokens``: what the small model was trained on.
    ``chat_template``: the Jinja text given to a pretrained model, None where its own is used. ``weights``,
    ``lora_rank`` and ``adapter_seed``: how ``load_probed_model`` prepares it.
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
    split: Literal["question"] | None = None

    @property
    def pointer(self) -> str | None:
        """The folder or Hub id that has the weights; None where they lie beside the card, as a small model's do."""
        return None if is_gguf(self.pretrained) else self.pretrained


def is_trained_row(record: Record) -> bool:
    """Whether this row trains the small base model, and so is never probed."""
    return key_fraction(question_key(record)) >= TRAINED_FROM


def build_base_model(
    records: Sequence[HashedRecord],
    data_hash: str,
    params: BaseModelParams,
    folder: str | Path,
    progress: Progress = ignore_progress,
) -> BaseModelCard:
    """Train the small model on the upper half of the baseline (by question), or point to a pretrained one.

    ``records``: the rows of the baseline version; ``data_hash``: its identity. Writes model, tokenizer and card to
    ``folder``; of a pretrained model only the card, unless it is read from a GGUF file. Raises EntropylawError when
    there is nothing to train on or the pretrained model cannot be used.
    """
    folder = Path(folder)
    template = None if params.chat_template is None else read_chat_template(params.chat_template)
    if params.pretrained:
        name = params.pretrained
        if is_gguf(name):
            (folder / CARD).unlink(
                missing_ok=True
            )  # a run that is killed must not leave an old card beside new weights
            save_gguf_model(name, folder, progress)
            name = str(folder)
        model, _ = load_pretrained(name, params.revision, dtype=params.weights, chat_template=template)
        card = card_of_pretrained(model, params, template)
    else:
        upper = ChosenRows(records, [i for i, (record, _) in enumerate(records) if is_trained_row(record)])
        drawn = draw_rows(upper, params)
        card = _train_small_model(
            [record for record, _ in drawn], len(drawn) < len(upper), data_hash, params, template, folder, progress
        )
    write_json(folder / CARD, card)
    return card


def draw_rows(records: Sequence[HashedRecord], params: BaseModelParams) -> list[HashedRecord]:
    """The rows that a small model is made of: all in file order, or of many and of long ones a part, in hash order.

    So the time that it takes depends on ``params``, and not on the size of the data.
    """
    most = DRAWN_PER_TRAINED * params.steps * params.batch_rows
    if len(records) <= most and sum(len(canonical_text(record).encode()) for record, _ in records) <= MAX_TEXT_BYTES:
        return list(records)
    drawn: list[HashedRecord] = []
    text_bytes = 0
    for row in choose_probe_rows(records, most, params.seed, trained_from=1.0):
        text_bytes += len(canonical_text(row.record).encode())
        if text_bytes > MAX_TEXT_BYTES and len(drawn) >= MIN_DRAWN_ROWS:
            break
        drawn.append(row)
    return drawn


def _train_small_model(
    records: Sequence[Record],
    are_drawn: bool,
    data_hash: str,
    params: BaseModelParams,
    template: str | None,
    folder: Path,
    progress: Progress,
) -> BaseModelCard:
    if not records:
        raise EntropylawError(
            "the baseline has too few rows with different questions to train a base model on; "
            "add rows or set base_model.pretrained"
        )
    tokenizer = train_tokenizer([canonical_text(record) for record in records], params.vocabulary)
    prepare_chat_template(tokenizer, template)
    model = new_model(params, tokenizer)
    usable, windows = _encode_rows(tokenizer, records, params.max_length)
    if not usable:
        limit = f"base_model.max_length={params.max_length}"
        raise EntropylawError(f"no baseline row has a response to train on within {limit} tokens")
    # Two machines call it the same model by its identity, so it must be the same one.
    with same_bits(model):
        losses, tokens = train_model(model, usable, tokenizer.pad_token_id, params, progress)
    with name_unwritten(folder):
        # The card comes last: a run that is killed before must not leave an old card beside new weights.
        (folder / CARD).unlink(missing_ok=True)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return BaseModelCard(
        identity=fingerprint(
            {
                "params": _describe_params(params, template),
                "baseline": data_hash,
                "split": SPLIT,
                # Left out where there are none, so that models of few and short rows keep their identity and history.
                **({"windows": windows} if windows else {}),
                **({"drawn": len(records)} if are_drawn else {}),
            }
        ),
        pretrained=None,
        revision=None,
        trained_from=TRAINED_FROM,
        parameters=model.num_parameters(),
        rows=len(usable),
        tokens=tokens,
        first_loss_nats=losses[0],
        last_loss_nats=sum(losses[-10:]) / len(losses[-10:]),
        split=SPLIT,
    )


def _encode_rows(
    tokenizer: PreTrainedTokenizerBase, records: Sequence[Record], max_length: int
) -> tuple[list[EncodedRow], int]:
    """The rows to train on, each of ``max_length`` tokens at most, and how many of them are windows.

    A row is cut at its end. Where most prompts leave no room for an answer, these rows are read as the probe reads
    them: in a window around a response. Otherwise the model would be made of the few others, or of none.
    """
    rows = [encode_record(tokenizer, record) for record in records]
    cut = [row.cut(max_length) for row in rows]
    whole = [row for row in cut if row is not None]
    if len(whole) >= MIN_FITTING_SHARE * sum(any(row.response[1:]) for row in rows):
        return whole, 0
    without_room = [(record, row) for record, row, kept in zip(records, rows, cut, strict=True) if kept is None]
    windows = [read_window(tokenizer, record, row, max_length) for record, row in without_room]
    read = [window.encoded for window in windows if window is not None]
    return [*whole, *read], len(read)


def _describe_params(params: BaseModelParams, template: str | None) -> dict[str, Any]:
    """The parameters that are part of the identity. A template counts by its text, because its file may change.

    The key is left out where no template is given, so that models from before there was a choice keep their identity
    and their history.
    """
    described = asdict(params)
    for field in ("chat_template", "weights", "lora_rank"):  # the last two are always the same for a small model
        del described[field]
    return described if template is None else {**described, "chat_template": template}


def card_of_pretrained(
    model: PreTrainedModel, params: BaseModelParams, chat_template: str | None = None
) -> BaseModelCard:
    """The card of the model that ``params.pretrained`` names. ``chat_template``: the Jinja text it was given, if any.

    A local folder and a GGUF file are identified by their content, a Hub id by its commit. Where they were chosen, the
    chat template, the weights' precision and the adapters that are tuned in place of the weights are part of the
    identity: its losses depend on them.
    """
    name = str(params.pretrained)
    if is_gguf(name):
        identity = fingerprint({"gguf": hash_gguf(name)})
    elif Path(name).is_dir():
        identity = hash_folder(name)
    else:
        commit = getattr(model.config, "_commit_hash", None) or params.revision
        identity = fingerprint({"pretrained": name, "commit": commit})
    chosen: dict[str, Any] = {}
    if chat_template is not None:
        chosen["chat_template"] = chat_template
    if params.weights != "float32":
        chosen["weights"] = params.weights
    if params.lora_rank is not None:
        chosen |= {"lora_rank": params.lora_rank, "adapter_seed": params.seed}
    return BaseModelCard(
        identity=fingerprint({"model": identity, **chosen}) if chosen else identity,
        pretrained=name,
        revision=params.revision,
        trained_from=1.0,
        parameters=model.num_parameters(),
        rows=0,
        tokens=0,
        first_loss_nats=None,
        last_loss_nats=None,
        chat_template=chat_template,
        weights=params.weights,
        lora_rank=params.lora_rank,
        adapter_seed=0 if params.lora_rank is None else params.seed,
    )


def read_card(folder: str | Path) -> BaseModelCard:
    """The card of the base model in ``folder``. Raises EntropylawError when there is none, or an older small model."""
    file = Path(folder) / CARD
    if not file.is_file():
        raise EntropylawError(f"{folder}: not a base model; run `dvc repro base_model` first")
    card = read_result(file, BaseModelCard, "dvc repro base_model")
    if card.trained_from < 1 and card.split != SPLIT:
        # Its training rows were chosen by their whole content: it has seen the questions of rows that are probed now.
        raise EntropylawError(f"{folder}: made by an older version of the tool; run `dvc repro --force base_model`")
    return card


def load_base_model(
    folder: str | Path,
    device: str | None = None,
    dtype: str = "float32",
    quantization: BitsAndBytesConfig | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, BaseModelCard]:
    """Load a base model with its tokenizer and card; ``folder`` may also be any model folder or Hub id without a card.

    To train it or to score with it, give the ``dtype``; to probe it, use ``load_probed_model``. Raises EntropylawError
    when the model cannot be loaded.
    """
    if (Path(folder) / CARD).exists():
        card = read_card(folder)
        model, tokenizer = load_pretrained(
            card.pointer or str(folder), card.revision, device, dtype, quantization, card.chat_template
        )
    else:
        model, tokenizer = load_pretrained(str(folder), None, device, dtype, quantization)
        card = card_of_pretrained(model, BaseModelParams(pretrained=str(folder)))
    return model, tokenizer, card
