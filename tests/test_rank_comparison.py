"""Like rows and ranks: neighbours against brute force, ranks of honest rows, and false alarms of the test of ranks."""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from monitor.like_rows.neighbours import (
    LARGEST_SHARE,
    LIKE_ROWS,
    Neighbours,
    find_neighbours,
    flag_new_kinds,
    rank_among,
)
from monitor.like_rows.rank_comparison import (
    CORRELATIONS,
    LEAST_CORRELATION,
    MIN_KEPT_ROWS,
    RankFinding,
    compare_ranks,
    exceed_probability,
)

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
EDGE = LIKE_ROWS / (LIKE_ROWS + 1)


def unit(vectors: NDArray[np.float64]) -> Vectors:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def draw_vectors(rng: np.random.Generator, source: NDArray[np.int64], spread: float = 0.5) -> Vectors:
    """Rows of sources that point in directions of their own, 32 dimensions."""
    centres = np.random.default_rng(99).normal(size=(16, 32))
    return unit(centres[source] + rng.normal(0, spread, (len(source), 32)))


# --- like rows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kept", "added"), [(10, 3), (119, 40), (121, 1), (700, 90)])
def test_like_rows_are_those_that_a_sort_finds(kept: int, added: int) -> None:
    rng = np.random.default_rng(kept)
    vectors = draw_vectors(rng, rng.integers(0, 4, kept + added))
    found = find_neighbours(vectors, kept)
    centred = vectors - vectors[:kept].mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    count = min(LIKE_ROWS, kept // LARGEST_SHARE)
    for i in range(kept + added):
        cosine = centred[:kept] @ centred[i]
        others = [j for j in np.argsort(-cosine).tolist() if j != i][:count]
        assert found.index[i].tolist() == sorted(others)
        assert found.nearness[i] == pytest.approx(cosine[others].min(), abs=1e-5)


def test_a_row_is_never_compared_with_itself_even_among_equal_rows() -> None:
    same = unit(np.ones((60, 8)))
    index = find_neighbours(same, 50).index
    assert not any(i in index[i] for i in range(60)) and index.max() < 50


def test_like_rows_of_kept_rows_do_not_change_when_rows_are_added() -> None:
    rng = np.random.default_rng(0)
    vectors = draw_vectors(rng, rng.integers(0, 4, 300))
    alone, beside = find_neighbours(vectors[:200], 200), find_neighbours(vectors, 200)
    assert (alone.index == beside.index[:200]).all()
    assert alone.nearness == pytest.approx(beside.nearness[:200], abs=1e-6)


@pytest.mark.parametrize("share", [0.02, 0.1, 1.0])
def test_rows_that_cluster_away_from_all_kept_rows_are_new_and_an_honest_draw_is_hardly_ever(share: float) -> None:
    honest, new = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        kept, added = 600, round(600 * share)
        sources = rng.integers(0, 5, kept)
        vectors = draw_vectors(rng, np.concatenate([sources, rng.integers(0, 5, added)]))
        honest.append(flag_new_kinds(vectors, kept, find_neighbours(vectors, kept)))
        vectors = draw_vectors(rng, np.concatenate([sources, np.full(added, 9)]))
        new.append(flag_new_kinds(vectors, kept, find_neighbours(vectors, kept)))
    assert not np.concatenate([flags[:600] for flags in honest + new]).any()
    assert np.concatenate([flags[600:] for flags in honest]).mean() < 0.02
    assert np.concatenate([flags[600:] for flags in new]).mean() > 0.95


def test_a_new_kind_beside_honest_rows_is_told_from_them() -> None:
    rng = np.random.default_rng(7)
    source = np.concatenate([rng.integers(0, 5, 660), np.full(60, 9)])
    vectors = draw_vectors(rng, source)
    new = flag_new_kinds(vectors, 600, find_neighbours(vectors, 600))
    assert new[660:].mean() > 0.95 and new[600:660].mean() < 0.05


@pytest.mark.parametrize(("kept", "added"), [(40, 0), (40, 1)])
def test_a_single_added_row_is_no_kind(kept: int, added: int) -> None:
    vectors = draw_vectors(np.random.default_rng(0), np.append(np.zeros(kept, int), np.full(added, 9)))
    assert not flag_new_kinds(vectors, kept, find_neighbours(vectors, kept)).any()


# --- ranks ---------------------------------------------------------------------------------------------------------


def draw_mixture(rng: np.random.Generator, rows: int) -> tuple[Vectors, Floats, NDArray[np.int64]]:
    """Rows of four sources whose values differ by orders of magnitude."""
    source = rng.integers(0, 4, rows)
    values = np.array([0.0, 10.0, 1000.0, -50.0])[source] + np.array([0.1, 1.0, 300.0, 5.0])[source] * rng.normal(
        size=rows
    )
    return draw_vectors(rng, source), values, source


def test_ranks_of_honest_rows_are_uniform_in_each_source_of_a_mixture() -> None:
    ranks, everywhere, of = [], [], []
    for seed in range(300):
        # Few added rows a draw: those of one draw share their like rows, so their ranks depend on each other a little.
        rng = np.random.default_rng(seed)
        vectors, values, source = draw_mixture(rng, 304)
        ranks.append(rank_among(values, find_neighbours(vectors, 300), rng.random(304))[300:])
        everywhere.append(stats.rankdata(values)[300:] / 305)
        of.append(source[300:])
    in_source = np.concatenate(of) == 1
    for keep in (np.ones(1200, dtype=bool), in_source):
        assert stats.kstest(np.concatenate(ranks)[keep], "uniform").pvalue > 0.01
    # Among all rows, those of one source would stand in one place.
    assert stats.kstest(np.concatenate(everywhere)[in_source], "uniform").pvalue < 1e-9


@given(
    st.lists(st.one_of(st.integers(0, 3).map(float), st.just(math.nan)), min_size=4, max_size=12),
    st.floats(0, 1),
    st.integers(0, 10**6),
)
def test_a_rank_counts_the_like_rows_below(values: list[float], tie: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = len(values)
    index = np.array([rng.choice(rows - 1, 3, replace=False) for _ in range(rows)])
    ranks = rank_among(np.array(values), Neighbours(index, np.ones(rows)), np.full(rows, tie))
    for i, own in enumerate(values):
        others = [values[j] for j in index[i] if not math.isnan(values[j])]
        if math.isnan(own) or not others:
            assert math.isnan(ranks[i])
            continue
        below, equal = sum(other < own for other in others), sum(other == own for other in others)
        assert ranks[i] == pytest.approx((below + tie * (equal + 1)) / (len(others) + 1))


def test_ranks_are_uniform_where_most_values_are_equal() -> None:
    rng = np.random.default_rng(1)
    vectors, _, _ = draw_mixture(rng, 2000)
    values = (rng.random(2000) < 0.05).astype(float)
    ranks = rank_among(values, find_neighbours(vectors, 1000), rng.random(2000))[1000:]
    assert stats.kstest(ranks, "uniform").pvalue > 0.01


# --- how often an honest batch is called another one ---------------------------------------------------------------

Ranks = tuple[Floats, Floats, tuple[NDArray[np.int64], ...]]


def draw_ranks(rng: np.random.Generator, correlation: float, kept: int = 600, added: int = 60) -> Ranks:
    """Ranks of kept rows that were added in twelve batches, and of one more batch. Rows of a batch correlate."""
    group = np.repeat(np.arange(13), [*[kept // 12] * 12, added])
    shared = math.sqrt(correlation) * rng.normal(size=13)[group]
    ranks = stats.norm.cdf(shared + math.sqrt(1 - correlation) * rng.normal(size=len(group)))
    order = rng.permutation(kept)
    # The second way to divide them says nothing.
    return ranks[:kept][order], ranks[kept:], (group[:kept][order], np.arange(kept) // 50)


@pytest.mark.parametrize("beyond", [False, True])
@pytest.mark.parametrize("correlation", [0.0, 0.02, 0.2])
def test_honest_batches_are_far_off_no_more_often_than_the_rate(correlation: float, beyond: bool) -> None:
    rng = np.random.default_rng(3)
    runs = 200
    p_values = [
        found.p_value
        for _ in range(runs)
        for found in compare_ranks(*draw_ranks(rng, correlation), "high", EDGE)
        if found.beyond is beyond
    ]
    assert len(p_values) == runs
    for rate in (0.01, 0.05, 0.2):
        assert np.mean(np.array(p_values) <= rate) <= rate + 2.5 * math.sqrt(rate * (1 - rate) / runs)


@pytest.mark.parametrize("correlation", [0.0, 0.02, 0.1])
def test_honest_rows_of_several_batches_are_far_off_at_most_three_times_as_often_as_the_rate(
    correlation: float,
) -> None:
    """Twelve groups show little of what six batches may do: the rate is kept up to this factor only."""
    rng = np.random.default_rng(7)
    runs, batches = 150, 6
    p_values = []
    for _ in range(runs):
        kept, _, groups = draw_ranks(rng, correlation)
        added = np.concatenate([draw_ranks(rng, correlation)[1] for _ in range(batches)])
        p_values.append([found.p_value for found in compare_ranks(kept, added, groups, "high", EDGE, batches)])
    for rate in (0.01, 0.05):
        alarms = (np.array(p_values) <= rate).mean(axis=0)
        assert (alarms <= 3 * rate).all()


def test_small_damage_is_surer_in_several_batches_than_in_one_of_as_many_rows() -> None:
    rng = np.random.default_rng(8)
    kept, _, groups = draw_ranks(rng, 0.02)
    added = np.concatenate([draw_ranks(rng, 0.02)[1] for _ in range(6)])
    added[::8] = 1 - rng.random(len(added[::8])) / 1000
    (_, one), (_, six) = (compare_ranks(kept, added, groups, "high", EDGE, batches) for batches in (1, 6))
    assert six.p_value < one.p_value / 100 and six.share == one.share


def test_without_groups_that_show_it_a_batch_that_correlates_is_called_another_one() -> None:
    """So the law above can fail."""
    rng = np.random.default_rng(3)
    blind = []
    for _ in range(100):
        kept, added, _ = draw_ranks(rng, 0.2)
        blind.append(compare_ranks(kept, added, (), "high", EDGE)[0].p_value)
    assert np.mean(np.array(blind) <= 0.01) > 0.1


@pytest.mark.parametrize("correlation", [0.0, 0.02])
@pytest.mark.parametrize("side", ["low", "high"])
def test_a_batch_of_which_a_fifth_lies_far_out_is_found_on_its_side(side: str, correlation: float) -> None:
    rng = np.random.default_rng(4)
    p_values = []
    for _ in range(20):
        kept, added, groups = draw_ranks(rng, correlation)
        added[:12] = 1 - rng.random(12) / 1000 if side == "high" else rng.random(12) / 1000
        (mean, beyond), (_, other) = (
            compare_ranks(kept, added, groups, of, EDGE) for of in ((side, "low") if side == "high" else (side, "high"))
        )
        assert beyond.beyond and not mean.beyond
        assert beyond.p_value < 0.01 and beyond.found >= 0.2
        assert other.p_value > 0.01
        p_values.append(beyond.p_value)
    assert np.median(p_values) < 0.001


def test_the_share_that_must_have_moved_is_read_off_either_count() -> None:
    rng = np.random.default_rng(5)
    kept, added, groups = draw_ranks(rng, 0.0, added=2000)
    added[:600] = 1.0
    mean, beyond = compare_ranks(kept, added, groups, "high", EDGE)
    assert (mean.share, beyond.share) == pytest.approx((0.3, 0.3), abs=0.05)


def test_low_ranks_are_high_ranks_mirrored() -> None:
    kept, added, groups = draw_ranks(np.random.default_rng(6), 0.02)
    high, low = (
        compare_ranks(*ranks, groups, side, EDGE)
        for ranks, side in (((kept, added), "high"), ((1 - kept, 1 - added), "low"))
    )
    for one, other in zip(high, low, strict=True):
        assert (one.p_value, one.share) == pytest.approx((other.p_value, other.share))
    assert (high[0].found, high[0].usual) == pytest.approx((1 - low[0].found, 1 - low[0].usual))


def test_rows_without_a_rank_are_no_part_of_any_count() -> None:
    kept, added, groups = draw_ranks(np.random.default_rng(6), 0.02)
    padded = (
        np.append(kept, [math.nan] * 9),
        np.append(added, [math.nan] * 9),
        tuple(np.append(group, [0] * 9) for group in groups),
    )
    assert compare_ranks(*padded, "high", EDGE) == compare_ranks(kept, added, groups, "high", EDGE)


def test_too_few_kept_ranks_and_no_added_ones_say_nothing() -> None:
    ranks = np.linspace(0.1, 0.9, MIN_KEPT_ROWS)
    assert compare_ranks(ranks[1:], ranks, (), "high", EDGE) == []
    assert compare_ranks(ranks, np.full(3, math.nan), (), "high", EDGE) == []
    assert len(compare_ranks(ranks, ranks, (), "high", EDGE)) == 2


# --- worked by hand ------------------------------------------------------------------------------------------------


def count_tail_exactly(at_least: int, n: int, usual: Fraction, weight: Fraction) -> Fraction:
    """Of a beta-binomial, by rising factorials."""

    def rising(start: Fraction, steps: int) -> Fraction:
        return math.prod((start + step for step in range(steps)), start=Fraction(1))

    a, b = usual * weight, (1 - usual) * weight
    return sum(
        (math.comb(n, k) * rising(a, k) * rising(b, n - k) / rising(a + b, n) for k in range(at_least, n + 1)),
        start=Fraction(0),
    )


@pytest.mark.parametrize(("count", "rows"), [(0, 5), (1, 5), (4, 20), (11, 20), (20, 20)])
@pytest.mark.parametrize(("kept", "weight"), [(99, 99), (5000, 249)])
def test_the_probability_of_a_count_worked_by_hand(count: int, rows: int, kept: int, weight: int) -> None:
    # Without any correlation the floor of four in a thousand is left: a weight of 249, and no more than rows kept.
    assert Fraction(1, 249 + 1) == Fraction(str(LEAST_CORRELATION))
    expected = count_tail_exactly(count, rows, Fraction(1, 20), Fraction(weight))
    assert exceed_probability(count, rows, 0.05, kept) == pytest.approx(float(expected))


def test_an_uncertain_correlation_is_a_mean_over_the_values_that_it_may_have() -> None:
    values = []
    for i in range(CORRELATIONS):
        chi = float(stats.chi2.ppf((i + 0.5) / CORRELATIONS, 11))
        possible = min(0.5, max(LEAST_CORRELATION, 0.05 * 11 / chi))
        values.append(float(count_tail_exactly(6, 20, Fraction(1, 20), Fraction(1 / possible - 1))))
    assert exceed_probability(6, 20, 0.05, 10**6, 0.05, 11) == pytest.approx(np.mean(values))


@given(st.integers(1, 40), st.floats(0.01, 0.5), st.floats(0, 0.3), st.integers(1, 11))
def test_more_correlation_and_less_knowledge_of_it_make_a_high_count_less_significant(
    rows: int, usual: float, correlation: float, degrees: int
) -> None:
    certain = exceed_probability(rows, rows, usual, 1000)
    # Below one in 10**12 nothing is decided any more.
    assert certain <= exceed_probability(rows, rows, usual, 1000, correlation, degrees) + 1e-12
    assert certain <= exceed_probability(rows, rows, usual, 30) + 1e-12


def find_mean(kept: Floats, added: Floats, groups: tuple[NDArray[np.int64], ...] = ()) -> RankFinding:
    return compare_ranks(kept, added, groups, "high", EDGE)[0]


def test_the_mean_rank_worked_by_hand() -> None:
    kept = np.tile([0.25, 0.75], 50)
    found = find_mean(kept, np.full(25, 0.8))
    # Variance 1/16 of the kept ranks, 4 in 1,000 of which a batch shares; sampled from 25 and from 100 rows.
    between, sampling = 0.004 / 16, 1 / 16 * 100 / 99 * (1 / 25 + 1 / 100)
    degrees = (between + sampling) ** 2 / (between**2 + sampling**2 / 24)
    expected = stats.t.sf(0.3 / math.sqrt(between + sampling), degrees)
    assert (found.found, found.usual, found.rows) == (pytest.approx(0.8), 0.5, 25)
    assert found.p_value == pytest.approx(expected)
    assert found.share == pytest.approx(0.6)


def test_groups_that_differ_make_a_shift_less_significant() -> None:
    kept = np.repeat([0.2, 0.4, 0.6, 0.8], 25)
    even, apart = np.arange(100) % 4, np.arange(100) // 25
    added = np.full(25, 0.8)
    mixed: Callable[[NDArray[np.int64]], RankFinding] = lambda group: find_mean(kept, added, (group,))  # noqa: E731
    assert mixed(np.random.default_rng(0).permutation(even)).p_value < 1e-4 < 0.05 < mixed(apart).p_value
    # Groups of fewer than ten rows are no groups.
    assert mixed(np.arange(100) // 9).p_value == find_mean(kept, added).p_value
    assert mixed(np.full(100, -1)).p_value == find_mean(kept, added).p_value


def test_where_all_ranks_are_the_same_there_is_no_shift() -> None:
    same = np.full(50, 0.5)
    assert [found.p_value for found in compare_ranks(same, same, (np.arange(50) % 5,), "high", EDGE)] == [1.0, 1.0]
