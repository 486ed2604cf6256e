"""Pairs against their parent's: what was reversed, which way the choice goes, and the two rules that judge both."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from corpus.records import HashedRecord, Message, Preference, Record, content_hash
from monitor.measures.preferences import (
    PairReference,
    PreferenceDirection,
    compare_answers,
    fit_direction,
    reverse_pair,
)
from monitor.measures.row_sketch import RowSketch
from monitor.measures.row_split import RowSplit
from monitor.rule_params import RuleParams
from monitor.rules import flipped, margin
from monitor.rules.pairs import PairComparison, compare_pairs
from monitor.rules.parent_comparison import ParentComparison
from monitor.rules.rule import RuleInput
from monitor.verdict import Measurements, RuleResult

Rows = list[HashedRecord]
PARAMS = RuleParams()


def make_pair(i: int, chosen: str | None = None, rejected: str | None = None) -> Preference:
    sides = (f"good {i}" if chosen is None else chosen, f"bad {i}" if rejected is None else rejected)
    answers = [(Message("assistant", text),) if text else () for text in sides]
    return Preference((Message("user", f"question {i}"),), *answers, row=i + 1)


def hashed(pairs: list[Preference]) -> Rows:
    return [(pair, content_hash(pair)) for pair in pairs]


def flip(pair: Preference) -> Preference:
    return replace(pair, chosen=pair.rejected, rejected=pair.chosen)


def compare(
    parent: list[Preference],
    version: list[Preference],
    agreement: NDArray[np.float64] | None = None,
    reference: PairReference | None = None,
) -> PairComparison:
    sketch = RowSketch.of(row_hash for _, row_hash in hashed(parent))
    known = np.array(sketch.contains([row_hash for _, row_hash in hashed(version)]), dtype=bool)
    agreement = np.zeros((len(version), 2)) if agreement is None else agreement
    split = RowSplit(known, ~known, np.ones(len(known), dtype=bool))
    return compare_pairs(hashed(version), agreement, sketch, reference, split)


def judge(pairs: PairComparison, rows: int, added: int) -> dict[str, RuleResult]:
    """The two rules' decisions when no other test is corrected for."""
    now = Measurements(rows, 2.0, 2.0, 0.5, 0.3, added, added, rows - added)
    comparison = ParentComparison("preferences", now, now, pairs)
    # Neither rule looks at the calibration or the law.
    case = RuleInput(comparison, None, None, PARAMS)  # type: ignore[arg-type]
    drafts = [module.RULE.ask(case) for module in (flipped, margin)]
    return {
        draft.result.id: draft.result if (p := draft.result.p_value) is None else draft.decide(p, 1, PARAMS)
        for draft in drafts
    }


def test_reversing_twice_gives_the_pair_back_and_a_pair_of_equals_has_no_reverse() -> None:
    pair = make_pair(1)
    once = reverse_pair(pair)
    assert once is not None and once != pair
    assert reverse_pair(once) == replace(pair, row=0)
    assert reverse_pair(make_pair(1, "same", "same")) is None


# --- pairs that the parent held the other way round -----------------------------------------------------------------


def test_a_pair_whose_reverse_the_parent_held_is_reversed_and_no_other_is() -> None:
    parent = [make_pair(i) for i in range(200)]
    version = [flip(pair) for pair in parent[:20]] + parent[20:] + [make_pair(i) for i in range(200, 210)]
    pairs = compare(parent, version)
    assert pairs.is_reversed[:20].all()
    # A hash that is not in the sketch is found there with a chance below one in a hundred.
    assert pairs.is_reversed[20:].sum() <= 5
    assert (pairs.added, pairs.kept) == (30, 180)
    assert 20 <= pairs.added_reversed <= 22


def test_an_unpaired_row_with_the_other_label_is_reversed() -> None:
    parent = [make_pair(i, rejected="") for i in range(100)]
    pairs = compare(parent, [flip(pair) for pair in parent[:10]] + parent[10:])
    assert pairs.added_reversed == 10
    assert np.isnan(pairs.scores).all()


def test_pairs_of_equals_are_never_reversed() -> None:
    parent = [make_pair(i, "same", "same") for i in range(100)]
    pairs = compare(parent, parent + [make_pair(i, "same", "same") for i in range(100, 120)])
    assert not pairs.is_reversed.any() and pairs.added == pairs.kept == 0


@pytest.mark.parametrize(("share", "expected"), [(0.1, "risky"), (0.05, "risky"), (0.02, "warn"), (0.0, "skipped")])
def test_labels_flipped_in_place_are_seen_whatever_they_mean(share: float, expected: str) -> None:
    parent = [make_pair(i) for i in range(1000)]
    count = round(1000 * share)
    rules = judge(compare(parent, [flip(pair) for pair in parent[:count]] + parent[count:]), 1000, count)
    assert rules["flipped"].status == expected
    if count:
        assert rules["flipped"].statistic == 1.0 > (rules["flipped"].threshold or 0)
        # The sketch takes one new row in a hundred for an old one.
        found = re.match(r"(\d+) of the \1 added pairs stand in the parent with chosen and", rules["flipped"].reason)
        assert found and 0.95 * count <= int(found[1]) <= count


def test_pairs_that_stand_both_ways_round_anyway_are_no_news() -> None:
    """Two annotators who disagree on a third of the pairs keep disagreeing on a third of the new ones."""
    parent = [
        pair for i in range(900) for pair in ([make_pair(i), flip(make_pair(i))] if i % 3 == 0 else [make_pair(i)])
    ]
    version = parent + [flip(make_pair(i)) for i in range(1, 900, 30)] + [make_pair(i) for i in range(900, 960)]
    rules = judge(compare(parent, version), len(version), 90)
    assert rules["flipped"].status == "pass"
    assert rules["flipped"].p_value is not None and rules["flipped"].p_value > 0.5


def test_the_p_value_is_fishers() -> None:
    pairs = PairComparison(np.zeros(0, bool), 900, 9, 100, 6, None, np.zeros(0), np.zeros(0))
    result = judge(pairs, 1000, 100)["flipped"]
    assert result.p_value == pytest.approx(stats.fisher_exact([[6, 94], [9, 891]], alternative="greater").pvalue)
    limit = round((result.threshold or 0) * 100)
    below, above = (
        stats.fisher_exact([[x, 100 - x], [9, 891]], alternative="greater").pvalue for x in (limit - 1, limit)
    )
    assert above <= PARAMS.false_alarm_rate < below


def test_a_version_that_was_flipped_as_a_whole_is_risky() -> None:
    parent = [make_pair(i) for i in range(300)]
    flipped = [flip(pair) for pair in parent]
    pairs = compare(parent, flipped, reference=PairReference(300, 3, None))
    assert (pairs.kept, pairs.kept_reversed) == (300, 3) and pairs.added_reversed >= 290
    assert judge(pairs, 300, 300)["flipped"].status == "risky"
    assert judge(compare(parent, flipped), 300, 300)["flipped"].status == "not_assessed"


# --- which way the choice goes --------------------------------------------------------------------------------------


def draw_differences(rng: np.random.Generator, rows: int, length: float, agreement: float) -> NDArray[np.float64]:
    """Differences of answers with these means, in standard deviations of 0.9 and 0.2, as on chit-chat replies."""
    return rng.normal((length * 0.9, agreement * 0.2), (0.9, 0.2), (rows, 2))


def judge_differences(kept: NDArray[np.float64], added: NDArray[np.float64]) -> RuleResult:
    direction = fit_direction(kept)
    scores = direction.score(added) if direction else np.zeros(0)
    total = len(kept) + len(added)
    pairs = PairComparison(np.zeros(0, bool), len(kept), 0, len(added), 0, direction, scores, scores)
    return judge(pairs, total, len(added))["margin"]


def test_the_kept_pairs_score_one_on_average_and_their_reverses_minus_one() -> None:
    differences = draw_differences(np.random.default_rng(0), 500, 0.3, -0.5)
    direction = fit_direction(differences)
    assert direction is not None and direction.pairs == 500
    assert direction.score(differences).mean() == pytest.approx(1)
    assert direction.score(-differences) == pytest.approx(-direction.score(differences))
    # The direction has no unit: shorter or longer in words, characters or tokens.
    other = fit_direction(differences * [100.0, 0.01])
    assert other is not None
    assert other.score(differences * [100.0, 0.01]) == pytest.approx(direction.score(differences), rel=1e-4)


def test_the_p_value_of_a_direction_is_hotellings_and_uniform_without_a_preference() -> None:
    rng = np.random.default_rng(1)
    p_values = []
    for _ in range(400):
        direction = fit_direction(draw_differences(rng, 60, 0.0, 0.0))
        assert direction is not None
        p_values.append(direction.p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
    sample = draw_differences(rng, 60, 0.3, 0.0)
    mean, inverse = sample.mean(axis=0), np.linalg.inv(np.cov(sample.T))
    t_squared = 60 * mean @ inverse @ mean
    fitted = fit_direction(sample)
    assert fitted is not None
    assert fitted.p_value == pytest.approx(stats.f.sf(t_squared * 58 / (2 * 59), 2, 58), rel=1e-3)


def test_no_direction_without_thirty_pairs_or_where_all_are_balanced() -> None:
    rng = np.random.default_rng(2)
    assert fit_direction(draw_differences(rng, 29, 1.0, 1.0)) is None
    assert fit_direction(np.zeros((100, 2))) is None
    assert fit_direction(np.full((100, 2), np.nan)) is None


def test_answers_that_always_differ_by_the_same_have_a_direction() -> None:
    direction = fit_direction(np.tile([math.log(2), 0.0], (50, 1)))
    assert direction is not None and direction.p_value < 1e-6
    assert direction.score(np.array([[math.log(2), 0.0], [-math.log(2), 0.3]])) == pytest.approx([1, -1])


def test_differences_are_in_log_characters_and_cosine_and_missing_without_a_pair() -> None:
    rows: list[Record] = [make_pair(1, "x" * 19, "y" * 4), make_pair(2, rejected="")]
    agreement = np.array([[0.5, 0.2], [0.5, np.nan]])
    differences = compare_answers(rows, agreement)
    assert differences[0] == pytest.approx([math.log(20 / 5), 0.3])
    assert np.isnan(differences[1]).all()


# Effects as measured on real replies paired with those of other conversations (0.6) or cut short (1.5).
@pytest.mark.parametrize("preference", [0.6, 1.5])
@pytest.mark.parametrize(("share", "worst"), [(0.1, {"risky"}), (0.05, {"risky"}), (0.02, {"warn", "risky"})])
def test_fresh_pairs_with_exchanged_answers_are_seen(preference: float, share: float, worst: set[str]) -> None:
    rng = np.random.default_rng(3)
    added = round(1600 * share)
    seen = [
        judge_differences(
            draw_differences(rng, 1600 - added, 0.0, preference), -draw_differences(rng, added, 0.0, preference)
        ).status
        in worst
        for _ in range(50)
    ]
    assert sum(seen) >= 48


@pytest.mark.slow
@pytest.mark.parametrize("clarity", [1.0, 0.5, 0.0])
def test_honest_pairs_alarm_at_the_nominal_rate_however_weak_their_preference(clarity: float) -> None:
    rng = np.random.default_rng(4)
    results = [
        judge_differences(
            draw_differences(rng, 900, 0.2, 0.5), draw_differences(rng, 100, 0.2 * clarity, 0.5 * clarity)
        )
        for _ in range(400)
    ]
    p_values = [result.p_value for result in results if result.p_value is not None]
    assert len(p_values) == 400
    # Binomial: 20 of 400 are expected at most, with a standard deviation of 4.4.
    assert sum(p <= 0.05 for p in p_values) <= 33
    if clarity == 0.0:
        assert sum(p <= 0.05 for p in p_values) >= 8


def test_preferences_without_a_visible_direction_are_skipped_with_the_reason() -> None:
    rng = np.random.default_rng(5)
    result = judge_differences(draw_differences(rng, 900, 0.0, 0.01), draw_differences(rng, 100, 0.0, 0.0))
    assert result.status == "skipped"
    assert result.reason.startswith("Neither length nor agreement tells the chosen from the rejected answers")
    few = judge_differences(draw_differences(rng, 900, 1.0, 1.0), draw_differences(rng, 9, 1.0, 1.0))
    assert (few.status, few.reason) == ("skipped", "Only 9 added rows are pairs with text: too few to tell.")


def test_the_margins_effect_is_the_share_of_pairs_as_if_flipped() -> None:
    rng = np.random.default_rng(6)
    kept, flipped = draw_differences(rng, 900, 0.0, 2.0), -draw_differences(rng, 100, 0.0, 2.0)
    result = judge_differences(kept, flipped)
    assert result.status == "risky" and result.statistic == pytest.approx(-1, abs=0.1)
    assert "as if 10." in result.reason or "as if 9." in result.reason
    assert (result.threshold or 0) < 0


def test_without_kept_pairs_the_parents_direction_stands_in() -> None:
    parent = [make_pair(i) for i in range(50)]
    version = [make_pair(i, "no", "a much longer answer") for i in range(100, 150)]
    longer = PreferenceDirection((0.5, 0.0), 50, 1e-9)
    pairs = compare(parent, version, reference=PairReference(50, 0, longer))
    assert pairs.direction == longer
    assert pairs.scores == pytest.approx(0.5 * math.log(3 / 21))
    assert compare(parent, version).direction is None
