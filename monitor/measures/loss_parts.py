"""What moves L: how much the added rows raise it, and how much rows of new sources do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from monitor.measures.evidence import Evidence, locate_probe_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class LossParts:
    """How much groups of rows raise L, in nats per response token, by the base model's losses of single rows.

    - ``new_sources``: L minus the L of all other rows; 0 without such rows, nan where there are no others.
    - ``added``: of these others, L minus the L of the rows that were not added; None where there are none.
    """

    new_sources: float = 0.0
    added: float | None = None


def measure_loss_parts(item: Evidence, is_added: NDArray[np.bool_], is_new: NDArray[np.bool_]) -> LossParts:
    """The parts of L. ``is_added``: rows that the parent had not; ``is_new``: rows of new sources; shape (records,).

    L is a mean over tokens, so a row counts as often as it has tokens. Only rows that the probe's run trained on count.
    """
    if not item.probe_trained.any():
        return LossParts()
    trained = locate_probe_rows(item)[item.probe_trained]
    losses, tokens = item.probe_losses[item.probe_trained], item.probe_tokens[item.probe_trained]

    def mean(chosen: NDArray[np.bool_]) -> float:
        return float(np.average(losses[chosen], weights=tokens[chosen])) if chosen.any() else float("nan")

    known = ~is_new[trained]
    # A row of which it is not known whether the parent had it counts as kept.
    kept = known & ~is_added[trained]
    whole, of_known = mean(np.ones_like(known)), mean(known)
    return LossParts(whole - of_known, of_known - mean(kept) if kept.any() else None)
