"""DSIR: importance weights against a count by hand, and the draw against the probabilities that it stands for."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections import Counter

import numpy as np

from selection.budget import Budget
from selection.dsir import SMOOTHING, NgramHasher, draw_noise, select_dsir, weigh_rows

POOL = ["The cat sat.", "the dog ran", "A cat, a cat!", "x = 1", "", "the dog ran"]
TARGET = ["the cat ran", "a cat sat"]


def ngrams(text: str) -> list[tuple[str, ...]]:
    words = re.findall(r"\w+|[^\w\s]+", text.lower())
    return [(word,) for word in words] + list(itertools.pairwise(words))


def naive_weights(pool: list[str], target: list[str]) -> list[float]:
    """Without hashing: a share for every n-gram itself."""

    def shares(texts: list[str]) -> dict[tuple[str, ...], float]:
        counts = Counter(ngram for text in texts for ngram in ngrams(text))
        return {ngram: count / counts.total() for ngram, count in counts.items()}

    of_pool, of_target = shares(pool), shares(target)

    def gain(ngram: tuple[str, ...]) -> float:
        return math.log(of_target.get(ngram, 0) + SMOOTHING) - math.log(of_pool[ngram] + SMOOTHING)

    return [sum(map(gain, ngrams(text))) for text in pool]


def test_weights_are_those_of_the_ngrams_themselves_where_no_two_share_a_bucket() -> None:
    distinct = {ngram for text in POOL + TARGET for ngram in ngrams(text)}
    hasher = NgramHasher(1_000_003)
    found = {int(bucket) for text in POOL + TARGET for bucket in hasher.buckets(text)}
    assert len(found) == len(distinct)
    np.testing.assert_allclose(weigh_rows(POOL, TARGET, 1_000_003), naive_weights(POOL, TARGET), rtol=1e-9)


def test_a_pool_that_is_the_target_has_no_weights() -> None:
    np.testing.assert_allclose(weigh_rows(POOL, POOL), 0, atol=1e-12)


def test_buckets_fill_evenly() -> None:
    hasher = NgramHasher(100)
    counts = np.bincount(hasher.buckets(" ".join(f"w{number}" for number in range(50_000))), minlength=100)
    # 99,999 n-grams: a thousand a bucket, and a standard deviation of 32.
    assert counts.sum() == 99_999 and abs(counts - 1000).max() < 5 * 32


def test_the_first_row_is_drawn_with_the_probability_of_its_weight() -> None:
    log_weights = np.log([1.0, 2.0, 5.0])
    texts = ["one", "two", "three"]
    seeds = 4000
    first = Counter(select_dsir(log_weights, draw_noise(texts, seed), Budget(rows=1))[0] for seed in range(seeds))
    for row, probability in enumerate((0.125, 0.25, 0.625)):
        spread = math.sqrt(probability * (1 - probability) / seeds)
        assert abs(first[row] / seeds - probability) < 4 * spread


def test_the_order_of_the_pool_changes_no_draw() -> None:
    texts = [f"row {number} of {number % 7}" for number in range(60)]
    turned = texts[:]
    random.Random(0).shuffle(turned)

    def draw(pool: list[str]) -> list[str]:
        rows = select_dsir(weigh_rows(pool, ["row 3 of 3"]), draw_noise(pool, 5), Budget(rows=20))
        return [pool[row] for row in rows]

    assert draw(texts) == draw(turned)


def test_copies_and_seeds_draw_noise_of_their_own() -> None:
    noise = draw_noise(["a", "a", "b"], 0)
    assert len(set(noise.tolist())) == 3 and np.isfinite(noise).all()
    assert not set(noise.tolist()) & set(draw_noise(["a", "a", "b"], 1).tolist())
