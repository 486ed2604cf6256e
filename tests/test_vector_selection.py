"""k-centre greedy, NovelSum and NovelSelect against naive versions of their definitions."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from selection.budget import Budget
from selection.k_centre import select_k_centre
from selection.novelsum import DENSITY_POWER, measure_densities, measure_novelsum, select_novelsum


def unit_vectors(rows: int, numbers: int = 3, seed: int = 0) -> NDArray[np.float64]:
    vectors = np.random.default_rng(seed).normal(size=(rows, numbers))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return 1 - float(sum(x * y for x, y in zip(a, b, strict=True)))


# --- k-centre


def test_k_centre_takes_the_row_farthest_from_all_taken() -> None:
    vectors = unit_vectors(40)
    first, *rest = select_k_centre(vectors, Budget(rows=12), np.random.default_rng(3))
    taken = [first]
    for row in rest:
        radius = [min(np.linalg.norm(vectors[other] - vectors[one]) for one in taken) for other in range(40)]
        assert radius[row] == pytest.approx(max(radius), abs=1e-5)
        taken.append(row)


@pytest.mark.parametrize("seed", range(5))
def test_no_choice_of_centres_has_half_the_radius_of_the_greedy_one(seed: int) -> None:
    vectors = unit_vectors(11, seed=seed)
    gaps = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    greedy = select_k_centre(vectors, Budget(rows=3), np.random.default_rng(seed))
    best = min(gaps[list(centres)].min(axis=0).max() for centres in itertools.combinations(range(11), 3))
    assert gaps[list(greedy)].min(axis=0).max() <= 2 * best + 1e-6


def test_copies_are_taken_last_and_once() -> None:
    vectors = np.repeat(unit_vectors(5), 3, axis=0)
    taken = select_k_centre(vectors, Budget(rows=99), np.random.default_rng(0))
    assert sorted(taken) == list(range(15)) and {row // 3 for row in taken[:5]} == set(range(5))


@pytest.mark.parametrize("select", [select_k_centre, select_novelsum])
def test_a_budget_in_tokens_and_an_empty_pool_are_kept_to(select: Callable[..., tuple[int, ...]]) -> None:
    vectors = unit_vectors(10)
    taken = select(vectors, Budget(tokens=35), np.random.default_rng(0), [10] * 10)
    assert len(taken) == 3 == len(set(taken))
    assert select(vectors, Budget(rows=0), np.random.default_rng(0)) == ()
    assert select(np.zeros((0, 3)), Budget(rows=4), np.random.default_rng(0)) == ()


# --- NovelSum


def naive_density(row: NDArray[np.float64], pool: NDArray[np.float64], neighbours: int) -> float:
    others = sorted({round(distance(row, other), 9) for other in pool} - {0.0})[:neighbours]
    return 1 / (sum(others) / len(others))


def naive_novelsum(vectors: NDArray[np.float64], densities: list[float]) -> float:
    """The sum over pairs, term by term."""
    total = 0.0
    for i, row in enumerate(vectors):
        others = sorted((distance(row, other), j) for j, other in enumerate(vectors) if j != i)
        total += sum(d * densities[j] ** DENSITY_POWER / rank for rank, (d, j) in enumerate(others, start=1))
    weights = sum(1 / rank for rank in range(1, len(vectors)))
    return total / weights / len(vectors)


def test_novelsum_and_densities_are_their_sums_term_by_term() -> None:
    pool = unit_vectors(30)
    densities = measure_densities(pool[:12], pool, neighbours=4)
    assert densities.tolist() == pytest.approx([naive_density(row, pool, 4) for row in pool[:12]], rel=1e-6)
    assert measure_novelsum(pool[:12], densities) == pytest.approx(naive_novelsum(pool[:12], densities.tolist()))


def test_three_directions_by_hand() -> None:
    """From the middle one both others are 1 away; from each outer one, 1 and 2: (1 + 1/2) twice is 2 + 2."""
    vectors = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
    assert measure_novelsum(vectors, [1, 1, 1]) == pytest.approx(((1 + 1 / 2) + 2 * (1 + 2 / 2)) / 1.5 / 3)
    # Four times the density of the middle one doubles the distances that lead to it.
    assert measure_novelsum(vectors, [1, 4, 1]) == pytest.approx(((1 + 1 / 2) + 2 * (2 + 2 / 2)) / 1.5 / 3)


def test_copies_lower_novelsum() -> None:
    """The nearest other row, whose weight is as that of all others together, is then at no distance."""
    vectors = unit_vectors(10, numbers=16)
    once, twice = measure_novelsum(vectors, np.ones(10)), measure_novelsum(np.tile(vectors, (2, 1)), np.ones(20))
    assert once is not None and twice is not None and twice < 0.8 * once
    assert measure_novelsum(vectors[:1], [1.0]) is None


def test_copies_of_a_row_are_none_of_its_neighbours() -> None:
    vectors = unit_vectors(8)
    np.testing.assert_allclose(
        measure_densities(vectors, np.tile(vectors, (3, 1))), measure_densities(vectors, vectors)
    )


def naive_novelselect(vectors: NDArray[np.float64], first: int, rows: int) -> list[int]:
    weighted = [float(density) ** DENSITY_POWER for density in measure_densities(vectors, vectors)]
    taken = [first]
    while len(taken) < rows:
        novelty = {}
        for row in set(range(len(vectors))) - set(taken):
            ordered = sorted((distance(vectors[row], vectors[other]), other) for other in taken)
            novelty[row] = sum(
                d * (weighted[row] + weighted[other]) / rank for rank, (d, other) in enumerate(ordered, start=1)
            )
        taken.append(max(novelty, key=lambda row: novelty[row]))
    return taken


@pytest.mark.parametrize("seed", range(3))
def test_novelselect_takes_the_most_novel_row_each_time(seed: int) -> None:
    """On the circle, where no two distances from one row lie within a hundredth."""
    angles = np.sort(np.random.default_rng(seed).uniform(0, np.pi, 14) + np.linspace(0, np.pi / 2, 14))
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    taken = select_novelsum(vectors, Budget(rows=6), np.random.default_rng(seed))
    assert list(taken) == naive_novelselect(vectors, taken[0], 6)


def test_novelselect_beats_random_in_its_own_measure() -> None:
    random = np.random.default_rng(0)
    centres = unit_vectors(20, numbers=16)
    vectors = centres[random.integers(20, size=400)] + random.normal(scale=0.1, size=(400, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    densities = measure_densities(vectors, vectors)

    def measure(rows: NDArray[np.int64]) -> float:
        found = measure_novelsum(vectors[rows], densities[rows])
        assert found is not None
        return found

    taken = np.array(select_novelsum(vectors, Budget(rows=50), random))
    drawn = [measure(random.permutation(400)[:50]) for _ in range(20)]
    assert len(set(taken.tolist())) == 50 and measure(taken) > max(drawn)
