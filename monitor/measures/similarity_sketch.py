"""A sketch of a set: 128 numbers, of which two sets share about as many as they share members.

Fast Similarity Sketching (Dahlgaard, Knudsen and Thorup, 2017, arXiv 1704.04370). In each round every member falls into
one of 128 bins with a random number, and a bin keeps the least number of the first round that reached it. MinHash
computes 128 numbers for each member; here it is enough rounds that no bin is empty: one or two for a long text, and
some 700 numbers in all for a short one. As in MinHash the share of equal numbers estimates the Jaccard similarity
without bias, and its variance is no greater.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from monitor.measures.shingles import mix_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

# At a similarity of 0.8 the estimate then has a standard error of at most 0.035.
SKETCH_SIZE = 128
# In the second half of the rounds all members fall into the bin of the round, so that none is left empty.
ROUNDS = 2 * SKETCH_SIZE
# From one round to the next a member's hash is moved by this: 2**64 divided by the golden ratio, as in SplitMix64.
STEP = 0x9E3779B97F4A7C15
# A bin that nothing reached: more than any number, which has its round in the upper eight bits.
EMPTY = 2**64 - 1


def sketch_sets(hashes: NDArray[np.uint64], offsets: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The sketch of each set, shape (sets, SKETCH_SIZE).

    ``hashes``: the members of all sets, one set after the other; a member may be there more than once. ``offsets``:
    where each set begins, with the end, shape (sets + 1,). No set is empty.
    """
    sets = len(offsets) - 1
    numbers = np.full(sets * SKETCH_SIZE, EMPTY, dtype=np.uint64)
    bins = np.repeat(np.arange(sets) * SKETCH_SIZE, np.diff(offsets))
    for turn in range(ROUNDS):
        mixed = mix_bits(hashes + np.uint64(turn * STEP % 2**64))
        own = (mixed % np.uint64(SKETCH_SIZE)).astype(np.int64) if turn < SKETCH_SIZE else turn - SKETCH_SIZE
        np.minimum.at(numbers, bins + own, np.uint64(turn << 56) | (mixed >> np.uint64(8)))
        has_empty = (numbers.reshape(sets, SKETCH_SIZE) == EMPTY).any(axis=1)
        # A later round changes nothing in a set without empty bins.
        goes_on = has_empty[bins // SKETCH_SIZE]
        if not goes_on.any():
            break
        hashes, bins = hashes[goes_on], bins[goes_on]
    return numbers.reshape(sets, SKETCH_SIZE)
