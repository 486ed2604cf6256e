"""What a probe reads of a row: the whole row, or of a long one a window that may lie anywhere in it."""

from __future__ import annotations

import bisect
import hashlib
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corpus.records import Preference, Record, hash_fraction
from corpus.row_sides import question_key
from training.chat import EncodedAnswer, EncodedRow, encode_answer, encode_record

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Of a window that begins inside a row, this share of the tokens is read as context only. The model does not know what
# came before, so that the first tokens look harder than they are: on the chit-chat corpus the first 4 by 0.7 nats, the
# next 4 by 0.1, and those from the 9th on by nothing that could be measured.
CONTEXT_SHARE = 1 / 16


@dataclass(frozen=True, slots=True)
class ReadRow:
    """The tokens of a row that are read, and how many ``response_tokens`` the whole row has."""

    encoded: EncodedRow
    response_tokens: int


def window_place(record: Record) -> float:
    """Where in a long row its window lies, in [0, 1): the same for every answer to the same question."""
    return hash_fraction(hashlib.blake2b(f"window:{question_key(record)}".encode(), digest_size=8).hexdigest())


def choose_window(row: EncodedRow, max_length: int, place: float, first_id: int | None = None) -> EncodedRow | None:
    """At most ``max_length`` tokens of a row, with a response token among them; None where the row has none.

    All response tokens are as likely to be the one that the window is laid around: ``place``, in [0, 1), says which.
    It stands in the middle of the window, or further on in the last window of a row. What follows the last response
    token is left out: it carries no loss and costs time. A window inside a row still begins with ``first_id`` if the
    row does, because some models compute little sense without their first token.

    >>> row = EncodedRow(tuple(range(10)), (False,) * 6 + (True,) * 4)
    >>> choose_window(row, 4, 0.0)
    EncodedRow(ids=(4, 5, 6, 7), response=(False, False, True, True))
    """
    # The first token of a row is never predicted, so a response there alone carries no loss.
    targets = [i for i in range(1, len(row.ids)) if row.response[i]]
    if not targets:
        return None
    end = targets[-1] + 1
    target = targets[int(place * len(targets))]
    start = max(min(target - max_length // 2, end - max_length), 0)
    end = targets[bisect.bisect_left(targets, start + max_length) - 1] + 1
    ids, response = row.ids[start:end], row.response[start:end]
    if start > 0:
        context = max(1, int(max_length * CONTEXT_SHARE))
        response = (False,) * context + response[context:]
        if first_id is not None and row.ids[0] == first_id:
            ids = (first_id, *ids[1:])
    return EncodedRow(ids, response) if any(response[1:]) else None


def read_conversation(tokenizer: PreTrainedTokenizerBase, record: Record, max_length: int) -> ReadRow | None:
    """What is read of a conversation, or of a preference with the answer that is trained on; None without a response.

    Raises EntropylawError when the chat template refuses the messages.
    """
    # Only the window is read, but where it lies depends on the whole row.
    return read_window(tokenizer, record, encode_record(tokenizer, record), max_length)


def read_window(
    tokenizer: PreTrainedTokenizerBase, record: Record, whole: EncodedRow, max_length: int
) -> ReadRow | None:
    """What is read of a record's ``whole`` row; None without a response."""
    window = choose_window(whole, max_length, window_place(record), tokenizer.bos_token_id)
    return ReadRow(window, count_responses(whole)) if window else None


def read_preference(
    tokenizer: PreTrainedTokenizerBase, record: Record, max_length: int
) -> dict[bool, tuple[EncodedAnswer, int]] | None:
    """What is read of a preference: the chosen answer under True, the rejected one under False.

    Each with the response tokens of the whole answer. None of a conversation, and of a row without an answer.
    """
    return read_answer_windows(tokenizer, record, encode_answers(tokenizer, record), max_length)


def encode_answers(tokenizer: PreTrainedTokenizerBase, record: Record) -> dict[bool, EncodedRow]:
    """The answers of a preference that are to be trained on, each whole and after its prompt.

    The chosen one is under True, the rejected one under False. Empty for a conversation.
    """
    if not isinstance(record, Preference):
        return {}
    answers = {}
    for label, messages in ((True, record.chosen), (False, record.rejected)):
        whole = encode_answer(tokenizer, record.prompt, messages, sys.maxsize, record.tools) if messages else None
        if whole is not None:
            answers[label] = whole.after(whole.prompt_ids, sys.maxsize)
    return answers


def read_answer_windows(
    tokenizer: PreTrainedTokenizerBase, record: Record, whole: dict[bool, EncodedRow], max_length: int
) -> dict[bool, tuple[EncodedAnswer, int]] | None:
    """What is read of a preference's ``whole`` answers, as ``read_preference`` gives it."""
    place = window_place(record)
    answers = {}
    for label, row in whole.items():
        window = choose_window(row, max_length, place, tokenizer.bos_token_id)
        if window is None or window.response[0]:
            continue
        start = window.response.index(True)
        answers[label] = (EncodedAnswer(window.ids[:start], window.ids[start:]), count_responses(row))
    return answers or None


def count_responses(row: EncodedRow) -> int:
    """The response tokens of a row that carry a loss."""
    return sum(row.response[1:])
