"""All selection methods behind one function: which rows of a pool, under one budget.

A method is one entry of METHODS. To add one: its name in `selection.candidates.Method`, its algorithm in a file of its
own, and its entry here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from corpus.progress import StageProgress, ignore_stages
from selection import baselines, dsir
from selection.alpagasus import select_alpagasus
from selection.candidates import Candidates, Chosen, Method, RowFacts, SelectionParams
from selection.engines import EngineName
from selection.instag import select_instag
from selection.k_centre import select_k_centre
from selection.mods import select_mods
from selection.novelsum import select_novelsum
from selection.qurating import select_qurating
from selection.web_rules.filtering import RULE_SETS, RuleSet, select_by_rules
from selection.zip_greedy import select_zip

__all__ = [
    "METHODS",
    "NEED_EMBEDDINGS",
    "NEED_PLAIN_TEXTS",
    "NEED_SCORES",
    "SEEDED",
    "Candidates",
    "Chosen",
    "Method",
    "RowFacts",
    "SelectionMethod",
    "SelectionParams",
    "select_rows",
]

# What a method may need beside the number of rows; token counts are for any method's budget in tokens.
Need = Literal["texts", "plain texts", "scores", "embeddings", "target", "tags", "reward answers"]


@dataclass(frozen=True)
class SelectionMethod:
    """How a method selects, what it needs of the pool, and whether it makes random choices, which follow the seed.

    ``row_seconds`` and ``pair_seconds``: about what it takes of one core for each row of the pool, and for each pair of
    a row of the pool and a row taken (measured on conversations of 600 characters: docs/selecting-data.md). What its
    scores and embeddings take is not in it.
    """

    select: Callable[[Candidates], Chosen]
    needs: frozenset[Need] = frozenset()
    is_seeded: bool = False
    row_seconds: float = 0.0
    pair_seconds: float = 0.0

    def estimate_seconds(self, pool: Candidates) -> float:
        """About how long selecting will take on one core.

        >>> pool = Candidates(300_000, SelectionParams(method="k-centre", rows=10_000))
        >>> METHODS["k-centre"].estimate_seconds(pool)
        150.0
        """
        return pool.rows * (self.row_seconds + min(pool.wanted_rows, pool.rows) * self.pair_seconds)


def _by_scores(rank: Callable[..., tuple[int, ...]], is_seeded: bool = False) -> SelectionMethod:
    """A method that ranks rows by one number each."""
    return SelectionMethod(
        lambda pool: Chosen(rank(pool.scores, pool.budget, pool.token_counts)), frozenset({"scores"}), is_seeded
    )


def _select_by_zip(pool: Candidates) -> Chosen:
    selection = select_zip(
        pool.texts,
        pool.budget,
        pool.params.zip_params(),
        token_counts=pool.token_counts,
        workers=pool.workers,
        engine=pool.engine,
        progress=pool.progress,
    )
    return Chosen(selection.indices, selection.seconds)


def _select_at_random(pool: Candidates) -> Chosen:
    return Chosen(baselines.select_random(pool.rows, pool.budget, pool.random(), pool.token_counts))


def _select_by_cluster(pool: Candidates) -> Chosen:
    return Chosen(baselines.select_cluster(pool.embeddings, pool.budget, pool.random(), pool.token_counts))


def _select_by_deita(pool: Candidates) -> Chosen:
    return Chosen(baselines.select_deita(pool.scores, pool.embeddings, pool.budget, pool.token_counts))


def _select_by_dsir(pool: Candidates) -> Chosen:
    def tell(rows: int) -> None:
        pool.tell_read(rows, 2 * pool.rows)

    weights = dsir.weigh_rows(pool.plain_texts, pool.target_texts, told=tell)
    noise = dsir.draw_noise(pool.plain_texts, pool.params.seed)
    return Chosen(dsir.select_dsir(weights, noise, pool.budget, pool.token_counts))


def _by_rules(rule_set: RuleSet, row_seconds: float) -> SelectionMethod:
    """Rows that pass the rules of a paper, at random."""

    def select(pool: Candidates) -> Chosen:
        positions, removed = select_by_rules(
            pool.plain_texts, RULE_SETS[rule_set], pool.budget, pool.random(), pool.token_counts, pool.tell_read
        )
        return Chosen(positions, removed=removed)

    return SelectionMethod(select, frozenset({"plain texts"}), is_seeded=True, row_seconds=row_seconds)


def _select_by_k_centre(pool: Candidates) -> Chosen:
    return Chosen(select_k_centre(pool.embeddings, pool.budget, pool.random(), pool.token_counts, pool.tell_selected))


def _select_by_novelsum(pool: Candidates) -> Chosen:
    return Chosen(select_novelsum(pool.embeddings, pool.budget, pool.random(), pool.token_counts, pool.tell_selected))


def _select_by_instag(pool: Candidates) -> Chosen:
    return Chosen(select_instag(pool.tags, pool.budget, pool.token_counts))


def _select_by_mods(pool: Candidates) -> Chosen:
    params = pool.params
    rows = select_mods(
        pool.scores,
        pool.embeddings,
        pool.reward_answers,
        pool.budget,
        pool.random(),
        pool.token_counts,
        quality_above=params.quality_above,
        necessity_below=params.necessity_below,
        seed_share=params.seed_share,
    )
    return Chosen(rows)


def _select_by_alpagasus(pool: Candidates) -> Chosen:
    return Chosen(select_alpagasus(pool.scores, pool.budget, pool.token_counts, pool.params.lowest_grade))


def _select_by_qurating(pool: Candidates) -> Chosen:
    return Chosen(select_qurating(pool.scores, pool.params.temperature, pool.budget, pool.random(), pool.token_counts))


METHODS: Mapping[Method, SelectionMethod] = {
    "zip": SelectionMethod(_select_by_zip, frozenset({"texts"})),
    "random": SelectionMethod(_select_at_random, is_seeded=True),
    "cluster": SelectionMethod(_select_by_cluster, frozenset({"embeddings"}), is_seeded=True),
    "perplexity": _by_scores(baselines.select_perplexity),
    "superfiltering": _by_scores(baselines.select_superfiltering),
    "superfiltering-loss": _by_scores(baselines.select_superfiltering),
    "deita": SelectionMethod(_select_by_deita, frozenset({"scores", "embeddings"})),
    "score": _by_scores(baselines.select_score),
    "length": _by_scores(baselines.select_length),
    "dsir": SelectionMethod(_select_by_dsir, frozenset({"plain texts", "target"}), is_seeded=True, row_seconds=1.2e-4),
    "c4": _by_rules("c4", row_seconds=1.6e-5),
    "gopher": _by_rules("gopher", row_seconds=1.9e-4),
    "fineweb": _by_rules("fineweb", row_seconds=3e-4),
    "k-centre": SelectionMethod(_select_by_k_centre, frozenset({"embeddings"}), is_seeded=True, pair_seconds=5e-8),
    "novelsum": SelectionMethod(_select_by_novelsum, frozenset({"embeddings"}), is_seeded=True, pair_seconds=1e-6),
    "instag": SelectionMethod(_select_by_instag, frozenset({"tags"})),
    # The models that MoDS and Cherry train follow the seed, and so do the rows.
    "mods": SelectionMethod(_select_by_mods, frozenset({"scores", "embeddings", "reward answers"}), is_seeded=True),
    "cherry": _by_scores(baselines.select_superfiltering, is_seeded=True),
    "alpagasus": SelectionMethod(_select_by_alpagasus, frozenset({"scores"})),
    "qurating": SelectionMethod(_select_by_qurating, frozenset({"scores"}), is_seeded=True),
}

# Methods that rank rows by a number, or by a vector, that is computed elsewhere.
NEED_SCORES: frozenset[Method] = frozenset(name for name, method in METHODS.items() if "scores" in method.needs)
NEED_EMBEDDINGS: frozenset[Method] = frozenset(name for name, method in METHODS.items() if "embeddings" in method.needs)
NEED_PLAIN_TEXTS: frozenset[Method] = frozenset(
    name for name, method in METHODS.items() if "plain texts" in method.needs
)
# The others select the same rows whatever the seed.
SEEDED: frozenset[Method] = frozenset(name for name, method in METHODS.items() if method.is_seeded)


def select_rows(
    texts: Iterable[bytes],
    pool_rows: int,
    params: SelectionParams,
    facts: RowFacts | None = None,
    *,
    workers: int = 1,
    engine: EngineName = "threads",
    progress: StageProgress = ignore_stages,
) -> Chosen:
    """Select rows of a pool of ``pool_rows`` rows by ``params.method``.

    ``texts``: each row's canonical text, or `selection.framing.reference_text` for ``compat: reference``, which ZIP
    reads once; the other methods read what ``facts`` hold. ``workers`` and ``engine`` serve ZIP. Raises ValueError when
    a method lacks what it needs, or has not one of it for each row.

    >>> params = SelectionParams(method="perplexity", rows=2)
    >>> select_rows([], 3, params, RowFacts(scores=[1.5, 2.5, 2.0])).positions
    (1, 2)
    """
    start = time.perf_counter()
    pool = Candidates(pool_rows, params, facts or RowFacts(), texts, workers, engine, progress)
    chosen = METHODS[params.method].select(pool)
    return chosen if chosen.seconds else replace(chosen, seconds={"select": time.perf_counter() - start})
