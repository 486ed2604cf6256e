"""ZIP against a program that follows Algorithm 1 line by line and recompresses everything."""

from __future__ import annotations

import math
import zlib
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import EntropylawError, ParamsError
from corpus.params import parse_section
from selection.budget import Budget
from selection.framing import reference_text
from selection.zip_greedy import Selection, ZipParams, bottom_k, select_zip

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = ["".join(Random(number).choices(LETTERS, k=3 + number % 5)) for number in range(5_000)]


def ratio(members: list[bytes]) -> Fraction | float:
    raw = b"".join(members)
    # A row without bytes ranks after all others.
    return Fraction(len(raw), len(zlib.compress(raw, 9))) if members[-1] else math.inf


def algorithm_1(pool: list[bytes], m: int, k1: int, k2: int, k3: int) -> list[int]:
    """Lists and whole compressions only; Python's sort keeps the lower row first among equals."""
    chosen: list[int] = []
    state = {row: ratio([text]) for row, text in enumerate(pool)}
    while len(chosen) < m and len(chosen) < len(pool):
        left = [row for row in range(len(pool)) if row not in chosen]
        first = sorted(sorted(left, key=state.__getitem__)[:k1])
        for row in first:
            state[row] = ratio([*(pool[i] for i in chosen), pool[row]])
        second = sorted(sorted(first, key=state.__getitem__)[:k2])
        third: list[int] = []
        while len(third) < k3 and second:
            best = min(second, key=lambda row: ratio([*(pool[i] for i in third), pool[row]]))
            third.append(best)
            second.remove(best)
        chosen += third
    return chosen[:m]


def sentence(seed: int, words: int) -> bytes:
    return " ".join(Random(seed).choices(VOCABULARY[:20], k=words)).encode()


def prose(seed: int, words: int) -> bytes:
    return " ".join(Random(seed).choices(VOCABULARY, k=words)).encode()


def prose_pool(size: int, seed: int = 0, words: int = 120) -> list[bytes]:
    random = Random(seed)
    return [sentence(random.randrange(10**6), random.randrange(5, words)) for _ in range(size)]


rows = st.one_of(
    st.binary(max_size=30),
    st.builds(sentence, st.integers(0, 30), st.integers(0, 60)),
    st.builds(lambda times: b"again " * times, st.integers(0, 40)),
)
sizes = st.tuples(*[st.integers(1, 8)] * 3).map(lambda three: sorted(three, reverse=True))


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(rows, max_size=25), st.integers(0, 30), sizes)
def test_the_same_rows_in_the_same_order_as_recompressing_everything(
    pool: list[bytes], budget: int, k: list[int]
) -> None:
    k1, k2, k3 = k
    selected = select_zip(iter(pool), Budget(rows=budget), ZipParams(k1, k2, k3))
    assert list(selected.indices) == algorithm_1(pool, budget, k1, k2, k3)


@pytest.mark.slow
def test_the_same_rows_as_recompressing_everything_when_the_set_outgrows_the_window() -> None:
    pool = prose_pool(180, words=600)
    selected = select_zip(pool, Budget(rows=90), ZipParams(k1=60, k2=20, k3=10))
    assert sum(len(pool[row]) for row in selected.indices) > 2 * 32_768
    assert list(selected.indices) == algorithm_1(pool, 90, k1=60, k2=20, k3=10)
    assert selected.rounds == 9


EDGES = {
    "nothing asked": (5, 0, 0),
    "one row": (5, 1, 1),
    "no round ends with the budget": (40, 13, 13),
    "pool smaller than every size": (3, 2, 2),
    "whole pool": (12, 12, 12),
    "more than the pool": (12, 99, 12),
    "empty pool": (0, 4, 0),
}


@pytest.mark.parametrize(("size", "budget", "expected"), EDGES.values(), ids=EDGES.keys())
@pytest.mark.parametrize("window", ["codec", "global"])
def test_exactly_the_rows_asked_for_and_all_distinct(size: int, budget: int, expected: int, window: str) -> None:
    params = ZipParams(k1=10, k2=6, k3=4, window=window)  # type: ignore[arg-type]
    selected = select_zip(prose_pool(size), Budget(rows=budget), params)
    assert len(selected.indices) == len(set(selected.indices)) == selected.spent == expected
    assert selected.pool_rows == size


def test_a_selection_is_the_beginning_of_every_longer_one() -> None:
    pool = prose_pool(60)
    params = ZipParams(k1=20, k2=10, k3=6)
    longest = select_zip(pool, Budget(rows=60), params).indices
    for count in (1, 5, 6, 7, 30):
        assert select_zip(pool, Budget(rows=count), params).indices == longest[:count]


def test_a_token_budget_ends_with_the_last_row_that_fits() -> None:
    pool = prose_pool(40)
    params = ZipParams(k1=20, k2=10, k3=6)
    order = select_zip(pool, Budget(rows=40), params).indices
    tokens = [len(text.split()) for text in pool]
    selected = select_zip(pool, Budget(tokens=500), params, token_counts=tokens)
    assert selected.indices == order[: len(selected.indices)]
    assert selected.spent == sum(tokens[row] for row in selected.indices) <= 500
    assert selected.spent + tokens[order[len(selected.indices)]] > 500


@pytest.mark.parametrize("window", ["codec", "global"])
def test_rows_without_bytes_are_taken_after_all_others(window: str) -> None:
    pool = [b"", *prose_pool(6), b""]
    params = ZipParams(k1=8, k2=4, k3=2, window=window)  # type: ignore[arg-type]
    assert set(select_zip(pool, Budget(rows=6), params).indices) == set(range(1, 7))
    assert select_zip(pool, Budget(rows=8), params).indices[-2:] == (0, 7)


def test_equal_rows_are_taken_from_the_top_of_the_pool() -> None:
    assert select_zip([b"same"] * 5, Budget(rows=3), ZipParams(4, 3, 2)).indices == (0, 1, 2)


def test_a_worked_case() -> None:
    varied, other, flat = b"qwertyuiopasdfghjklz", b"QWERTYUIOPASDFGHJKLZ", b"aaaaaaaaaaaaaaaaaaaa"
    # zlib 9, bytes before and after: varied 20/28, other 20/28, flat 20/11. The first of the lowest is row 1.
    # With row 1: its copy 40/31 = 1.29, other 40/48 = 0.83, flat 40/30 = 1.33: row 3.
    # With rows 1 and 3: the copy 60/51 = 1.18, flat 60/50 = 1.20: row 2, then row 0.
    selected = select_zip([flat, varied, varied, other], Budget(rows=4), ZipParams(k1=4, k2=4, k3=4))
    assert selected.indices == (1, 3, 2, 0)
    assert (selected.rounds, selected.pool_copies, selected.selected_copies) == (1, 1, 1)


def duplicated_pool(size: int, copies: int, seed: int = 4) -> list[bytes]:
    pool = prose_pool(size, seed)
    random = Random(seed)
    pool += [pool[random.randrange(size)] for _ in range(copies)]
    random.shuffle(pool)
    return pool


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, min_size=1, max_size=8), st.lists(st.integers(0, 7), max_size=16), sizes, st.integers(1, 24))
def test_the_global_window_never_chooses_a_copy_while_another_row_remains(
    originals: list[bytes], copied: list[int], k: list[int], budget: int
) -> None:
    pool = originals + [originals[which % len(originals)] for which in copied]
    selected = select_zip(pool, Budget(rows=budget), ZipParams(*k, window="global"))
    assert len(selected.indices) == min(budget, len(pool))
    distinct = len(set(pool))
    assert len({pool[row] for row in selected.indices}) == min(budget, distinct)
    first = [pool[row] for row in selected.indices[:distinct]]
    assert len(first) == len(set(first))


def test_the_global_window_chooses_copies_that_zlib_cannot_see() -> None:
    pool = duplicated_pool(300, 110)
    params = {"k1": 100, "k2": 20, "k3": 10}
    near = select_zip(pool, Budget(rows=300), ZipParams(**params))  # type: ignore[arg-type]
    far = select_zip(pool, Budget(rows=300), ZipParams(**params, window="global"))  # type: ignore[arg-type]
    assert near.pool_copies == far.pool_copies == 110
    assert near.selected_copies > 30
    assert far.selected_copies == 0


@pytest.mark.slow
def test_the_global_window_avoids_near_copies_of_far_rows() -> None:
    # Every row stands a second time with one word more, far apart: 32 KiB hold a dozen rows.
    originals = [prose(seed, 500) for seed in range(250)]
    pool = originals + [text.replace(b" ", b" changed ", 1) for text in originals]
    near_copies = {}
    for window in ("codec", "global"):
        params = ZipParams(k1=150, k2=20, k3=10, window=window)  # type: ignore[arg-type]
        chosen = select_zip(pool, Budget(rows=200), params).indices
        near_copies[window] = len(chosen) - len({row % 250 for row in chosen})
    assert near_copies["global"] < near_copies["codec"] / 3


def test_progress_reaches_the_pool_and_then_the_budget() -> None:
    seen: list[tuple[str, int, int]] = []
    select_zip(prose_pool(30), Budget(rows=7), ZipParams(10, 6, 4), progress=lambda *report: seen.append(report))
    assert seen == [("score", 30, 30), *[("select", done, 7) for done in range(1, 8)]]


def authors_program(pool: list[dict], budget: int, k1: int, k2: int, k3: int) -> list[int]:
    """What the published program computes: str() of row lists, float32 ratios, finalists blocked for good."""
    torch = pytest.importorskip("torch")

    def g(part: list[dict]) -> float:
        data = str(part).encode("utf-8")
        return len(data) / len(zlib.compress(data, level=9))

    state = torch.tensor([g([row]) for row in pool])
    final: list[int] = []
    while len(final) < budget:
        first = torch.topk(state, k=k1, largest=False).indices
        scored = torch.tensor([g([pool[i] for i in final] + [pool[row]]) for row in first.tolist()])
        state[first] = scored
        second = first[torch.topk(scored, k=k2, largest=False).indices]
        state[second] = 1_000_000
        finalists, picked = second.tolist(), []
        for _ in range(k3):
            inner = torch.tensor([g([pool[finalists[i]] for i in picked] + [pool[row]]) for row in finalists])
            inner[picked] = 1_000_000
            picked.append(int(torch.topk(inner, k=1, largest=False).indices))
        final += [finalists[i] for i in picked]
    return final


def sharegpt_pool(size: int, seed: int) -> list[dict]:
    random = Random(seed)
    return [
        {
            "id": f"r{number}",
            "source": random.choice(["a", "b"]),
            "conversations": [
                {"from": ("human", "gpt")[turn % 2], "value": sentence(seed + number, random.randrange(4, 90)).decode()}
                for turn in range(2 * random.randrange(1, 4))
            ],
        }
        for number in range(size)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_compat_reference_gives_the_rows_of_the_authors_program(seed: int) -> None:
    pool = sharegpt_pool(150, seed)
    params = ZipParams(k1=40, k2=12, k3=6, compat="reference")
    selected = select_zip(map(reference_text, pool), Budget(rows=48), params)
    assert list(selected.indices) == authors_program(pool, 48, k1=40, k2=12, k3=6)


def test_compat_reference_cuts_the_last_round_where_the_authors_program_overshoots() -> None:
    pool = sharegpt_pool(100, seed=5)
    params = ZipParams(k1=40, k2=12, k3=6, compat="reference")
    whole = authors_program(pool, 20, k1=40, k2=12, k3=6)
    assert len(whole) == 24
    assert list(select_zip(map(reference_text, pool), Budget(rows=20), params).indices) == whole[:20]


def test_compat_reference_stops_where_the_authors_program_picks_a_row_twice() -> None:
    pool = sharegpt_pool(30, seed=6)
    picked = authors_program(pool, 24, k1=20, k2=12, k3=6)
    assert len(set(picked)) < 24
    params = ZipParams(k1=20, k2=12, k3=6, compat="reference")
    with pytest.raises(EntropylawError, match="a second time"):
        select_zip(map(reference_text, pool), Budget(rows=24), params)


def test_compat_reference_says_that_the_pool_is_smaller_than_k1() -> None:
    params = ZipParams(k1=20, k2=12, k3=6, compat="reference")
    with pytest.raises(EntropylawError, match="19 rows, fewer than k1=20"):
        select_zip(map(reference_text, sharegpt_pool(19, seed=1)), Budget(rows=5), params)


WRONG = {
    "k3 above k2": {"k2": 50, "k3": 60},
    "k2 above k1": {"k1": 100},
    "k3 below 1": {"k3": 0},
    "zlib cannot look back": {"codec": "zlib", "window": "global"},
    "no such zlib level": {"level": 10},
    "level 0 does not compress": {"level": 0},
    "no such zstd level": {"codec": "zstd", "level": 23},
    "the authors use zlib": {"compat": "reference", "codec": "zstd"},
    "the authors use level 9": {"compat": "reference", "level": 6},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG.keys())
def test_parameters_that_cannot_be_are_named_with_their_section(changes: dict[str, object]) -> None:
    fields = {name: getattr(ZipParams(), name) for name in ZipParams.__dataclass_fields__}
    with pytest.raises(ParamsError, match=r"^params.yaml: select: .*(k1|level|window|compat)"):
        parse_section(ZipParams, {**fields, **changes}, "params.yaml: select")


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.data())
def test_bottom_k_is_a_stable_sort_cut_short(values: list[int], data: st.DataObject) -> None:
    scores = np.array(values, dtype=float)
    rows = np.array(sorted(data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1))))
    k = data.draw(st.integers(1, len(values) + 3))
    assert bottom_k(scores, rows, k).tolist() == sorted(rows.tolist(), key=lambda row: (values[row], row))[:k]


def test_a_token_budget_without_token_counts_is_refused() -> None:
    with pytest.raises(EntropylawError, match="token count of every row"):
        select_zip([b"a"], Budget(tokens=5))


def test_the_result_reports_where_the_time_went() -> None:
    selected: Selection = select_zip(prose_pool(50), Budget(rows=20), ZipParams(20, 10, 5))
    assert set(selected.seconds) == {"load", "score", "coarse", "fine"}
    assert min(selected.seconds.values()) > 0
