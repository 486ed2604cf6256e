"""A second model beside the base model: a real language model that only reads. Its losses see what a small one cannot.

A model of half a million weights sees damaged text, and a language model wrong facts and answers of other rows
(docs/benchmarks.md). The second one is never trained, so a run costs what its reading costs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from corpus.artifacts import fingerprint
from corpus.errors import EntropylawError
from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord, Record
from training.base_model import card_of_pretrained
from training.base_model_params import BaseModelParams
from training.chat import EncodedRow
from training.chat_templates import prepare_chat_template
from training.device_memory import explain_full_memory
from training.gguf_model import find_gguf, is_gguf, load_gguf_model, require_reader
from training.loss import collate_rows, row_token_losses
from training.model_loading import find_device, limit_length, load_pretrained, looks_like_folder, set_padding
from training.row_window import read_conversation

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class SecondModelParams:
    """The section ``second_model`` of params.yaml.

    ``pretrained``: a local folder, a Hub id, the path of a GGUF file, or ``package:NAME`` for the GGUF file that an
    installed Python package carries; None is no second model. ``revision``: of a Hub id. ``tokens``: a budget for all
    rows of a dataset together; at least one row is read. ``max_length``: tokens that are read of a row at most.
    """

    OPTIONAL: ClassVar[bool] = True

    pretrained: str | None = None
    revision: str | None = None
    tokens: int = 30_000
    max_length: int = 256

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.max_length < 2:
            raise ValueError("tokens must be positive, and max_length at least 2")

    def require_here(self) -> None:
        """Raise EntropylawError where a folder, a file or a package is missing that would have to be here. Nothing is
        loaded for it, and nothing is asked of the Hub.
        """
        if self.pretrained and is_gguf(self.pretrained):
            find_gguf(self.pretrained)
            require_reader(self.pretrained)
        elif self.pretrained and looks_like_folder(self.pretrained) and not Path(self.pretrained).is_dir():
            raise EntropylawError(f"second_model.pretrained: {self.pretrained}: no such folder; name another")


class _Loaded(NamedTuple):
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    identity: str
    max_length: int


class _KnownRow(NamedTuple):
    """``tokens``: that are read of a row. ``loss``: in nats per response token."""

    tokens: int
    loss: float


class SecondModel:
    """The second model of ``params``. It is loaded when it first has to read, and remembers what it has read."""

    def __init__(self, params: SecondModelParams, device: str | None = None) -> None:
        self.params = params
        self._device = device
        self._known: dict[str, _KnownRow] = {}

    @property
    def identity(self) -> str:
        """A hash of the model and of how it reads: losses can be compared where this is the same."""
        return self._loaded.identity

    def read(self, rows: Sequence[HashedRecord], progress: Progress = ignore_progress) -> list[float]:
        """The loss of each row in nats per response token; nan of rows without one, and of rows beyond the budget.

        Rows are read in the order given, until the next one would exceed ``params.tokens``. ``progress`` is told the
        tokens. Raises EntropylawError when the model cannot be loaded, or when its chat template refuses a row.
        """
        losses = [math.nan] * len(rows)
        spent, most = 0, self.params.tokens
        for i, (record, row_hash) in enumerate(rows):
            known = self._known.get(row_hash)
            row = None if known else self._encode(record)
            tokens = known.tokens if known else len(row.ids) if row else 0
            if spent and spent + tokens > most:
                break
            spent += tokens
            if row is not None:
                known = self._known[row_hash] = _KnownRow(tokens, self._measure(row))
            if known is not None:
                losses[i] = known.loss
            progress(min(spent, most), most)
        progress(most, most)
        return losses

    def _encode(self, record: Record) -> EncodedRow | None:
        try:
            row = read_conversation(self._loaded.tokenizer, record, self._loaded.max_length)
        except EntropylawError as error:
            raise EntropylawError(f"second_model: {error}") from None
        return row.encoded if row else None

    def _measure(self, row: EncodedRow) -> float:
        """One row at a time: so its loss is the same to the last bit, whatever is read beside it."""
        import torch

        model, tokenizer = self._loaded.model, self._loaded.tokenizer
        smaller = f"second_model.max_length (now {self.params.max_length}), or name a smaller model"
        with torch.no_grad(), explain_full_memory("second model", smaller):
            sums, counts = row_token_losses(model, collate_rows([row], int(tokenizer.pad_token_id)))
        loss = float(sums[0]) / int(counts[0])
        if not math.isfinite(loss):
            raise EntropylawError(f"second model {self.params.pretrained}: a row's loss is {loss}; name another model")
        return loss

    @functools.cached_property
    def _loaded(self) -> _Loaded:
        name, revision = str(self.params.pretrained), self.params.revision
        self.params.require_here()
        with explain_full_memory("second model", f"second_model.pretrained (now {name}) to a smaller model"):
            if is_gguf(name):
                model, tokenizer = load_gguf_model(name)
                set_padding(tokenizer, name)
                prepare_chat_template(tokenizer)
                model = model.to(self._device or find_device())
            else:
                model, tokenizer = load_pretrained(name, revision, self._device)
        if tokenizer.chat_template is None:
            raise EntropylawError(
                f"second model {name}: no chat template; name a chat model, or save a template with its tokenizer"
            )
        model.eval()
        max_length = limit_length(model, self.params.max_length)
        card = card_of_pretrained(model, BaseModelParams(pretrained=name, revision=revision))
        return _Loaded(model, tokenizer, fingerprint({"model": card.identity, "max_length": max_length}), max_length)
