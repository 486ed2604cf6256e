"""DSIR (Xie et al., 2023, arXiv 2302.03169): rows whose words look like those of a target, drawn at random.

A text is its words and pairs of neighbouring words, each hashed into one of 10,000 buckets. How much more frequent a
bucket is in the target than in the pool, in logarithms and summed over a row, is the row's log importance weight. Rows
are drawn without replacement with probabilities in proportion to the weights (Gumbel top-k). As in the authors'
program, weights are sums, so that among rows that look like the target long ones weigh more.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from corpus.progress import Done, ignore_done
from selection.budget import Budget, spend

# Hash buckets (paper, section 4: "hash the n-grams into 10k buckets").
BUCKETS = 10_000
# Added to each bucket's share before its logarithm, so that one that is empty on one side stays finite (the authors'
# program, hashed_ngram_dsir.py).
SMOOTHING = 1e-8
# Runs of letters and digits, and runs of other signs: the authors' default tokenizer, NLTK's WordPunct.
_WORDS = re.compile(r"\w+|[^\w\s]+")
# Hashes of words that are kept at once, some hundred bytes each. A pool of any size has about a million frequent words.
_KEPT_WORDS = 1_000_000
# An odd number: the hash of a pair of words must not be that of the pair turned round (2^64 divided by the golden
# ratio, as in Fibonacci hashing).
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_ROWS_BETWEEN_REPORTS = 1000


class NgramHasher:
    """Turns texts into buckets of their words and pairs of words.

    >>> hasher = NgramHasher()
    >>> one, other = hasher.buckets("The cat"), hasher.buckets("the  CAT")
    >>> len(one), bool((one == other).all())
    (3, True)
    """

    def __init__(self, buckets: int = BUCKETS) -> None:
        self.size = buckets
        self._words: dict[str, int] = {}

    def buckets(self, text: str) -> NDArray[np.int64]:
        """Of every word, then of every pair of neighbouring words; shape (2 * words - 1,), or (0,) without words."""
        words = _WORDS.findall(text.lower())
        hashes = np.fromiter((self._hash(word) for word in words), dtype=np.uint64, count=len(words))
        pairs = (hashes[:-1] * _SPREAD) ^ (hashes[1:] >> np.uint64(1))
        mixed = np.concatenate([hashes, pairs * _SPREAD >> np.uint64(16)])
        found: NDArray[np.int64] = (mixed % np.uint64(self.size)).astype(np.int64)
        return found

    def shares(self, texts: Iterable[str], told: Done = ignore_done) -> NDArray[np.float64]:
        """What share of all words and pairs lies in each bucket, shape (buckets,); zeros where there is no word."""
        counts = np.zeros(self.size, dtype=np.int64)
        for done, text in enumerate(texts, start=1):
            counts += np.bincount(self.buckets(text), minlength=self.size)
            if done % _ROWS_BETWEEN_REPORTS == 0:
                told(done)
        return counts / max(int(counts.sum()), 1)

    def _hash(self, word: str) -> int:
        found = self._words.get(word)
        if found is None:
            if len(self._words) >= _KEPT_WORDS:
                self._words.clear()
            digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            found = self._words[word] = int.from_bytes(digest, "big")
        return found


def weigh_rows(
    texts: Iterable[str], target: Iterable[str], buckets: int = BUCKETS, told: Done = ignore_done
) -> NDArray[np.float64]:
    """Each row's log importance weight, log p(row | target) - log p(row | pool), shape (rows,).

    ``texts`` are read twice. ``told`` hears how many rows are done, up to twice their number.

    >>> weights = weigh_rows(["red fish", "blue fish"], ["a red car"])
    >>> bool(weights[0] > weights[1])
    True
    """
    hasher = NgramHasher(buckets)
    of_target = hasher.shares(target)
    rows = 0

    def counted() -> Iterable[str]:
        nonlocal rows
        for text in texts:
            rows += 1
            yield text

    of_pool = hasher.shares(counted(), told)
    gain = np.log(of_target + SMOOTHING) - np.log(of_pool + SMOOTHING)
    weights = np.empty(rows)
    for row, text in enumerate(texts):
        weights[row] = gain[hasher.buckets(text)].sum()
        if (row + 1) % _ROWS_BETWEEN_REPORTS == 0:
            told(rows + row + 1)
    return weights


def draw_noise(texts: Iterable[str], seed: int) -> NDArray[np.float64]:
    """Standard Gumbel noise, one number a row: by its text, the seed, and how often the text came before.

    So a row keeps its noise wherever it stands in the file and whatever rows come with it.

    >>> a, b = draw_noise(["one", "two"], seed=0), draw_noise(["two", "one"], seed=0)
    >>> bool((a == b[::-1]).all())
    True
    """
    before: Counter[bytes] = Counter()
    noise = []
    for text in texts:
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        named = digest + before[digest].to_bytes(8, "big") + seed.to_bytes(16, "big")
        before[digest] += 1
        # 52 bits fit a float exactly; half a step above zero, so that its logarithm is finite.
        drawn = int.from_bytes(hashlib.blake2b(named, digest_size=8).digest(), "big") >> 12
        noise.append((drawn + 0.5) / 2**52)
    gumbel: NDArray[np.float64] = -np.log(-np.log(np.array(noise, dtype=float)))
    return gumbel


def select_dsir(
    log_weights: NDArray[np.float64],
    noise: NDArray[np.float64],
    budget: Budget,
    token_counts: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """Take the rows with the highest sum of log weight and Gumbel noise first: a draw without replacement.

    >>> select_dsir(np.array([0.0, 9.0, 1.0]), np.array([0.5, 0.0, -2.0]), Budget(rows=2))
    (1, 0)
    """
    return spend(budget, np.argsort(-(log_weights + noise), kind="stable").tolist(), token_counts)
