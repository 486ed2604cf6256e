"""What is reported beside R: self-repetition, R at equal length, NovelSum, on equally many rows."""

from __future__ import annotations

import math
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selection.diversity import DiversityMeter, measure_self_repetition
from selection.methods import Chosen, SelectionParams
from selection.ratios import measure_ratios
from selection.report import describe_selection

WORDS = [f"word{number}" for number in range(300)]


def texts(rows: int, words: int, seed: int = 0) -> list[bytes]:
    draw = random.Random(seed)
    return [f"user: {' '.join(draw.choices(WORDS, k=words))}\n\n".encode() for _ in range(rows)]


def hashes(pool: list[bytes]) -> list[str]:
    return [f"{zlib.crc32(text):08x}" for text in pool]


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=8), min_size=1, max_size=6))
def test_self_repetition_counts_the_other_rows_that_hold_each_ngram(rows: list[list[str]]) -> None:
    grams = [{tuple(row[i : i + 2]) for i in range(len(row) - 1)} for row in rows]
    expected = 0.0
    for i, own in enumerate(grams):
        others = sum(gram in other for gram in own for j, other in enumerate(grams) if j != i)
        expected += math.log(others + 1)
    assert measure_self_repetition(map(" ".join, rows), n=2) == pytest.approx(expected / len(rows))


def test_r_at_equal_length_is_zlib_of_the_cut_rows() -> None:
    pool = texts(40, 30)
    meter = DiversityMeter(pool, hashes(pool))
    cut = meter.equal_length_bytes
    assert cut == int(sorted(map(len, pool))[19] / 2 + sorted(map(len, pool))[20] / 2)
    rows = sorted((row for row in range(40) if len(pool[row]) >= cut), key=lambda row: hashes(pool)[row])
    joined = b"".join(pool[row][:cut] for row in rows)
    assert meter.measure(range(40)).r_equal_length == pytest.approx(len(joined) / len(zlib.compress(joined, 9)))


def test_r_grows_with_the_length_of_rows_and_r_at_equal_length_does_not() -> None:
    """Rows of one kind, each with words of its own that it comes back to; only their length differs."""
    draw = random.Random(0)

    def row(words: int) -> bytes:
        own = ["".join(draw.choices("abcdefghijklmnop", k=7)) for _ in range(40)]
        return " ".join(draw.choices(own, k=words)).encode()

    pool = [row(100) for _ in range(240)] + [row(600) for _ in range(160)]
    meter = DiversityMeter(pool, hashes(pool))
    short, long = (meter.measure(rows, long_rows=30) for rows in (range(240), range(240, 400)))
    ratios = [measure_ratios([pool[place] for place in rows])[0] for rows in (range(240), range(240, 400))]
    assert ratios[1] > 1.2 * ratios[0]
    assert short.r_equal_length == pytest.approx(long.r_equal_length, rel=0.03)


def test_pool_and_selection_are_compared_on_equally_many_rows() -> None:
    pool = texts(60, 20) + texts(1, 20) * 60
    report = describe_selection(pool, [""] * 120, Chosen(tuple(range(30))), SelectionParams(method="random"))
    assert report.compared_rows == 30
    assert report.selected_novelsum is not None and report.pool_novelsum is not None
    copies = describe_selection(pool, [""] * 120, Chosen(tuple(range(60, 90))), SelectionParams(method="random"))
    assert copies.selected_novelsum == 0 and copies.selected_self_repetition == pytest.approx(math.log(1 + 18 * 29))
    assert copies.selected_r_equal_length is None or copies.selected_r_equal_length > 10


def test_the_order_of_the_rows_changes_nothing() -> None:
    pool = texts(50, 25)
    turned = pool[::-1]
    one = DiversityMeter(pool, hashes(pool)).measure(range(30), rows=20, long_rows=7)
    other = DiversityMeter(turned, hashes(turned)).measure([49 - row for row in range(30)], rows=20, long_rows=7)
    assert one == other and one.rows == 20


def test_nothing_selected_has_no_diversity() -> None:
    found = DiversityMeter([b"x"], ["h"]).measure(())
    assert (found.rows, found.novelsum, found.self_repetition, found.r_equal_length) == (0, None, None, None)
