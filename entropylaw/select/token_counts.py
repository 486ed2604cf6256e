"""Tokens of texts by a model's tokenizer, without loading the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.errors import EntropylawError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FILE = "tokenizer.json"


def load_token_counter(folder: Path) -> Callable[[Sequence[str]], list[int]]:
    """A function from texts to their numbers of tokens, by the tokenizer.json in ``folder``.

    A base model that only points to a pretrained one has that one's tokenizer, from its folder or the Hub.
    Raises EntropylawError when there is no tokenizer, or none that can be read.
    """
    tokenizer = _load_tokenizer(folder)

    def count(texts: Sequence[str]) -> list[int]:
        return [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(list(texts))]

    return count


def load_tokenizer(name: str) -> Tokenizer:
    """The tokenizer in a model's folder, or on the Hub under a model's id.

    Raises EntropylawError when there is none, or none that can be read.
    """
    from training.model_loading import looks_like_folder

    if Path(name).exists() or looks_like_folder(name):
        return _load_tokenizer(Path(name))
    return _read_tokenizer(name, None)


def _load_tokenizer(folder: Path) -> Tokenizer:
    from training.base_model import CARD, read_card
    from training.model_loading import looks_like_folder

    name, revision = str(folder), None
    if (folder / CARD).exists() and (card := read_card(folder)).pointer:
        name, revision = card.pointer, card.revision
    file = Path(name) / TOKENIZER_FILE
    if not file.exists() and (name == str(folder) or looks_like_folder(name)):
        raise EntropylawError(f"{file}: no such file; tokens are counted by the {TOKENIZER_FILE} of --tokenizer FOLDER")
    return _read_tokenizer(name, revision)


def _read_tokenizer(name: str, revision: str | None) -> Tokenizer:
    import logging

    from tokenizers import Tokenizer

    file = Path(name) / TOKENIZER_FILE
    try:
        if file.exists():
            return Tokenizer.from_file(str(file))
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it logs each of its retries
        return Tokenizer.from_pretrained(name, revision=revision or "main")
    except Exception as error:  # the library raises nothing narrower
        raise EntropylawError(f"{name}: the tokenizer cannot be read: {error}") from None
