"""The rules of the selection methods that ask models, against cases worked by hand and the papers' programs."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest

from corpus.errors import EntropylawError
from selection.alpagasus import select_alpagasus
from selection.budget import Budget
from selection.candidates import RowFacts, SelectionParams
from selection.cherry import choose_experience
from selection.instag import select_instag
from selection.methods import select_rows
from selection.mods import select_mods
from selection.qurating import select_qurating

NAN = float("nan")


# --- InsTag


def instag_as_published(tags: list[set[str]], wanted: int) -> list[int]:
    """Algorithm 1 line by line: sort by number of tags, pass over all that is left, again and again."""
    left = sorted(range(len(tags)), key=lambda row: -len(tags[row]))
    taken: list[int] = []
    while len(taken) < wanted:
        seen: set[str] = set()
        for row in list(left):
            if len(seen | tags[row]) > len(seen):
                taken.append(row)
                seen |= tags[row]
                left.remove(row)
                if len(taken) == wanted:
                    break
        if not seen:
            break
    return taken


def test_instag_takes_many_tags_first_and_begins_again_when_no_row_brings_a_new_one() -> None:
    tags = [["maths"], ["maths", "proof", "latin"], ["proof", "latin"], ["poem"], ["maths", "poem"], []]
    # Round 1: row 1 (three tags); row 2 has nothing new; row 4 brings poem; rows 0 and 3 nothing.
    # Round 2: row 2 (proof, latin), row 0 (maths), row 3 (poem). Row 5 has no tags at all.
    assert select_instag(tags, Budget(rows=6)) == (1, 4, 2, 0, 3)
    assert select_instag(tags, Budget(rows=3)) == (1, 4, 2)
    # Row 2 does not fit any more, and that ends the selection.
    assert select_instag(tags, Budget(tokens=11), [1, 5, 9, 1, 5, 1]) == (1, 4)


@pytest.mark.parametrize("seed", range(30))
def test_instag_is_the_papers_algorithm_row_for_row(seed: int) -> None:
    random = Random(seed)
    names = [f"tag {i}" for i in range(random.choice([2, 5, 40]))]
    tags = [set(random.choices(names, k=random.randrange(6))) for _ in range(60)]
    for wanted in (0, 1, 17, 60):
        assert list(select_instag(tags, Budget(rows=wanted))) == instag_as_published(tags, wanted)


def test_instag_is_quick_where_all_rows_have_the_same_tag() -> None:
    # One row a round: looking at each row in every round would take 10^10 steps.
    assert select_instag([["chat"]] * 100_000, Budget(rows=50_000)) == tuple(range(50_000))


# --- MoDS

# Two groups of instructions, one far from the other.
PLACES = [[0.0], [1.0], [2.0], [100.0], [101.0], [102.0]]


def test_mods_takes_seed_rows_of_good_quality_and_then_those_that_the_seed_model_fails_at() -> None:
    asked: list[tuple[tuple[int, ...], list[int]]] = []

    def reward(seed: Sequence[int], good: Sequence[int]) -> list[float]:
        asked.append((tuple(seed), list(good)))
        return [{1: -0.5, 4: 0.0, 5: 2.0}.get(row, -9.0) for row in good]

    qualities = [1.0, 1.0, NAN, 1.0, 1.0, 0.0]
    chosen = select_mods(qualities, PLACES, reward, Budget(rows=4), np.random.default_rng(0))
    ((seed, good),) = asked
    # Quality must be above the threshold; a row without one is not good. Both groups are covered first.
    assert good == [0, 1, 3, 4] and len(seed) == 2 and {row // 3 for row in seed} == {0, 1}
    assert chosen[:2] == seed
    # Rows 0 and 3 get -9, row 1 -0.5; row 4 gets 0.0, which is not below 0. Seed rows are not taken again.
    assert set(chosen[2:]) == {0, 1, 3} - set(seed)


def test_mods_follows_its_thresholds_and_its_share() -> None:
    def fail(seed: Sequence[int], good: Sequence[int]) -> list[float]:
        return [-1.0] * len(good)

    def select(budget: Budget, counts: list[int] | None = None, **changes: float) -> tuple[int, ...]:
        return select_mods(qualities, PLACES, fail, budget, np.random.default_rng(0), counts, **changes)

    qualities = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    all_seed = select(Budget(rows=3), seed_share=1.0, quality_above=2.5)
    assert set(all_seed) == {3, 4, 5}
    # Nothing is necessary below -1, so half of the budget is not spent.
    assert len(select(Budget(rows=4), necessity_below=-1.0)) == 2
    assert len(select(Budget(rows=4), necessity_below=-0.9)) == 4
    # In tokens: 10 of 20 for the seed, which is one row of 8, then 12 are left.
    counts = [8] * 6
    assert len(select(Budget(tokens=20), counts)) == 2
    # No row of 8 fits into half of 10, and a model cannot be trained on nothing.
    assert select(Budget(tokens=10), counts) == ()
    with pytest.raises(EntropylawError, match=r"none of 6 rows has a quality above 9; lower selection\.quality_above"):
        select(Budget(rows=3), quality_above=9)


# --- Cherry


def test_cherry_learns_from_as_many_rows_of_every_cluster_however_large() -> None:
    random = np.random.default_rng(0)
    sizes = [300, 60, 12, 4]
    centres = np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0], [50.0, 50.0]])
    owners = random.permutation(np.repeat(np.arange(4), sizes))
    vectors = centres[owners] + random.normal(size=(len(owners), 2))
    chosen = choose_experience(vectors, np.random.default_rng(1), clusters=4, rows_per_cluster=10)
    assert np.bincount(owners[list(chosen)]).tolist() == [10, 10, 10, 4]
    assert list(chosen) == sorted(set(chosen))
    # At equal distances within a cluster: every thirtieth of 300 rows.
    assert [row for row in chosen if owners[row] == 0] == np.flatnonzero(owners == 0)[::30].tolist()
    assert chosen == choose_experience(vectors, np.random.default_rng(1), clusters=4, rows_per_cluster=10)


def test_cherry_takes_the_whole_of_a_small_or_uniform_pool() -> None:
    assert choose_experience([[1.0]] * 3, np.random.default_rng(0)) == (0, 1, 2)
    assert choose_experience([[float(i)] for i in range(7)], np.random.default_rng(0)) == tuple(range(7))
    with pytest.raises(EntropylawError, match="no rows"):
        choose_experience([], np.random.default_rng(0))


# --- AlpaGasus


def test_alpagasus_takes_rows_from_its_lowest_grade_on() -> None:
    grades = [4.5, 4.4999, 5.0, NAN, 4.5, 0.0]
    assert select_alpagasus(grades, Budget(rows=6)) == (2, 0, 4)
    assert select_alpagasus(grades, Budget(rows=2)) == (2, 0)
    assert select_alpagasus(grades, Budget(rows=6), lowest=0.0) == (2, 0, 4, 1, 5)
    settings = SelectionParams(method="alpagasus", rows=6, lowest_grade=4.0)
    assert select_rows([], 6, settings, RowFacts(scores=grades)).positions == (2, 0, 4, 1)


# --- QuRating


def test_qurating_at_zero_takes_the_best_and_never_a_row_without_a_rating() -> None:
    ratings = [0.5, NAN, 3.0, -1.0]
    assert select_qurating(ratings, 0.0, Budget(rows=4), np.random.default_rng(0)) == (2, 0, 3)
    for seed in range(20):
        drawn = select_qurating(ratings, 2.0, Budget(rows=4), np.random.default_rng(seed))
        assert sorted(drawn) == [0, 2, 3]
    with pytest.raises(EntropylawError, match="at least 0"):
        select_qurating(ratings, -1.0, Budget(rows=1), np.random.default_rng(0))


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_first_row_of_qurating_is_drawn_with_the_softmax_of_the_standardised_ratings(temperature: float) -> None:
    ratings = np.array([0.0, 10.0, 20.0, 40.0])
    random = np.random.default_rng(7)
    draws = 20_000
    first = [select_qurating(ratings, temperature, Budget(rows=1), random)[0] for _ in range(draws)]
    standard = (ratings - ratings.mean()) / ratings.std()
    expected = np.exp(standard / temperature) / np.exp(standard / temperature).sum()
    found = np.bincount(first, minlength=4) / draws
    # Four standard errors of a share.
    assert np.abs(found - expected).max() < 4 * np.sqrt(0.25 / draws)


def test_the_second_row_of_qurating_is_drawn_from_those_that_are_left() -> None:
    random = np.random.default_rng(3)
    draws = 20_000
    pairs = [select_qurating([0.0, 1.0, 2.0], 1.0, Budget(rows=2), random) for _ in range(draws)]
    weights = np.exp(np.array([-1.0, 0.0, 1.0]) * np.sqrt(1.5))
    for first in range(3):
        seconds = [pair[1] for pair in pairs if pair[0] == first]
        for second in {0, 1, 2} - {first}:
            expected = weights[second] / (weights.sum() - weights[first])
            error = 4 * np.sqrt(0.25 / len(seconds))
            assert abs(seconds.count(second) / len(seconds) - expected) < error


def test_qurating_draws_alike_whatever_the_raters_scale() -> None:
    ratings = np.random.default_rng(0).normal(size=50)

    def draw(values: np.ndarray) -> tuple[int, ...]:
        return select_qurating(values, 2.0, Budget(rows=20), np.random.default_rng(4))

    assert draw(ratings) == draw(1000 * ratings + 7)
    assert draw(np.zeros(50)) != tuple(range(20))
