"""Sketches of sets: two sets share about as many numbers as they share members."""

import numpy as np
import pytest

from monitor.measures.similarity_sketch import EMPTY, ROUNDS, SKETCH_SIZE, STEP, sketch_sets


def draw(rng: np.random.Generator, count: int) -> list[int]:
    return [int(value) for value in rng.integers(0, 2**64, count, dtype=np.uint64)]


def sketch(*sets: list[int]) -> np.ndarray:
    offsets = np.cumsum([0, *map(len, sets)])
    return sketch_sets(np.array([value for members in sets for value in members], dtype=np.uint64), offsets)


def sketch_naively(members: list[int]) -> list[int]:
    """All rounds of all members, in Python's own numbers."""
    numbers = [EMPTY] * SKETCH_SIZE
    for turn in range(ROUNDS):
        for member in members:
            mixed = (member + turn * STEP) % 2**64
            mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
            mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
            mixed ^= mixed >> 31
            own = mixed % SKETCH_SIZE if turn < SKETCH_SIZE else turn - SKETCH_SIZE
            numbers[own] = min(numbers[own], turn * 2**56 + mixed // 2**8)
    return numbers


@pytest.mark.parametrize("size", [1, 2, 10, 100, 1000])
def test_the_share_of_equal_numbers_estimates_the_jaccard_similarity_as_well_as_minhash(size: int) -> None:
    rng = np.random.default_rng(size)
    shared = np.repeat(np.linspace(0, size, 9).astype(int), 40).tolist()
    pairs = []
    for count in shared:
        common = draw(rng, count)
        pairs += [common + draw(rng, size - count), common + draw(rng, size - count)]
    sketches = sketch(*pairs)
    similarity = np.array([count / (2 * size - count) for count in shared])
    spread = np.maximum(np.sqrt(similarity * (1 - similarity) / SKETCH_SIZE), 1e-9)
    errors = ((sketches[::2] == sketches[1::2]).mean(axis=1) - similarity) / spread
    # In standard errors of MinHash: no bias, and no more variance.
    assert abs(np.mean(errors)) < 0.25
    assert np.std(errors) < 1.1


def test_the_sketch_of_a_union_is_the_least_of_both() -> None:
    rng = np.random.default_rng(0)
    one, other = draw(rng, 7), draw(rng, 300)
    sketches = sketch(one, other, one + other)
    assert (np.minimum(sketches[0], sketches[1]) == sketches[2]).all()


def test_neither_order_nor_repetition_nor_company_changes_a_sketch() -> None:
    members = draw(np.random.default_rng(1), 20)
    sketches = sketch(members, members[::-1] * 3, [1], members)
    assert (sketches[[1, 3]] == sketches[0]).all()


@pytest.mark.parametrize("size", [1, 3, 50, 700])
def test_the_sketch_is_that_of_all_rounds(size: int) -> None:
    members = draw(np.random.default_rng(size), size)
    assert sketch(members)[0].tolist() == sketch_naively(members)
