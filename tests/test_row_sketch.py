"""Row sketches against exact multisets."""

import dataclasses
import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.artifacts import fingerprint
from corpus.shapes import parse_shape
from monitor.measures.row_sketch import MAX_KEYS, RowDifference, RowSketch


def random_hashes(rows: int, seed: int) -> list[str]:
    text = np.random.default_rng(seed).bytes(16 * rows).hex()
    return [text[i : i + 32] for i in range(0, len(text), 32)]


def numbered_hash(number: int) -> str:
    return hashlib.blake2b(str(number).encode(), digest_size=16).hexdigest()


def old_sketch(rows: list[str]) -> RowSketch:
    """As entropylaw 0.2.0 made it."""
    return RowSketch.of(rows, max_keys=90_000, false_positive_bits=7)


# Few distinct rows, so that copies abound.
versions = st.lists(st.integers(0, 30).map(numbered_hash), max_size=60)


@given(versions, versions)
def test_the_rows_of_the_exact_multiset_are_contained_and_no_others(old: list[str], new: list[str]) -> None:
    sketch, seen, exact = RowSketch.of(old), Counter[str](), Counter(old)
    expected = []
    for row_hash in new:
        seen[row_hash] += 1
        expected.append(seen[row_hash] <= exact[row_hash])
    found = sketch.contains(new)
    assert all(answer for answer, really in zip(found, expected, strict=True) if really)
    assert sum(bool(answer) for answer in found) == sum(expected)


@given(versions)
def test_a_version_differs_from_itself_by_nothing_in_any_order(rows: list[str]) -> None:
    unchanged = RowDifference(added=0, removed=0, kept=len(rows))
    assert RowSketch.of(rows).difference(rows[::-1]) == unchanged
    assert RowSketch.of(rows[::-1]) == RowSketch.of(rows)


def test_the_third_copy_is_new_where_there_were_two() -> None:
    a, b = numbered_hash(1), numbered_hash(2)
    assert RowSketch.of([a, b, a]).contains([a, a, b, a, b]) == [True, True, True, False, False]


@pytest.mark.parametrize("rows", [200, 1_000, 1_025, 30_000])
def test_no_new_row_is_taken_for_an_old_one(rows: int) -> None:
    sketch = RowSketch.of(random_hashes(rows, 1))
    assert sketch.is_exact
    assert not any(sketch.contains(random_hashes(50_000, 2)))


@pytest.mark.parametrize("rows", [200, 1_000, 1_025, 30_000])
def test_in_an_old_sketch_fewer_than_one_new_row_in_a_hundred_is(rows: int) -> None:
    sketch = old_sketch(random_hashes(rows, 1))
    found = sketch.contains(random_hashes(50_000, 2))
    assert 0 < sum(bool(answer) for answer in found) < 500
    assert not sketch.is_exact


@pytest.mark.parametrize("rows", [3, 100, 5_000, 17_000])
def test_differences_are_the_exact_counts(rows: int) -> None:
    old, fresh = random_hashes(rows, 1), random_hashes(rows // 3, 2)
    new = old[rows // 10 :] + fresh + old[-5:]
    kept = sum((Counter(old) & Counter(new)).values())
    assert RowSketch.of(old).difference(new) == RowDifference(len(new) - kept, len(old) - kept, kept)


@pytest.mark.parametrize("rows", [3, 100, 5_000, 60_000])
def test_differences_by_an_old_sketch_are_within_a_hundredth_of_the_change(rows: int) -> None:
    old, fresh = random_hashes(rows, 1), random_hashes(rows // 3, 2)
    new = old[rows // 10 :] + fresh + old[-5:]
    kept = sum((Counter(old) & Counter(new)).values())
    difference = old_sketch(old).difference(new)
    assert abs(difference.kept - kept) <= 2 + len(fresh) / 100
    assert difference.added + difference.kept == len(new)
    assert difference.removed + difference.kept == len(old)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1_000, 17_000, 100_000, 1_000_000])
def test_a_sketch_takes_about_35_bits_a_row_up_to_a_ceiling(rows: int) -> None:
    sketch = RowSketch.of(random_hashes(rows, 1))
    assert sketch.rows == rows
    assert len(sketch.packed) <= min(rows, 1.02 * MAX_KEYS) * 35 / 8 * 4 / 3 + 4


def test_a_sampled_sketch_answers_for_the_same_share_of_old_and_new_rows() -> None:
    old, fresh = random_hashes(200_000, 1), random_hashes(20_000, 2)
    new = old[20_000:] + fresh
    sketch = RowSketch.of(old)
    found = sketch.contains(new)
    assert False not in found[:180_000]
    for part in (found[:180_000], found[180_000:]):
        answered = sum(answer is not None for answer in part) / len(part)
        assert answered == pytest.approx(MAX_KEYS / 200_000, abs=0.02)
    assert sketch.difference(new).added == pytest.approx(20_000, rel=0.05)
    assert sketch.difference(old) == RowDifference(added=0, removed=0, kept=200_000)


@settings(max_examples=25)
@given(st.integers(1, 400), st.integers(0, 400))
def test_thinning_answers_for_fewer_rows_and_never_differently(rows: int, max_keys: int) -> None:
    sketch = RowSketch.of(random_hashes(rows, 1))
    thin = sketch.thinned(max_keys)
    new = random_hashes(rows, 1)[: rows // 2] + random_hashes(100, 2)
    whole = sketch.contains(new)
    assert all(after in (before, None) for before, after in zip(whole, thin.contains(new), strict=True))
    assert (thin == sketch) == (max_keys >= rows)


def test_a_sketch_that_answers_for_no_row_at_all_keeps_nothing() -> None:
    old = random_hashes(50, 1)
    assert RowSketch.of(old).thinned(0).difference(old) == RowDifference(added=50, removed=50, kept=0)
    assert RowSketch.of([]).difference(old) == RowDifference(added=50, removed=0, kept=0)


@given(versions)
def test_json_gives_the_sketch_back(rows: list[str]) -> None:
    sketch = RowSketch.of(rows)
    for written in (sketch, old_sketch(rows), sketch.thinned(0)):
        read = parse_shape(dataclasses.asdict(written), RowSketch)
        read.check()
        assert read == written


def test_the_coded_form_never_changes() -> None:
    # Histories outlive releases: a different code for the same rows would make old versions look replaced.
    rows = [numbered_hash(number % 700) for number in range(1_000)]
    assert fingerprint(RowSketch.of(rows)) == "298ca606b08cfb90"
    assert fingerprint(old_sketch(rows)) == "08d46db19b8adf40"


@pytest.mark.parametrize(
    "damage",
    [
        {"packed": "AAAA"},
        {"packed": "not base64"},
        {"packed": "é"},
        {"packed": ""},
        {"kept": 7},
        {"kept": -1},
        {"limit": 0},
        {"limit": 1},
        {"limit": -1},
        {"limit": 2**64},
        {"bits": 5},
        {"bits": 0},
        {"bits": 64},
        {"bits": 2**64},
        {"rows": 1},
        {"rows": -1},
        {"rows": 2**64},
    ],
)
def test_a_damaged_sketch_is_an_error(damage: dict[str, int | str]) -> None:
    with pytest.raises(ValueError, match="row sketch"):
        dataclasses.replace(RowSketch.of(random_hashes(100, 1)), **damage).check()  # type: ignore[arg-type]


def test_hashes_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="32 hex digits"):
        RowSketch.of(["abcd"])
