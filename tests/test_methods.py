"""One door to all methods: what it hands on, what it refuses, and what is reported of a selection."""

from __future__ import annotations

import statistics
import zlib
from typing import Any, get_args

import numpy as np
import pytest

from selection.budget import Budget
from selection.methods import (
    METHODS,
    NEED_EMBEDDINGS,
    NEED_SCORES,
    SEEDED,
    Candidates,
    Chosen,
    Method,
    RowFacts,
    SelectionParams,
    select_rows,
)
from selection.report import LISTED_SOURCES, describe_selection
from selection.zip_greedy import select_zip

NAN = float("nan")
TEXTS = [b"the quick brown fox " * 3, b"jumps over the lazy dog", b"pack my box with five dozen", b"liquor jugs"]
# Rows 0 and 1 point the same way, rows 2 and 3 another.
EMBEDDINGS = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]


def params(method: Method, rows: int = 2, **changes: Any) -> SelectionParams:
    return SelectionParams(method=method, rows=rows, **changes)


@pytest.mark.parametrize(
    ("method", "scores", "embeddings", "expected"),
    [
        ("perplexity", [1.0, 4.0, NAN, 3.0], None, (1, 3)),
        ("score", [5.0, 4.0, NAN, 4.5], None, (0, 3)),
        ("length", [5.0, 40.0, 0.0, 9.0], None, (1, 3)),
        ("superfiltering", [0.2, 1.4, 0.9, 0.5], None, (2, 3)),
        ("superfiltering-loss", [0.2, 1.4, 0.9, 0.5], None, (2, 3)),
        ("deita", [9.0, 8.0, 7.0, 6.0], EMBEDDINGS, (0, 2)),
    ],
)
def test_a_method_ranks_by_what_it_is_given(
    method: Method, scores: list[float], embeddings: list[list[float]] | None, expected: tuple[int, ...]
) -> None:
    chosen = select_rows([], 4, params(method), RowFacts(scores=scores, embeddings=embeddings))
    assert chosen.positions == expected
    assert list(chosen.seconds) == ["select"] and chosen.seconds["select"] >= 0


def test_cluster_takes_one_row_of_each_cluster() -> None:
    first, second = select_rows([], 4, params("cluster"), RowFacts(embeddings=EMBEDDINGS)).positions
    assert {first // 2, second // 2} == {0, 1}


def test_zip_is_select_zip_on_a_stream_of_texts() -> None:
    chosen = select_rows(iter(TEXTS), 4, params("zip", rows=3, k1=3, k2=2, k3=2))
    expected = select_zip(TEXTS, Budget(rows=3), params("zip", k1=3, k2=2, k3=2).zip_params())
    assert chosen.positions == expected.indices
    assert set(chosen.seconds) == {"load", "score", "coarse", "fine"}


def test_the_seed_is_for_the_methods_that_say_so_and_for_no_other() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 3))
    plain = [
        f"The word number {number * 7919} is one of the many that we have with us here. " * 9 for number in range(200)
    ]
    texts = [text.encode() for text in plain]
    facts = RowFacts(
        scores=np.linspace(0.1, 0.9, 200),
        embeddings=vectors,
        plain_texts=plain,
        target_texts=["number one of the many"],
        tags=[{f"tag {number}"} for number in range(200)],
        reward_answers=lambda seed, good: [-1.0] * len(good),
    )

    def select(method: Method, seed: int) -> tuple[int, ...]:
        return select_rows(texts, 200, params(method, rows=20, seed=seed, lowest_grade=0.5), facts).positions

    passes = {method for method in METHODS if select(method, 0)}  # the text repeats itself, which two rule sets refuse
    assert {method for method in passes if select(method, 0) != select(method, 1)} == (SEEDED & passes) - {"cherry"}
    # The seed of cherry is for the model that its scores come from; here they are given.
    assert set(METHODS) - passes <= {"gopher", "fineweb"}
    assert all(select(method, 5) == select(method, 5) for method in METHODS)


def test_every_method_that_params_yaml_may_name_is_there() -> None:
    assert tuple(METHODS) == get_args(Method)


def test_a_method_without_texts_or_target_is_refused() -> None:
    with pytest.raises(ValueError, match="gopher needs plain texts"):
        select_rows(TEXTS, 4, params("gopher"))
    with pytest.raises(ValueError, match="dsir needs a target"):
        select_rows(TEXTS, 4, params("dsir"), RowFacts(plain_texts=["a", "b", "c", "d"]))


def test_rows_wanted_by_a_budget_in_tokens_are_those_that_fit_at_the_mean_length() -> None:
    assert Candidates(4, SelectionParams(tokens=50), RowFacts([10, 20, 30, 40])).wanted_rows == 2
    assert Candidates(4, SelectionParams(rows=3)).wanted_rows == 3


@pytest.mark.parametrize("method", sorted(NEED_SCORES | NEED_EMBEDDINGS))
@pytest.mark.parametrize("count", [None, 3])
def test_a_method_without_one_value_for_each_row_is_refused(method: Method, count: int | None) -> None:
    scores = [1.0] * 4 if method not in NEED_SCORES or method in NEED_EMBEDDINGS else [1.0] * (count or 0)
    embeddings = None if count is None else EMBEDDINGS[:count]
    with pytest.raises(ValueError, match=f"{method} needs (scores|embeddings), one for each of the pool's 4 rows"):
        select_rows(TEXTS, 4, params(method), RowFacts(scores=scores, embeddings=embeddings))


@pytest.mark.parametrize("method", ["random", "perplexity", "zip"])
def test_every_method_takes_a_budget_in_tokens(method: Method) -> None:
    counts = [10, 20, 30, 40]
    settings = SelectionParams(method=method, tokens=45, k1=4, k2=4, k3=4)
    chosen = select_rows(TEXTS, 4, settings, RowFacts(counts, scores=[1.0, 2.0, 3.0, 4.0]))
    assert 0 < sum(counts[row] for row in chosen.positions) <= 45


def test_without_rows_and_tokens_the_budget_is_the_share_of_the_pool() -> None:
    assert SelectionParams(share=0.5).budget(7) == Budget(rows=4)
    assert SelectionParams(share=0.01).budget(7) == Budget(rows=1)
    assert SelectionParams(share=0.5, rows=0).budget(7) == Budget(rows=0)
    assert SelectionParams(tokens=30).budget(7) == Budget(tokens=30)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"share": 0.0}, "share"),
        ({"rows": 1, "tokens": 1}, "not both"),
        ({"seed": -1}, "seed"),
        ({"k1": 10, "k2": 20}, "k2=20"),
        ({"window": "global", "codec": "zlib"}, "zstd"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        SelectionParams(**changes)


def test_a_report_counts_pool_and_selection() -> None:
    texts = [b"row %d of the pool, with %d in it\n" % (number, number * 7919) for number in range(101)]
    counts = list(range(1, 102))
    positions = (100, 50, 0)
    sources = ["web"] * 60 + [""] * 41
    report = describe_selection(
        texts,
        sources,
        Chosen(positions, {"select": 1.23456}),
        SelectionParams(method="random", rows=3),
        counts,
    )
    assert report.pool_r == pytest.approx(len(b"".join(texts)) / len(zlib.compress(b"".join(texts), 9)))
    selected = b"".join(texts[position] for position in positions)
    assert report.selected_r == pytest.approx(len(selected) / len(zlib.compress(selected, 9)))
    assert report.pool_r_long > 1 and report.selected_r_long > 0
    assert (report.method, report.budget_rows, report.budget_tokens) == ("random", 3, None)
    assert (report.pool_rows, report.pool_tokens, report.pool_mean_tokens) == (101, 101 * 51, 51.0)
    # The 95th percentile of 1..101 lies 95% of the way from the first to the last.
    assert (report.pool_median_tokens, report.pool_p95_tokens) == (statistics.median(counts), 96.0)
    assert (report.selected_rows, report.selected_tokens, report.selected_median_tokens) == (3, 153, 51.0)
    assert report.pool_sources == {"web": 60, "": 41} and list(report.pool_sources) == ["web", ""]
    assert report.sources == {"web": 2, "": 1}


def test_a_report_of_nothing_selected_has_no_mean_row() -> None:
    report = describe_selection(TEXTS, [""] * 4, Chosen((), {}), params("random", rows=0), [1, 2, 3, 4])
    assert (report.selected_rows, report.selected_r, report.selected_tokens) == (0, 1.0, 0)
    assert report.selected_mean_tokens is None and report.selected_p95_tokens is None


def test_a_report_without_token_counts_has_no_tokens() -> None:
    report = describe_selection(TEXTS, [""] * 4, Chosen((1,), {}), params("random"))
    assert report.pool_tokens is None and report.selected_median_tokens is None


def test_a_report_lists_the_largest_sources_when_every_row_has_its_own() -> None:
    sources = ["large"] * 3 + [f"row {number}" for number in range(3000)]
    report = describe_selection([b"x"] * 3003, sources, Chosen((5,), {}), params("random"))
    assert len(report.pool_sources) == LISTED_SOURCES and next(iter(report.pool_sources.items())) == ("large", 3)
    assert report.sources == {"row 2": 1}
