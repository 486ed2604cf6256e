"""The turns of a conversation, each an answer and what asked for it: what DEITA, InsTag, MoDS and AlpaGasus score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from corpus.records import Message

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Turn(NamedTuple):
    """One answer (``output``) and the text that asked for it (``instruction``)."""

    instruction: str
    output: str


def split_turns(messages: Sequence[Message]) -> list[Turn]:
    r"""Each assistant message with the text of user and tools since the assistant message before it.

    A message that is not to be trained on makes no turn.

    >>> split_turns([Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Hello!")])
    [Turn(instruction='Hi', output='Hello!')]
    """
    turns: list[Turn] = []
    asked: list[str] = []
    for message in messages:
        if message.role == "assistant":
            if message.trained:
                turns.append(Turn("\n".join(asked), message.text))
            asked = []
        elif message.role != "system":
            asked.append(message.text)
    return turns


def mean_of_rows(numbers: NDArray[np.float64], counts: Sequence[int]) -> NDArray[np.float64]:
    """The mean of each row's numbers, which stand one row after the other; NaN for a row whose count is 0.

    >>> mean_of_rows(np.array([1.0, 3.0, 5.0]), [2, 0, 1])
    array([ 2., nan,  5.])
    """
    ends = np.cumsum(np.asarray(counts, dtype=int))
    parts = np.split(numbers, ends[:-1]) if len(ends) else []
    known = [part[~np.isnan(part)] for part in parts]
    return np.array([part.mean() if len(part) else np.nan for part in known], dtype=float)
