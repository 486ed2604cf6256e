"""The selection methods of the paper's tables, on cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.errors import EntropylawError
from selection.baselines import (
    score_deita,
    select_cluster,
    select_deita,
    select_perplexity,
    select_random,
    select_score,
    select_superfiltering,
)
from selection.budget import Budget

NAN = float("nan")


def test_random_takes_distinct_rows_and_repeats_itself_from_the_same_seed() -> None:
    first = select_random(1_000, Budget(rows=300), np.random.default_rng(7))
    assert len(set(first)) == 300
    assert first == select_random(1_000, Budget(rows=300), np.random.default_rng(7))
    assert first != select_random(1_000, Budget(rows=300), np.random.default_rng(8))


def test_random_takes_every_row_equally_often() -> None:
    random = np.random.default_rng(0)
    taken = np.concatenate([select_random(10, Budget(rows=3), random) for _ in range(4_000)])
    # 1,200 expected of each; the standard deviation of a count is sqrt(4000 * 0.3 * 0.7) = 29.
    assert np.abs(np.bincount(taken, minlength=10) - 1_200).max() < 5 * 29


@pytest.mark.parametrize("budget", [Budget(rows=50), Budget(tokens=500)])
def test_random_takes_no_more_than_the_pool(budget: Budget) -> None:
    assert sorted(select_random(5, budget, np.random.default_rng(0), token_counts=[10] * 5)) == [0, 1, 2, 3, 4]


@given(st.lists(st.sampled_from([1.0, 2.0, 2.5, 3.0, NAN])), st.integers(0, 12))
def test_rankings_take_the_highest_first_and_of_equals_the_first(losses: list[float], rows: int) -> None:
    scored = [row for row, loss in enumerate(losses) if loss == loss]
    expected = tuple(sorted(scored, key=lambda row: -losses[row])[:rows])
    assert select_perplexity(losses, Budget(rows=rows)) == expected
    assert select_score(losses, Budget(rows=rows)) == expected


def test_rankings_stop_at_the_first_row_beyond_a_token_budget() -> None:
    assert select_perplexity([1.0, 3.0, 2.0], Budget(tokens=12), [1, 8, 5]) == (1,)


def test_superfiltering_leaves_out_rows_whose_prompt_does_not_help() -> None:
    ifd = [0.2, 1.0, 0.999, 3.0, NAN, 0.5]
    assert select_superfiltering(ifd, Budget(rows=6)) == (2, 5, 0)


def test_deita_scores_sum_complexity_times_quality_over_turns() -> None:
    assert score_deita([[2, 3], [5], []], [[1, 4], [2], []]).tolist() == [14, 10, 0]


def test_deita_rejects_rows_close_to_a_kept_row_but_not_to_a_rejected_one() -> None:
    angles = np.radians([0, 20, 40, 90])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1) * [[1.0], [50.0], [0.1], [3.0]]
    # cos 20 = 0.94 exceeds 0.9, cos 40 = 0.77 does not: row 1 falls to row 0 and no longer stands against row 2.
    assert select_deita([4.0, 3.0, 2.0, 1.0], embeddings, Budget(rows=4)) == (0, 2, 3)
    # In another order row 1 is kept first and both its neighbours fall.
    assert select_deita([2.0, 4.0, 3.0, 1.0], embeddings, Budget(rows=4)) == (1, 3)


def test_deita_rejects_only_above_the_threshold() -> None:
    embeddings = [[1.0, 0.0], [0.6, 0.8]]
    assert select_deita([2.0, 1.0], embeddings, Budget(rows=2), similarity=0.6) == (0, 1)
    assert select_deita([2.0, 1.0], embeddings, Budget(rows=2), similarity=0.59) == (0,)


def test_deita_keeps_rows_without_direction_and_skips_rows_without_score() -> None:
    assert select_deita([1.0, 2.0, NAN], [[0.0, 0.0]] * 3, Budget(rows=3)) == (1, 0)


def test_cluster_takes_the_row_nearest_each_centre() -> None:
    random = np.random.default_rng(3)
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    members = [9, 8, 7, 6]
    noise = [random.normal(scale=0.5, size=(count, 2)) for count in members]
    embeddings = np.concatenate([centre + part for centre, part in zip(centres, noise, strict=True)])
    nearest, start = [], 0
    for part in noise:
        nearest.append(start + int(np.argmin(np.linalg.norm(part - part.mean(axis=0), axis=1))))
        start += len(part)
    # The clusters' sizes decide the order.
    assert select_cluster(embeddings, Budget(rows=4), np.random.default_rng(0)) == tuple(nearest)


def test_cluster_gives_one_row_of_each_group_of_equal_rows_before_a_second_of_any() -> None:
    embeddings = [[0.0], [5.0], [0.0], [5.0], [0.0]]
    assert select_cluster(embeddings, Budget(rows=5), np.random.default_rng(0)) == (0, 1, 2, 3, 4)


def test_cluster_spends_a_token_budget_at_the_pools_mean_length() -> None:
    random = np.random.default_rng(1)
    embeddings = random.normal(size=(200, 8))
    tokens = random.integers(10, 100, size=200).tolist()
    taken = select_cluster(embeddings, Budget(tokens=2_000), np.random.default_rng(0), tokens)
    assert len(set(taken)) == len(taken)
    assert 2_000 - 100 < sum(tokens[row] for row in taken) <= 2_000
    assert taken == select_cluster(embeddings, Budget(tokens=2_000), np.random.default_rng(0), tokens)


@pytest.mark.parametrize("budget", [Budget(rows=0), Budget(rows=3), Budget(tokens=9)])
def test_an_empty_pool_or_budget_selects_nothing(budget: Budget) -> None:
    random = np.random.default_rng(0)
    assert select_random(0, budget, random, []) == ()
    assert select_perplexity([], budget, []) == ()
    assert select_deita([], [], budget, []) == ()
    assert select_cluster([], budget, random, []) == ()
    assert select_cluster([[1.0]], Budget(rows=0), random) == ()


def test_embeddings_must_match_the_rows() -> None:
    with pytest.raises(EntropylawError, match="2 embeddings for 3 rows"):
        select_deita([1.0, 2.0, 3.0], [[1.0], [2.0]], Budget(rows=1))
    with pytest.raises(EntropylawError, match="2 embeddings for 1 rows"):
        select_cluster([[1.0], [2.0]], Budget(tokens=5), np.random.default_rng(0), [4])
