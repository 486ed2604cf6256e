"""What a selection method is given, and what it answers: settings, the pool's rows with what is known of them, rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from corpus.progress import StageProgress, ignore_stages
from selection.alpagasus import LOWEST_GRADE_KEPT
from selection.budget import Budget
from selection.engines import EngineName
from selection.mods import NECESSITY_BELOW, QUALITY_ABOVE, SEED_SHARE, RewardAnswers
from selection.qurating import TEMPERATURE, Criterion
from selection.zip_greedy import ZipParams

Method = Literal[
    "zip",
    "random",
    "cluster",
    "perplexity",
    "superfiltering",
    "superfiltering-loss",
    "deita",
    "score",
    "length",
    "dsir",
    "c4",
    "gopher",
    "fineweb",
    "k-centre",
    "novelsum",
    "instag",
    "mods",
    "cherry",
    "alpagasus",
    "qurating",
]


@dataclass(frozen=True)
class SelectionParams:
    """The section ``selection`` of params.yaml. The budget is ``rows``, ``tokens``, or else ``share`` of the rows.

    ``k1``, ``k2``, ``k3``, ``window``, ``codec``, ``level`` and ``compat`` are for ZIP, see ZipParams. ``seed`` is for
    the methods that make random choices (`selection.methods.SEEDED`). ``target``: the file of rows that dsir selects
    towards. Raises ValueError for settings that cannot be used.

    ``quality_above``, ``necessity_below`` and ``seed_share`` are for MoDS, see `selection.mods`; ``lowest_grade`` is
    for AlpaGasus. ``criterion`` and ``temperature`` are for QuRating: which rating rows are drawn by, and how freely.
    """

    ADDED: ClassVar[tuple[str, ...]] = (
        "target", "quality_above", "necessity_below", "seed_share", "lowest_grade", "criterion", "temperature",
    )  # fmt: skip

    method: Method = "zip"
    share: float = 0.5
    rows: int | None = None
    tokens: int | None = None
    k1: int = 10_000
    k2: int = 200
    k3: int = 100
    window: Literal["codec", "global"] = "global"
    codec: Literal["zlib", "zstd"] | None = None
    level: int | None = None
    compat: Literal["algorithm", "reference"] = "algorithm"
    seed: int = 0
    target: str | None = None
    quality_above: float = QUALITY_ABOVE
    necessity_below: float = NECESSITY_BELOW
    seed_share: float = SEED_SHARE
    lowest_grade: float = LOWEST_GRADE_KEPT
    criterion: Criterion = "educational_value"
    temperature: float = TEMPERATURE

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share must lie between 0 and 1, found {self.share}")
        if self.rows is not None and self.tokens is not None:
            raise ValueError("set rows or tokens, not both")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, found {self.seed}")
        if not 0 < self.seed_share <= 1:
            raise ValueError(f"seed_share must lie between 0 and 1, found {self.seed_share}")
        if not self.temperature >= 0:  # nor is NaN a temperature
            raise ValueError(f"temperature must be at least 0, found {self.temperature}")
        self.zip_params()

    def zip_params(self) -> ZipParams:
        """The settings of ZIP among these."""
        return ZipParams(self.k1, self.k2, self.k3, self.codec, self.level, self.window, self.compat)

    def budget(self, pool_rows: int) -> Budget:
        """How much to select from a pool of ``pool_rows`` rows."""
        if self.tokens is not None:
            return Budget(tokens=self.tokens)
        return Budget(rows=self.rows if self.rows is not None else max(1, round(self.share * pool_rows)))


@dataclass(frozen=True)
class RowFacts:
    """What is known of each row of the pool besides its canonical text; each field has one item a row, or is None.

    ``token_counts``: for a budget in tokens. ``scores``: what the methods that need scores rank by, which is a row's
    loss, its IFD, its summed DEITA score or the grade of its chosen answer; NaN where it has none. ``embeddings``: a
    vector for each row, for the methods that need embeddings. ``plain_texts``: `corpus.records.plain_text` of each row,
    for the methods that need plain texts, which go through them up to three times. ``target_texts``: the plain texts,
    any number of them, that dsir selects towards. ``tags``: of each row, for InsTag. ``reward_answers``: for MoDS, a
    function; see `selection.mods`.
    """

    token_counts: Sequence[int] | None = None
    scores: ArrayLike | None = None
    embeddings: ArrayLike | None = None
    plain_texts: Iterable[str] | None = None
    target_texts: Iterable[str] | None = None
    tags: Sequence[Iterable[str]] | None = None
    reward_answers: RewardAnswers | None = None


@dataclass(frozen=True)
class Candidates:
    """The pool as a method sees it.

    ``rows``: how many. ``texts``: each row's canonical text, for ZIP. ``workers`` and ``engine`` serve ZIP; the other
    methods work in this process.
    """

    rows: int
    params: SelectionParams
    facts: RowFacts = RowFacts()
    texts: Iterable[bytes] = ()
    workers: int = 1
    engine: EngineName = "threads"
    progress: StageProgress = ignore_stages

    @property
    def budget(self) -> Budget:
        return self.params.budget(self.rows)

    @property
    def wanted_rows(self) -> int:
        """How many rows the budget pays for; of a budget in tokens, at the pool's mean length."""
        if self.budget.tokens is None or not self.token_counts:
            return self.budget.limit
        return round(self.budget.limit / max(float(np.mean(self.token_counts)), 1.0))

    @property
    def token_counts(self) -> Sequence[int] | None:
        return self.facts.token_counts

    @property
    def scores(self) -> ArrayLike:
        """Raises ValueError when there is not one for each row."""
        return self._require("scores", self.facts.scores)

    @property
    def embeddings(self) -> ArrayLike:
        """Raises ValueError when there is not one for each row."""
        return self._require("embeddings", self.facts.embeddings)

    @property
    def plain_texts(self) -> Iterable[str]:
        """Raises ValueError when there are none."""
        if self.facts.plain_texts is None:
            raise ValueError(f"{self.params.method} needs plain texts, one for each of the pool's {self.rows} rows")
        return self.facts.plain_texts

    @property
    def target_texts(self) -> Iterable[str]:
        """Raises ValueError when there are none."""
        if self.facts.target_texts is None:
            raise ValueError(f"{self.params.method} needs a target: a file of rows like those that are wanted")
        return self.facts.target_texts

    def tell_selected(self, spent: int) -> None:
        """Report how much of the budget is spent."""
        self.progress("select", spent, self.budget.limit)

    def tell_read(self, rows: int, total: int | None = None) -> None:
        """Report how many rows are read."""
        self.progress("filter", rows, self.rows if total is None else total)

    @property
    def tags(self) -> Sequence[Iterable[str]]:
        """Raises ValueError when there are not some, or an empty list, for each row."""
        if self.facts.tags is None or len(self.facts.tags) != self.rows:
            raise ValueError(f"{self.params.method} needs tags, a list for each of the pool's {self.rows} rows")
        return self.facts.tags

    @property
    def reward_answers(self) -> RewardAnswers:
        """Raises ValueError when there is no such function."""
        if self.facts.reward_answers is None:
            raise ValueError(f"{self.params.method} needs a model that answers the pool's rows; use the command")
        return self.facts.reward_answers

    def random(self) -> np.random.Generator:
        """A new generator of the settings' seed."""
        return np.random.default_rng(self.params.seed)

    def _require(self, what: str, values: ArrayLike | None) -> ArrayLike:
        if values is None or len(np.asarray(values)) != self.rows:
            raise ValueError(f"{self.params.method} needs {what}, one for each of the pool's {self.rows} rows")
        return values


@dataclass(frozen=True)
class Chosen:
    """The selected rows and what selecting them took.

    ``positions``: indices of the rows in the pool, from 0, in the order they were selected. ``seconds``: by stage.
    ``removed``: by each rule of a method that filters, in the rules' order, how many rows it removed.
    """

    positions: tuple[int, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
