"""The results of a selection study's stages: each method's selections and the models trained on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from selection.methods import SelectionParams

# Lengths of selected rows: for each number of tokens, how many rows have that many.
Lengths = Mapping[int, int]

# What Z of a trained model is: minus its loss on held-out conversations, how much likelier it finds the chosen answer
# of a held-out pair than the rejected one, or its mean grade in MT-bench.
ZMeasure = Literal["heldout", "margin", "mt_bench"]


@dataclass(frozen=True)
class MeasuredSelection:
    """A selection before any training.

    ``identity``: hash of its rows, whatever their order. ``l`` in nats per response token. ``seconds``: of selecting.
    ``quality``: mean grade from 0 to 5, None where no judge is configured. ``r_equal_length``, ``self_repetition`` and
    ``novelsum``: see `selection.diversity.Diversity`; None in runs of earlier releases.
    """

    ADDED: ClassVar[tuple[str, ...]] = ("r_equal_length", "self_repetition", "novelsum")

    identity: str
    rows: int
    r: float
    r_long: float
    l: float  # noqa: E741 - the paper's letter
    seconds: float
    quality: float | None
    r_equal_length: float | None = None
    self_repetition: float | None = None
    novelsum: float | None = None


@dataclass(frozen=True)
class StudyRun:
    """One trained model.

    ``z``: as the study's ZMeasure says. ``trained_tokens``: of one epoch. ``selected``: the rows it was trained on.
    ``right_share``: of held-out pairs whose chosen answer the model finds likelier, None in a study of conversations.
    """

    ADDED: ClassVar[tuple[str, ...]] = ("right_share",)

    seed: int
    z: float
    trained_tokens: int
    selected: MeasuredSelection
    right_share: float | None = None


@dataclass(frozen=True)
class MethodResult:
    """One entry of a study: its settings, its budget and a run for each seed.

    ``budget_tokens``: ``settings.share`` of the pool's tokens. ``row_tokens``: the most tokens that count of one row,
    which is as many as training reads of it.
    """

    name: str
    settings: SelectionParams
    budget_tokens: int
    row_tokens: int
    runs: tuple[StudyRun, ...]
