"""What is given to whatever computes a number, a tag or a vector for each row of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corpus.embeddings import embed_texts, load_embedder
from corpus.progress import StageProgress
from entropylaw.printing import note
from entropylaw.repository.layout import BASE_MODEL
from entropylaw.select.pool import Pool
from selection.methods import SelectionParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, shape (texts, 256)."""
        done = 0

        def advance(embedded: int) -> None:
            nonlocal done
            done += embedded
            self.progress("embed", done, len(texts))

        return embed_texts(load_embedder(), texts, advance)
