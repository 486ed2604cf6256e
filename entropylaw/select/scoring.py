"""What is given to whatever computes a number, a tag or a vector for each row of a pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from corpus.progress import StageProgress
from entropylaw.printing import note
from entropylaw.repository.layout import BASE_MODEL
from entropylaw.select.pool import Pool
from selection.methods import SelectionParams

if TYPE_CHECKING:
    from training.row_scores import RowScoreParams
    from training.scoring_cost import ScoringCost


@dataclass(frozen=True)
class Scoring:
    """What a scorer is given: the pool, the settings of the method and of the models that score, and who is told."""

    pool: Pool
    params: SelectionParams
    models: RowScoreParams
    progress: StageProgress

    @property
    def model(self) -> str:
        """The model whose losses are taken: a folder or a Hub id."""
        return self.models.model or str(BASE_MODEL)

    def advance(self, done: int, total: int | None) -> None:
        self.progress("score", done, total)

    def announce(self, cost: ScoringCost) -> None:
        """Say on stderr what a model will take, before it starts."""
        note(f"{self.pool.path}: {cost}")
