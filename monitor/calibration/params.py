"""How much a calibration measures: the section `calibration` of params.yaml."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CalibrationParams:
    """How much a calibration measures.

    - ``seeds``: how many probe runs on the same data.
    - ``update_shares``: sizes of the benign updates, as shares of the rows. ``updates``: how many of each size.
    - ``topics``: how many clusters of rows stand for kinds of good data.
    - ``law_runs``: whether to train the runs that the entropy law is fitted on. After their probe they train at
      ``law_learning_rate``, and are scored on ``heldout_rows`` unseen rows.
    - ``max_rows``: of the baseline, so that the cost does not grow with the data. ``max_tokens``: of all runs together;
      where these need more, the law's runs are shortened.
    - ``seed``: of all draws.
    """

    seeds: int = 5
    update_shares: tuple[float, ...] = (0.05, 0.1, 0.2)
    updates: int = 4
    topics: int = 12
    law_runs: bool = True
    law_learning_rate: float = 1e-3
    heldout_rows: int = 128
    max_rows: int = 4000
    max_tokens: int = 2_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seeds < 2 or self.updates < 2 or self.topics < 3:
            raise ValueError("seeds and updates must be at least 2 and topics at least 3")
        if min(self.heldout_rows, self.max_rows, self.max_tokens) < 1 or self.law_learning_rate <= 0:
            raise ValueError("heldout_rows, max_rows, max_tokens and law_learning_rate must be positive")
        if not self.update_shares or not all(0 < share <= 0.5 for share in self.update_shares):
            raise ValueError("update_shares must lie in (0, 0.5]")
