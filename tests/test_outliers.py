"""Outliers are counted: how often honest batches have too many, and which rule finds which accident."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corpus.records import Conversation, HashedRecord, Message, Preference, Record, canonical_text, content_hash
from monitor.calibration.params import CalibrationParams
from monitor.measures.evidence import first_copies
from monitor.measures.row_split import RowSplit
from monitor.outliers import version_features
from monitor.outliers.outlier_count import Outliers, OutlierTest
from monitor.outliers.version_features import MIN_KEPT_ROWS, VersionFeatures, measure_version_features
from monitor.rule_params import RuleParams
from monitor.rules import agreement, copies, form, wording
from monitor.rules.drafts import Draft, decide_status
from monitor.rules.outlier_share import draft_outlier_share, find_gravest
from monitor.rules.parent_comparison import ParentComparison
from monitor.rules.rule import RuleInput
from monitor.verdict import Measurements

Rows = list[Conversation]
PARAMS = RuleParams()
TOPICS_AS_USUAL = CalibrationParams()
# The features that each rule on single rows looks at.
FEATURES = {
    "agreement": (agreement.MISMATCH,),
    "copies": copies.FEATURES,
    "wording": wording.FEATURES,
    "form": form.FEATURES,
}

TOPICS = tuple(
    line.split()
    for line in (
        "bread oven flour butter salt soup pepper onion garlic knife plate recipe cheese rice stew",
        "sea ship sail harbour wave anchor captain island storm fish net rope deck coast tide",
        "guitar song piano drum concert melody singer violin stage choir rhythm opera album band tune",
        "doctor nurse fever hospital pill cough wound blood heart bone vaccine patient surgery pain cure",
        "football goal referee stadium player coach match team league score penalty ball winner cup trainer",
        "garden rose tree soil seed leaf root flower spade rain bush lawn weed fruit compost",
        "train station ticket rail platform luggage conductor tunnel bridge voyage signal engine track delay seat",
    )
)
QUESTIONS = (
    "Do you like the {} and the {}?",
    "What would you do with a {} or an old {}?",
    "Have you ever seen the {} next to the {}?",
    "Why is there a {} on your {} today?",
    "Can you tell me more about the {} and its {}?",
)
ANSWERS = (
    "I think the {} is better than the {}, but it depends on the {}.",
    "Well, my {} was never like that, so I took the {} and my {}.",
    "It is a good {} because the {} comes with every {}.",
    "Not really. We had a {} and some {} before the {} was gone.",
    "Yes, of course! You can have the {} if you give me the {} or the {}.",
)


def say(rng: np.random.Generator, words: Sequence[str], sentences: Sequence[str]) -> str:
    """One or two sentences about the words."""
    drawn = [sentences[i] for i in rng.integers(0, len(sentences), rng.integers(1, 3))]
    return " ".join(drawn).format(*rng.choice(words, 3 * len(drawn)))


def draw_chats(rng: np.random.Generator, rows: int, topics: Sequence[Sequence[str]] = TOPICS[:6]) -> Rows:
    """Two questions with their answers, all about one topic."""
    chats = []
    for _ in range(rows):
        words = topics[rng.integers(len(topics))]
        texts = [say(rng, words, ANSWERS if i % 2 else QUESTIONS) for i in range(4)]
        chats.append(Conversation(tuple(Message("assistant" if i % 2 else "user", t) for i, t in enumerate(texts))))
    return chats


def change(row: Conversation, said: Callable[[str], str], role: str = "assistant") -> Conversation:
    messages = (replace(m, content=said(m.content)) if m.role == role else m for m in row.messages)
    return replace(row, messages=tuple(messages))


def measure(
    kept: Sequence[Record], added: Sequence[Record], params: CalibrationParams = TOPICS_AS_USUAL
) -> VersionFeatures | None:
    hashes = [content_hash(row) for row in (*kept, *added)]
    is_kept = np.arange(len(hashes)) < len(kept)
    split = RowSplit(is_kept, ~is_kept, first_copies(hashes))
    rows = list(map(HashedRecord, (*kept, *added), hashes))
    return measure_version_features(rows, split, params, PARAMS.rare_character_bits)


def find_all(measured: VersionFeatures, share_added: float) -> dict[str, Outliers]:
    """What each rule finds, of those that find anything to compare."""
    found = {
        rule: find_gravest(
            measured,
            [feature.name for feature in features],
            share_added,
            PARAMS.outlier_share,
            PARAMS,
            with_copies=rule == "copies",
        )
        for rule, features in FEATURES.items()
    }
    return {rule: outliers for rule, outliers in found.items() if outliers}


def judge(kept: Sequence[Record], added: Sequence[Record]) -> dict[str, Outliers]:
    measured = measure(kept, added)
    assert measured is not None
    return find_all(measured, len(added) / (len(kept) + len(added)))


def statuses(found: dict[str, Outliers], share_added: float) -> dict[str, str]:
    """As in a version of one dataset, whose eight rules Holm's correction makes pay for each other."""
    return {
        rule: decide_status(8 * outliers.p_value, outliers.share * share_added, PARAMS.outlier_share, PARAMS)
        for rule, outliers in found.items()
    }


def find_outliers(
    feature: str,
    values: NDArray[np.float64],
    topic: NDArray[np.int64],
    is_added: NDArray[np.bool_],
    quantile: float,
    features: int,
) -> Outliers | None:
    """The outliers of one feature of a rule that has so many ``features``."""
    tests = features * len(PARAMS.outlier_quantiles)
    return OutlierTest(quantile, tests, PARAMS.false_alarm_rate).find(feature, values, topic, is_added)


def draft_rules(measured: VersionFeatures | None, added: int, share_added: float) -> dict[str, Draft]:
    rows = round(added / share_added) if added else 100
    now = Measurements(rows, 2.0, 2.0, 5.0, 0.3, added, 0, rows - added)
    nothing = np.zeros(0)
    comparison = ParentComparison("sft", now, now, *[nothing] * 4, 0, 0, features=measured)
    # These rules look at neither the calibration nor the law.
    case = RuleInput(comparison, None, None, PARAMS)  # type: ignore[arg-type]
    return {
        rule: draft_outlier_share(rule, case, features, PARAMS.outlier_share, with_copies=rule == "copies")
        for rule, features in FEATURES.items()
    }


@pytest.fixture(scope="module")
def kept() -> Rows:
    return draw_chats(np.random.default_rng(0), 300)


@pytest.fixture(scope="module")
def fresh() -> Rows:
    return draw_chats(np.random.default_rng(1), 40)


# --- honest batches and accidents ----------------------------------------------------------------------------------

SHARE = 40 / 340
ALL_PASS = dict.fromkeys(("agreement", "copies", "wording", "form"), "pass")


@pytest.mark.slow
def test_what_is_found_does_not_depend_on_the_order_of_the_file(kept: Rows, fresh: Rows) -> None:
    damaged = [*(change(row, str.upper) for row in fresh[:8]), *fresh[8:]]
    assert judge(kept[::-1], damaged[::-1]) == judge(kept, damaged)


def test_fresh_rows_of_the_same_kind_are_no_outliers(kept: Rows, fresh: Rows) -> None:
    assert statuses(judge(kept, fresh), SHARE) == ALL_PASS


@pytest.mark.slow
@pytest.mark.parametrize("new", [0, 3, 6])
def test_a_batch_about_something_new_is_not_stopped(new: int) -> None:
    known = [words for i, words in enumerate(TOPICS) if i != new]
    kept = draw_chats(np.random.default_rng(2), 300, known)
    news = draw_chats(np.random.default_rng(3), 40, TOPICS[new : new + 1])
    assert "risky" not in statuses(judge(kept, news), SHARE).values()


def exchange_answers(rows: Rows) -> Rows:
    """Each row gets the answers of the one before it."""
    return [
        Conversation(tuple(own if own.role == "user" else other for own, other in zip(*pair, strict=True)))
        for pair in ((row.messages, donor.messages) for row, donor in zip(rows, rows[-1:] + rows[:-1], strict=True))
    ]


def by_last_words(rows: Rows) -> Rows:
    """So that neighbours are of different topics."""
    return sorted(rows, key=lambda row: row.messages[1].content[::-1])


def garble(text: str) -> str:
    return (text.encode() + b" " * (len(text) % 2)).decode("utf-16-le", "replace")


def swap_roles(row: Conversation) -> Conversation:
    roles = {"user": "assistant", "assistant": "user"}
    return Conversation(tuple(Message(roles[m.role], m.content) for m in row.messages))  # type: ignore[arg-type]


def echo(row: Conversation) -> Conversation:
    user, _, again, _ = row.messages
    return Conversation(tuple(Message(role, m.content) for m in (user, again) for role in ("user", "assistant")))  # type: ignore[arg-type]


ACCIDENTS: dict[str, tuple[str, Callable[[Rows], Rows]]] = {
    "answers of other rows": (
        "agreement",
        lambda rows: exchange_answers(by_last_words(rows)),
    ),
    "wrong decoder": ("wording", lambda rows: [change(change(r, garble), garble, "user") for r in rows]),
    "random letters": (
        "wording",
        lambda rows: [
            change(r, lambda t: "".join(chr(97 + (7 * ord(c) + i) % 26) for i, c in enumerate(t))) for r in rows
        ],
    ),
    "words in another order": (
        "wording",
        lambda rows: [change(r, lambda t: " ".join(reversed(t.split()))) for r in rows],
    ),
    "markup": ("wording", lambda rows: [change(r, lambda t: f"<p>{t}</p>") for r in rows]),
    "answers cut": ("form", lambda rows: [change(r, lambda t: t[: len(t) // 3]) for r in rows]),
    "a full stop": ("form", lambda rows: [change(r, lambda t: ".") for r in rows]),
    "roles exchanged": ("form", lambda rows: [swap_roles(r) for r in rows]),
    "prompts echoed": ("form", lambda rows: [echo(r) for r in rows]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ACCIDENTS)
def test_an_accident_is_found_by_the_rule_it_belongs_to(name: str, kept: Rows, fresh: Rows) -> None:
    rule, damage = ACCIDENTS[name]
    found = judge(kept, damage(fresh))
    assert statuses(found, SHARE)[rule] == "risky"
    # Exchanged roles make prompts of answers, whose few sentences stand in more kept rows than any question.
    assert statuses(found, SHARE)["copies"] == ("warn" if name == "roles exchanged" else "pass")
    assert found[rule].share > 0.4


def test_copies_that_another_program_has_cleaned_are_found_by_copies(kept: Rows) -> None:
    cleaned = [change(change(row, str.lower), str.lower, "user") for row in kept[:40]]
    assert statuses(judge(kept, cleaned), SHARE)["copies"] == "risky"


def test_new_answers_to_old_prompts_are_found_by_copies(kept: Rows, fresh: Rows) -> None:
    contradictory = [
        replace(old, messages=(old.messages[0], new.messages[1], old.messages[2], new.messages[3]))
        for old, new in zip(kept, fresh, strict=False)
    ]
    found = judge(kept, contradictory)
    assert (statuses(found, SHARE)["copies"], found["copies"].feature) == ("risky", "prompt repeated")


def test_exact_copies_are_counted_by_copies_only(kept: Rows, fresh: Rows) -> None:
    only = judge(kept, kept[:40])
    assert set(only) == {"copies"} and statuses(only, SHARE) == {"copies": "risky"}
    mixed = judge(kept, [*kept[:20], *fresh[:20]])
    assert statuses(mixed, SHARE) == {**ALL_PASS, "copies": "risky"}
    assert {rule: outliers.added for rule, outliers in mixed.items()} == {**dict.fromkeys(ALL_PASS, 20), "copies": 40}


def test_damaged_rows_merged_many_times_are_one_piece_of_evidence(kept: Rows, fresh: Rows) -> None:
    damaged = change(fresh[0], lambda text: "<p>")
    assert statuses(judge(kept, [damaged] * 40), SHARE) == ALL_PASS


# --- how often an honest batch has too many ------------------------------------------------------------------------


def draw_values(
    rng: np.random.Generator, topic_sd: float, added: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """300 kept rows of 12 topics of different sizes, and a batch that is one more topic."""
    topic = np.append(np.sort(rng.integers(0, 12, 300)), np.full(added, 12))
    values = rng.normal(0, topic_sd, 13)[topic] + rng.normal(0, 1, len(topic))
    is_added = topic == 12
    return values, np.where(is_added, -1, topic), is_added


@pytest.mark.slow
@pytest.mark.parametrize("added", [8, 40])
@pytest.mark.parametrize(("topic_sd", "rates"), [(0.0, (0.05, 0.01)), (0.3, (0.05, 0.01)), (1.0, (0.05,))])
def test_an_honest_batch_has_too_many_outliers_no_more_often_than_its_rate(
    topic_sd: float, rates: tuple[float, ...], added: int
) -> None:
    # Where topics differ as much as the rows in them, p-values below 5% promise more than twelve topics can tell.
    rng = np.random.default_rng(4)
    lowest = []
    for _ in range(300):
        values, topic, is_added = draw_values(rng, topic_sd, added)
        found = [
            find_outliers("mismatch", values, topic, is_added, quantile, 1) for quantile in PARAMS.outlier_quantiles
        ]
        lowest.append(min(outliers.p_value for outliers in found if outliers))
    for rate in rates:
        assert np.mean(np.array(lowest) <= rate) <= rate + 2 * math.sqrt(rate * (1 - rate) / 300)


def test_a_batch_of_which_a_fifth_lies_far_out_is_found() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        values, topic, is_added = draw_values(rng, 0.3, 40)
        values[-8:] += 6
        outliers = find_outliers("mismatch", values, topic, is_added, PARAMS.outlier_quantiles[0], 1)
        assert outliers is not None and outliers.beyond >= 8 and outliers.p_value < 0.001


def hundred_rows(beyond: int, added: int) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Four topics with 25 rows each, one of which is an outlier; of the added rows the first ``beyond``."""
    topic = np.append(np.arange(100) % 4, np.full(added, -1))
    values = np.zeros(100 + added)
    values[:4] = [1, 2, 3, 4]
    values[100 : 100 + beyond] = 1
    return values, topic, topic < 0


def count_tail_exactly(at_least: int, n: int, usual: Fraction, weight: int) -> Fraction:
    """Of a beta-binomial, by rising factorials."""

    def rising(start: Fraction, steps: int) -> Fraction:
        return math.prod((start + step for step in range(steps)), start=Fraction(1))

    a, b = usual * weight, (1 - usual) * weight
    return sum(
        (math.comb(n, k) * rising(a, k) * rising(b, n - k) / rising(a + b, n) for k in range(at_least, n + 1)),
        start=Fraction(0),
    )


@pytest.mark.parametrize(("beyond", "added", "choices"), [(0, 5, 1), (1, 5, 1), (3, 20, 2), (9, 20, 6), (20, 20, 3)])
def test_outliers_worked_by_hand(beyond: int, added: int, choices: int) -> None:
    outliers = find_outliers("roles", *hundred_rows(beyond, added), 0.9, choices)
    # Topics that do not differ at all leave the floor of one in four times the rows of a topic: a weight of 99.
    usual = Fraction(9, 202)
    p = float(count_tail_exactly(beyond, added, usual, 99))
    assert outliers is not None
    assert (outliers.feature, outliers.quantile_threshold, outliers.beyond, outliers.added) == (
        "roles",
        0.0,
        beyond,
        added,
    )
    assert (outliers.usual, outliers.p_value) == pytest.approx((float(usual), min(1.0, 3 * choices * p)))
    assert outliers.share == pytest.approx(max(0.0, float((Fraction(beyond, added) - usual) / (1 - usual))))


@pytest.mark.parametrize("added", [1, 3, 30])
def test_more_rows_than_the_limit_are_significant_and_as_many_are_not(added: int) -> None:
    limits = {find_outliers("roles", *hundred_rows(k, added), 0.9, 2).limit for k in range(added + 1)}  # type: ignore[union-attr]
    (limit,) = limits
    for beyond in range(added + 1):
        outliers = find_outliers("roles", *hundred_rows(beyond, added), 0.9, 2)
        assert outliers is not None
        assert (outliers.p_value <= PARAMS.false_alarm_rate) == (beyond / added > limit)


def test_topics_that_differ_make_outliers_less_significant() -> None:
    values, topic, is_added = hundred_rows(9, 20)
    even = find_outliers("roles", values, topic, is_added, 0.9, 1)
    # The same rows, with all the outliers in one topic.
    one = find_outliers("roles", values, np.where(is_added, -1, np.arange(120) // 25), is_added, 0.9, 1)
    assert even is not None and one is not None
    assert even.p_value < one.p_value / 10
    assert (even.beyond, even.usual, even.quantile_threshold) == (one.beyond, one.usual, one.quantile_threshold)


def test_rows_without_a_feature_are_no_part_of_the_share() -> None:
    values, topic, is_added = hundred_rows(10, 20)
    all_known = find_outliers("roles", values, topic, is_added, 0.9, 1)
    values[110:] = np.nan
    half = find_outliers("roles", values, topic, is_added, 0.9, 1)
    assert half is not None and all_known is not None
    assert (half.beyond, half.added) == (10, 10)
    assert half.share == pytest.approx(0.5) and half.share > all_known.share


def test_a_feature_that_one_topic_lacks_or_that_is_rare_in_all_is_counted_without_it() -> None:
    values, topic, is_added = hundred_rows(9, 20)
    lacking = values.copy()
    lacking[topic == 3] = np.nan
    outliers = find_outliers("roles", lacking, topic, is_added, 0.9, 1)
    assert outliers is not None and (outliers.usual, outliers.p_value < 0.001) == (pytest.approx(3.5 / 76), True)
    rare = values.copy()
    rare[16:100] = np.nan
    outliers = find_outliers("roles", rare, topic, is_added, 0.9, 1)
    assert outliers is not None and outliers.usual == pytest.approx(2.5 / 17)


def test_fewer_than_10_kept_rows_or_no_added_ones_with_a_feature_say_nothing() -> None:
    values, topic, is_added = hundred_rows(3, 20)
    few = values.copy()
    few[MIN_KEPT_ROWS - 1 : 100] = np.nan
    assert find_outliers("roles", few, topic, is_added, 0.9, 1) is None
    few[MIN_KEPT_ROWS - 1] = 0
    assert find_outliers("roles", few, topic, is_added, 0.9, 1) is not None
    values[100:] = np.nan
    assert find_outliers("roles", values, topic, is_added, 0.9, 1) is None


def make_features(added: int, **values_added: NDArray[np.float64]) -> VersionFeatures:
    """200 kept rows of four topics, all features of which run from 0 to 1; added rows have 0 where nothing is said."""
    names = [feature.name for features in FEATURES.values() for feature in features]
    usual = np.linspace(0, 1, 200)
    return VersionFeatures(
        {name: np.append(usual, values_added.get(name.replace(" ", "_"), np.zeros(added))) for name in names},
        topic=np.append(np.arange(200) % 4, np.full(added, -1)),
        is_added=np.arange(200 + added) >= 200,
        is_copy=np.zeros(200 + added, dtype=bool),
    )


def test_of_many_features_the_gravest_speaks_and_not_the_most_significant() -> None:
    few_far_out, many_a_little_out = np.zeros(100), np.zeros(100)
    few_far_out[:15], many_a_little_out[:32] = 2, 0.95
    few, many = (
        find_all(make_features(100, **values), 0.1)["form"]
        for values in ({"repetition": few_far_out}, {"short_answers": many_a_little_out})
    )
    assert few.p_value < many.p_value < 0.001 and few.share * 0.1 < PARAMS.outlier_share.risky < many.share * 0.1
    both = find_all(make_features(100, repetition=few_far_out, short_answers=many_a_little_out), 0.1)["form"]
    assert both == many


def test_every_feature_that_is_measured_belongs_to_one_rule(kept: Rows, fresh: Rows) -> None:
    measured = measure(kept[:40], fresh[:5])
    assert measured is not None
    named = [feature.name for features in FEATURES.values() for feature in features]
    assert sorted(named) == sorted(measured.features)


# --- which rows are looked at --------------------------------------------------------------------------------------


def test_features_of_kept_rows_do_not_change_when_rows_are_added(kept: Rows, fresh: Rows) -> None:
    few, more = measure(kept[:120], fresh[:3]), measure(kept[:120], [*fresh, *kept[:5]])
    assert few is not None and more is not None
    assert (few.topic[:120] == more.topic[:120]).all()
    for name, values in few.features.items():
        assert more.features[name][:120] == pytest.approx(values[:120], rel=1e-3, abs=1e-3, nan_ok=True), name


def test_few_rows_of_one_topic_are_read_without_a_part_of_themselves(kept: Rows) -> None:
    few = kept[:45]
    honest = judge(few, kept[100:110])
    assert statuses(honest, 10 / 55) == ALL_PASS
    swapped = judge(few, exchange_answers(by_last_words(kept[100:110])))
    assert statuses(swapped, 10 / 55)["agreement"] == "risky"
    measured = measure(few, kept[100:110])
    assert measured is not None and set(measured.topic[:45].tolist()) == {0}
    # Some of their word pairs are known from the others.
    assert len(set(measured.features["word pairs"][:45].tolist())) > 40


def test_a_row_that_was_there_before_is_looked_at_once(kept: Rows, fresh: Rows) -> None:
    measured = measure([*kept[:40], *kept[:40]], fresh[:5])
    assert measured is not None
    assert (measured.topic >= 0).tolist() == [True] * 40 + [False] * 45


@pytest.mark.parametrize("params", [CalibrationParams(topics=3), CalibrationParams(seed=1)])
def test_kept_rows_are_divided_into_topics_as_the_calibration_divides_them(
    kept: Rows, fresh: Rows, params: CalibrationParams
) -> None:
    usual, other = measure(kept, fresh[:5]), measure(kept, fresh[:5], params)
    assert usual is not None and other is not None
    assert usual.topic.max() + 1 == 300 // 30 and (usual.topic != other.topic).any()
    assert other.topic.max() < params.topics


def lengths(rows: Sequence[Record]) -> list[int]:
    return [len(canonical_text(row)) for row in rows]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_the_rows_looked_at_are_those_of_the_lowest_hashes_in_any_file_order(sizes: list[int], random: object) -> None:
    rows = [Conversation((Message("assistant", chr(97 + i % 26) * size),)) for i, size in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(version_features, "MAX_CHARACTERS", 200)
        patch.setattr(version_features, "MAX_ROW_CHARACTERS", 50)

        def take(records: Sequence[Record]) -> list[Record]:
            hashes = [content_hash(record) for record in records]
            indices = version_features._take_rows(records, hashes, np.ones(len(records), dtype=bool))
            return [records[i] for i in indices]

        taken = take(rows)
        shuffled = rows.copy()
        random.shuffle(shuffled)  # type: ignore[attr-defined]
        assert take(shuffled) == taken
    short = sorted((row for row in rows if lengths([row])[0] <= 50), key=content_hash)
    if not short:
        assert taken == [min(rows, key=content_hash)]
        return
    assert taken == short[: len(taken)] and sum(lengths(taken)) <= 200
    assert len(taken) == len(short) or sum(lengths(short[: len(taken) + 1])) > 200


def test_one_endless_row_does_not_crowd_out_the_others(kept: Rows, fresh: Rows) -> None:
    endless = Conversation((Message("user", "?"), Message("assistant", "la " * 1_400_000)))
    rows: Rows = [*kept[:60], endless, *fresh]
    # The endless one comes first in the order of hashes.
    hashes = ["00" * 16 if row is endless else content_hash(row) for row in rows]
    is_kept = np.arange(101) < 61
    split = RowSplit(is_kept, ~is_kept, np.ones(101, dtype=bool))
    hashed = list(map(HashedRecord, rows, hashes))
    measured = measure_version_features(hashed, split, CalibrationParams(), PARAMS.rare_character_bits)
    assert measured is not None
    assert np.count_nonzero(measured.topic >= 0) == 60 and measured.topic[60] == -1


def test_of_much_data_a_sample_is_read(kept: Rows, fresh: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_features, "MAX_CHARACTERS", sum(lengths(kept)) // 3)
    measured = measure([*kept], fresh)
    assert measured is not None
    looked_at = measured.topic >= 0
    assert 80 < looked_at.sum() < 120 and not looked_at[300:].any()
    assert (np.isfinite(measured.features["characters"]) == (looked_at | measured.is_added)).all()
    assert measured.is_added[300:].all()


# --- what cannot be judged -----------------------------------------------------------------------------------------


def draft(kept: Sequence[Record], added: Sequence[Record]) -> dict[str, tuple[str, str]]:
    share = len(added) / max(1, len(kept) + len(added))
    drafts = draft_rules(measure(kept, added), len(added), share)
    return {rule: (item.result.status, item.result.reason) for rule, item in drafts.items()}


def test_without_added_rows_the_rules_are_skipped(kept: Rows) -> None:
    assert set(draft(kept, []).values()) == {("skipped", "No rows were added.")}


def test_with_too_few_rows_left_of_the_parent_the_rules_fail_closed(kept: Rows, fresh: Rows) -> None:
    results = draft(kept[: MIN_KEPT_ROWS - 1], fresh)
    assert {status for status, _ in results.values()} == {"not_assessed"}
    assert all(reason.startswith("Fewer than 10 different rows of the parent") for _, reason in results.values())
    # Copies of one row are one row.
    assert draft(kept[:1] * 50, fresh) == results
    assert {status for status, _ in draft(kept[:MIN_KEPT_ROWS], fresh).values()} <= {"pass", "skipped"}


def test_where_all_added_rows_are_copies_the_other_rules_have_nothing_to_compare(kept: Rows) -> None:
    results = draft(kept, kept[:30])
    assert results.pop("copies")[0] == "pass"
    assert set(results.values()) == {("skipped", "None of the added rows, copies aside, has anything to compare.")}


def test_the_reason_gives_the_numbers() -> None:
    measured = make_features(40, repetition=np.append(np.full(10, 2.0), np.zeros(30)))
    found = find_all(measured, 0.2)["form"]
    item = draft_rules(measured, 40, 0.2)["form"]
    assert item.alarm.startswith("10 of the 40 added rows measured repeat themselves in their answers (25.0%, against")
    assert item.alarm.endswith("): about 4.9% of the version.")
    assert item.effect == pytest.approx(found.share * 0.2) and item.thresholds == PARAMS.outlier_share
    assert (item.result.statistic, item.result.threshold) == (0.25, found.limit)


# --- data that nobody expects --------------------------------------------------------------------------------------


def letters(rng: np.random.Generator, alphabet: str, count: int) -> str:
    return "".join(alphabet[i] for i in rng.integers(0, len(alphabet), count))


def ask(prompt: str, answer: str) -> Record:
    return Conversation((Message("user", prompt), Message("assistant", answer)))


WORDS = " ".join(" ".join(words) for words in TOPICS)

DrawRow = Callable[[np.random.Generator, int], Record]
STRANGE: dict[str, DrawRow] = {
    "two letters": lambda rng, i: ask(letters(rng, "abcdef", 2), letters(rng, "abcdef", 2)),
    "no words at all": lambda rng, i: ask(letters(rng, "!?#$%&*+-=<>", 20), letters(rng, "!?#$%&*+-=<>", 20)),
    "emoji": lambda rng, i: ask(letters(rng, "😀😊👩‍👧🎉", 9), letters(rng, "😀😊👩‍👧🎉", 9)),
    "empty prompts": lambda rng, i: ask("", letters(rng, WORDS, 40)),
    "blank answers": lambda rng, i: ask(letters(rng, WORDS, 40), " " * (1 + i % 3)),
    "one prompt": lambda rng, i: ask("Say something.", letters(rng, WORDS, 40)),
    "one answer": lambda rng, i: ask(letters(rng, WORDS, 40), "I cannot help with that."),
    "answers only": lambda rng, i: Conversation((Message("assistant", letters(rng, WORDS, 40)),)),
    "unpaired answers": lambda rng, i: Preference(
        (Message("user", letters(rng, WORDS, 30)),),
        *((), (Message("assistant", letters(rng, WORDS, 30)),))[:: 1 - 2 * (i % 2)],
    ),
    "a long text in common": lambda rng, i: ask(
        "You are a model. " * 200 + letters(rng, WORDS, 30), letters(rng, WORDS, 30)
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("rows", [12, 130])
def test_strange_data_is_no_alarm_where_it_was_strange_before(name: str, rows: int) -> None:
    rng = np.random.default_rng(6)
    drawn = [STRANGE[name](rng, i) for i in range(rows + 15)]
    order = rng.permutation(len(drawn))
    found = judge([drawn[i] for i in order[:rows]], [drawn[i] for i in order[rows:]])
    assert set(statuses(found, 15 / (rows + 15)).values()) == {"pass"}


OUTLYING: dict[str, tuple[str, DrawRow]] = {
    "no prompt, and a blank answer": ("form", lambda rng, i: ask("", " " * i)),
    "punctuation": ("form", lambda rng, i: ask("?", "." * i)),
    "one foreign character": ("wording", lambda rng, i: ask(chr(0x4E00 + 2 * i), chr(0x4E01 + 2 * i))),
    "answers without a prompt": ("form", lambda rng, i: Conversation((Message("assistant", letters(rng, WORDS, 40)),))),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OUTLYING)
def test_strange_rows_are_found_where_there_were_none_before(name: str, kept: Rows) -> None:
    rule, draw = OUTLYING[name]
    rng = np.random.default_rng(7)
    assert statuses(judge(kept, [draw(rng, i) for i in range(30)]), 30 / 330)[rule] == "risky"
