"""What the stages of a selection study leave behind: each method's selections and the models trained on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from selection.methods import SelectionParams

# How many selected rows have so many tokens: {tokens: rows}.
Lengths = Mapping[int, int]


@dataclass(frozen=True)
class MeasuredSelection:
    """What is known of a selection before training. ``identity``: hash over its rows in any order.

    ``l`` in nats per response token; ``seconds``: what selecting took; ``quality``: mean grade from 0 to 5, None where
    no judge is configured.
    """

    identity: str
    rows: int
    r: float
    r_long: float
    l: float  # noqa: E741 - the paper's letter
    seconds: float
    quality: float | None


@dataclass(frozen=True)
class StudyRun:
    """One model: the seed and the tokens of an epoch it was trained with, the rows, and ``z``, minus its held-out loss
    in nats per response token.
    """

    seed: int
    z: float
    trained_tokens: int
    selected: MeasuredSelection


@dataclass(frozen=True)
class MethodResult:
    """One entry of a study: its settings, the budget (``settings.share`` of the pool's tokens) and a run for each seed.

    A row counts with at most ``row_tokens`` tokens, as many as training reads of it.
    """

    name: str
    settings: SelectionParams
    budget_tokens: int
    row_tokens: int
    runs: tuple[StudyRun, ...]
