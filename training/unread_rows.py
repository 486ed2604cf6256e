"""How many rows a model does not see whole: those that ``max_length`` cuts, and those that lose something else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from training.chat import EncodedRow


class RowFit(NamedTuple):
    """What a model does not see of a row; the fields are those of ``UnreadRows``."""

    truncated: bool
    prompt_too_long: bool
    without_answer: bool
    text_lost: bool


@dataclass(frozen=True)
class UnreadRows:
    """Of how many rows something is not read. A row may count more than once.

    ``rows``: that were looked at; of KTO, answers. ``truncated``: longer than ``max_length`` tokens, so that a part of
    the row is not read. ``prompts_too_long``: those among them whose prompt alone fills ``max_length`` and leaves no
    room for the answer. ``without_answer``: rows without an answer that is to be trained on, which are left out.
    ``text_lost``: rows of which the chat template leaves out a text, as some leave out earlier reasoning.
    ``beyond_budget``: rows that would have been probed and that ``probe.tokens`` left out whole.

    >>> UnreadRows(600, 312, 40).describe()
    'of 600 rows 312 cut at max_length, 40 with no room for an answer'
    """

    rows: int = 0
    truncated: int = 0
    prompts_too_long: int = 0
    without_answer: int = 0
    text_lost: int = 0
    beyond_budget: int = 0

    def describe(self) -> str:
        """What is not read, in a clause; empty where all of every row is."""
        parts = (
            (self.truncated, "cut at max_length"),
            (self.prompts_too_long, "with no room for an answer"),
            (self.without_answer, "with no answer to train on"),
            (self.text_lost, "that lose text in the chat template"),
            (self.beyond_budget, "left out by probe.tokens"),
        )
        found = ", ".join(f"{count} {words}" for count, words in parts if count)
        return found and f"of {self.rows} rows {found}"


def fit_row(row: EncodedRow, max_length: int) -> RowFit:
    """What is not read of a whole row, as ``encode_record`` gives it, at ``max_length`` tokens."""
    # The first token is never predicted, so a response there is none to train on.
    first = next((i for i in range(1, len(row.ids)) if row.response[i]), None)
    return RowFit(
        truncated=len(row.ids) > max_length,
        prompt_too_long=first is not None and first >= max_length,
        without_answer=first is None,
        text_lost=row.text_lost,
    )


def fit_answers(answers: Iterable[EncodedRow], max_length: int) -> RowFit:
    """What is not read of a preference, whose answers stand after the prompt: a loss in any of them counts.

    >>> fit_answers([], 256).without_answer
    True
    """
    fits = [fit_row(answer, max_length) for answer in answers]
    return RowFit(*map(any, zip(*fits, strict=True))) if fits else RowFit(False, False, True, False)


def count_unread(fits: Iterable[RowFit], beyond_budget: int = 0) -> UnreadRows:
    """The counts over all rows. ``beyond_budget``: rows that were left out without a look at them.

    >>> count_unread([RowFit(True, False, False, False), RowFit(False, False, True, False)], 3).describe()
    'of 5 rows 1 cut at max_length, 1 with no answer to train on, 3 left out by probe.tokens'
    """
    rows = list(fits)
    counts = {name: sum(getattr(row, name) for row in rows) for name in RowFit._fields if name != "prompt_too_long"}
    prompts = sum(row.prompt_too_long for row in rows)
    return UnreadRows(len(rows) + beyond_budget, prompts_too_long=prompts, beyond_budget=beyond_budget, **counts)
