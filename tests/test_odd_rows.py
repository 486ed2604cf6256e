"""Odd rows are counted: how often honest batches are found odd, and which rule finds which accident."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corpus.records import Conversation, Message, Preference, Record, canonical_text, content_hash
from monitor.measures.evidence import first_copies
from monitor.outliers import odd_rows
from monitor.outliers.odd_rows import (
    MARKS,
    MIN_KEPT_ROWS,
    OddRows,
    RowMarks,
    RowRuleId,
    draft_row_rules,
    find_odd_rows,
    judge_rows,
    mark_rows,
)
from monitor.rule_params import RuleParams
from monitor.rules.drafts import decide_status

Rows = list[Conversation]
PARAMS = RuleParams()

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


def mark(kept: Sequence[Record], added: Sequence[Record]) -> RowMarks | None:
    hashes = [content_hash(row) for row in (*kept, *added)]
    is_kept = np.arange(len(hashes)) < len(kept)
    return mark_rows(list(zip((*kept, *added), hashes, strict=True)), is_kept, ~is_kept, first_copies(hashes), PARAMS)


def judge(kept: Sequence[Record], added: Sequence[Record]) -> dict[RowRuleId, OddRows]:
    marks = mark(kept, added)
    assert marks is not None
    return judge_rows(marks, len(added) / (len(kept) + len(added)), PARAMS)


def statuses(found: dict[RowRuleId, OddRows], share_added: float) -> dict[str, str]:
    """As in a version of one dataset, whose eight rules Holm's correction makes pay for each other."""
    return {
        rule: decide_status(8 * odd.p_value, odd.share * share_added, PARAMS.odd_rows, PARAMS)
        for rule, odd in found.items()
    }


@pytest.fixture(scope="module")
def kept() -> Rows:
    return draw_chats(np.random.default_rng(0), 300)


@pytest.fixture(scope="module")
def fresh() -> Rows:
    return draw_chats(np.random.default_rng(1), 40)


# --- honest batches and accidents ----------------------------------------------------------------------------------

SHARE = 40 / 340
CALM = dict.fromkeys(("agreement", "copies", "wording", "form"), "pass")


@pytest.mark.slow
def test_what_is_found_does_not_depend_on_the_order_of_the_file(kept: Rows, fresh: Rows) -> None:
    damaged = [*(change(row, str.upper) for row in fresh[:8]), *fresh[8:]]
    assert judge(kept[::-1], damaged[::-1]) == judge(kept, damaged)


def test_fresh_rows_of_the_same_kind_are_not_odd(kept: Rows, fresh: Rows) -> None:
    assert statuses(judge(kept, fresh), SHARE) == CALM


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


ACCIDENTS: dict[str, tuple[RowRuleId, Callable[[Rows], Rows]]] = {
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
    assert (statuses(found, SHARE)["copies"], found["copies"].mark) == ("risky", "prompt repeated")


def test_exact_copies_are_counted_by_copies_only(kept: Rows, fresh: Rows) -> None:
    only = judge(kept, kept[:40])
    assert set(only) == {"copies"} and statuses(only, SHARE) == {"copies": "risky"}
    mixed = judge(kept, [*kept[:20], *fresh[:20]])
    assert statuses(mixed, SHARE) == {**CALM, "copies": "risky"}
    assert {rule: odd.added for rule, odd in mixed.items()} == {**dict.fromkeys(CALM, 20), "copies": 40}


def test_damaged_rows_merged_many_times_are_one_piece_of_evidence(kept: Rows, fresh: Rows) -> None:
    damaged = change(fresh[0], lambda text: "<p>")
    assert statuses(judge(kept, [damaged] * 40), SHARE) == CALM


# --- how often an honest batch is odd ------------------------------------------------------------------------------


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
def test_an_honest_batch_is_odd_no_more_often_than_its_rate(
    topic_sd: float, rates: tuple[float, ...], added: int
) -> None:
    # Where topics differ as much as the rows in them, p-values below 5% promise more than twelve topics can tell.
    rng = np.random.default_rng(4)
    lowest = []
    for _ in range(300):
        values, topic, is_added = draw_values(rng, topic_sd, added)
        found = [find_odd_rows("misfit", values, topic, is_added, tail, 1, PARAMS) for tail in PARAMS.odd_tails]
        lowest.append(min(odd.p_value for odd in found if odd))
    for rate in rates:
        assert np.mean(np.array(lowest) <= rate) <= rate + 2 * math.sqrt(rate * (1 - rate) / 300)


def test_a_batch_of_which_a_fifth_lies_far_out_is_odd() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        values, topic, is_added = draw_values(rng, 0.3, 40)
        values[-8:] += 6
        odd = find_odd_rows("misfit", values, topic, is_added, PARAMS.odd_tails[0], 1, PARAMS)
        assert odd is not None and odd.beyond >= 8 and odd.p_value < 0.001


def hundred_rows(beyond: int, added: int) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Four topics with 25 rows each, one of which is odd; of the added rows the first ``beyond``."""
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
def test_odd_rows_worked_by_hand(beyond: int, added: int, choices: int) -> None:
    odd = find_odd_rows("roles", *hundred_rows(beyond, added), 0.1, choices, PARAMS)
    # Topics that do not differ at all leave the floor of one in four times the rows of a topic: a weight of 99.
    usual = Fraction(9, 202)
    p = float(count_tail_exactly(beyond, added, usual, 99))
    assert odd is not None
    assert (odd.mark, odd.cut, odd.beyond, odd.added) == ("roles", 0.0, beyond, added)
    assert (odd.usual, odd.p_value) == pytest.approx((float(usual), min(1.0, 3 * choices * p)))
    assert odd.share == pytest.approx(max(0.0, float((Fraction(beyond, added) - usual) / (1 - usual))))


@pytest.mark.parametrize("added", [1, 3, 30])
def test_more_rows_than_the_limit_are_significant_and_as_many_are_not(added: int) -> None:
    limits = {find_odd_rows("roles", *hundred_rows(k, added), 0.1, 2, PARAMS).limit for k in range(added + 1)}  # type: ignore[union-attr]
    (limit,) = limits
    for beyond in range(added + 1):
        odd = find_odd_rows("roles", *hundred_rows(beyond, added), 0.1, 2, PARAMS)
        assert odd is not None
        assert (odd.p_value <= PARAMS.false_alarm_rate) == (beyond / added > limit)


def test_topics_that_differ_make_an_odd_batch_less_surprising() -> None:
    values, topic, is_added = hundred_rows(9, 20)
    even = find_odd_rows("roles", values, topic, is_added, 0.1, 1, PARAMS)
    # The same rows, with all the odd ones in one topic.
    one = find_odd_rows("roles", values, np.where(is_added, -1, np.arange(120) // 25), is_added, 0.1, 1, PARAMS)
    assert even is not None and one is not None
    assert even.p_value < one.p_value / 10
    assert (even.beyond, even.usual, even.cut) == (one.beyond, one.usual, one.cut)


def test_rows_without_a_mark_are_no_part_of_the_share() -> None:
    values, topic, is_added = hundred_rows(10, 20)
    all_marked = find_odd_rows("roles", values, topic, is_added, 0.1, 1, PARAMS)
    values[110:] = np.nan
    half = find_odd_rows("roles", values, topic, is_added, 0.1, 1, PARAMS)
    assert half is not None and all_marked is not None
    assert (half.beyond, half.added) == (10, 10)
    assert half.share == pytest.approx(0.5) and half.share > all_marked.share


def test_a_mark_that_one_topic_lacks_or_that_is_rare_in_all_is_counted_without_it() -> None:
    values, topic, is_added = hundred_rows(9, 20)
    lacking = values.copy()
    lacking[topic == 3] = np.nan
    odd = find_odd_rows("roles", lacking, topic, is_added, 0.1, 1, PARAMS)
    assert odd is not None and (odd.usual, odd.p_value < 0.001) == (pytest.approx(3.5 / 76), True)
    rare = values.copy()
    rare[16:100] = np.nan
    odd = find_odd_rows("roles", rare, topic, is_added, 0.1, 1, PARAMS)
    assert odd is not None and odd.usual == pytest.approx(2.5 / 17)


def test_fewer_than_10_kept_rows_or_no_added_ones_with_a_mark_say_nothing() -> None:
    values, topic, is_added = hundred_rows(3, 20)
    few = values.copy()
    few[MIN_KEPT_ROWS - 1 : 100] = np.nan
    assert find_odd_rows("roles", few, topic, is_added, 0.1, 1, PARAMS) is None
    few[MIN_KEPT_ROWS - 1] = 0
    assert find_odd_rows("roles", few, topic, is_added, 0.1, 1, PARAMS) is not None
    values[100:] = np.nan
    assert find_odd_rows("roles", values, topic, is_added, 0.1, 1, PARAMS) is None


def make_marks(added: int, **values_added: NDArray[np.float64]) -> RowMarks:
    """200 kept rows of four topics, all marks of which run from 0 to 1; added rows have 0 where nothing is said."""
    names = [name for names in MARKS.values() for name in names]
    usual = np.linspace(0, 1, 200)
    return RowMarks(
        {name: np.append(usual, values_added.get(name.replace(" ", "_"), np.zeros(added))) for name in names},
        topic=np.append(np.arange(200) % 4, np.full(added, -1)),
        is_added=np.arange(200 + added) >= 200,
        is_copy=np.zeros(200 + added, dtype=bool),
    )


def test_of_many_marks_the_gravest_speaks_and_not_the_most_significant() -> None:
    few_far_out, many_a_little_out = np.zeros(100), np.zeros(100)
    few_far_out[:15], many_a_little_out[:32] = 2, 0.95
    few, many = (
        judge_rows(make_marks(100, **values), 0.1, PARAMS)["form"]
        for values in ({"echo": few_far_out}, {"short_answers": many_a_little_out})
    )
    assert few.p_value < many.p_value < 0.001 and few.share * 0.1 < PARAMS.odd_rows.risky < many.share * 0.1
    both = judge_rows(make_marks(100, echo=few_far_out, short_answers=many_a_little_out), 0.1, PARAMS)["form"]
    assert both == many


def test_every_mark_that_is_measured_belongs_to_one_rule(kept: Rows, fresh: Rows) -> None:
    marks = mark(kept[:40], fresh[:5])
    assert marks is not None
    named = [name for names in MARKS.values() for name in names]
    assert sorted(named) == sorted(marks.marks)


# --- which rows are looked at --------------------------------------------------------------------------------------


def test_marks_of_kept_rows_do_not_change_when_rows_are_added(kept: Rows, fresh: Rows) -> None:
    few, more = mark(kept[:120], fresh[:3]), mark(kept[:120], [*fresh, *kept[:5]])
    assert few is not None and more is not None
    assert (few.topic[:120] == more.topic[:120]).all()
    for name, values in few.marks.items():
        assert more.marks[name][:120] == pytest.approx(values[:120], rel=1e-3, abs=1e-3, nan_ok=True), name


def test_few_rows_of_one_topic_are_read_without_a_part_of_themselves(kept: Rows) -> None:
    few = kept[:45]
    honest = judge(few, kept[100:110])
    assert statuses(honest, 10 / 55) == CALM
    swapped = judge(few, exchange_answers(by_last_words(kept[100:110])))
    assert statuses(swapped, 10 / 55)["agreement"] == "risky"
    marks = mark(few, kept[100:110])
    assert marks is not None and set(marks.topic[:45].tolist()) == {0}
    # Some of their word pairs are known from the others.
    assert len(set(marks.marks["word pairs"][:45].tolist())) > 40


def test_a_row_that_was_there_before_is_looked_at_once(kept: Rows, fresh: Rows) -> None:
    marks = mark([*kept[:40], *kept[:40]], fresh[:5])
    assert marks is not None
    assert (marks.topic >= 0).tolist() == [True] * 40 + [False] * 45


def lengths(rows: Sequence[Record]) -> list[int]:
    return [len(canonical_text(row)) for row in rows]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_the_rows_looked_at_are_those_of_the_lowest_hashes_in_any_file_order(sizes: list[int], random: object) -> None:
    rows = [Conversation((Message("assistant", chr(97 + i % 26) * size),)) for i, size in enumerate(sizes)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(odd_rows, "MAX_CHARACTERS", 200)
        patch.setattr(odd_rows, "MAX_ROW_CHARACTERS", 50)

        def take(records: Sequence[Record]) -> list[Record]:
            hashes = [content_hash(record) for record in records]
            places = odd_rows._take_rows(records, hashes, np.ones(len(records), dtype=bool))
            return [records[i] for i in places]

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
    marks = mark_rows(list(zip(rows, hashes, strict=True)), is_kept, ~is_kept, np.ones(101, dtype=bool), PARAMS)
    assert marks is not None
    assert np.count_nonzero(marks.topic >= 0) == 60 and marks.topic[60] == -1


def test_of_much_data_a_sample_is_marked(kept: Rows, fresh: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(odd_rows, "MAX_CHARACTERS", sum(lengths(kept)) // 3)
    marks = mark([*kept], fresh)
    assert marks is not None
    looked_at = marks.topic >= 0
    assert 80 < looked_at.sum() < 120 and not looked_at[300:].any()
    assert (np.isfinite(marks.marks["characters"]) == (looked_at | marks.is_added)).all()
    assert marks.is_added[300:].all()


# --- what cannot be judged -----------------------------------------------------------------------------------------


def draft(kept: Sequence[Record], added: Sequence[Record]) -> dict[str, tuple[str, str]]:
    marks = mark(kept, added)
    share = len(added) / max(1, len(kept) + len(added))
    found = judge_rows(marks, share, PARAMS) if marks else None
    drafts = draft_row_rules("sft", len(added), found, share, PARAMS)
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
    marks = make_marks(40, echo=np.append(np.full(10, 2.0), np.zeros(30)))
    found = judge_rows(marks, 0.2, PARAMS)
    item = draft_row_rules("sft", 40, found, 0.2, PARAMS)["form"]
    assert item.finding.startswith(
        "10 of the 40 added rows measured repeat themselves in their answers (25.0%, against"
    )
    assert item.finding.endswith("): about 4.9% of the version.")
    assert item.effect == pytest.approx(found["form"].share * 0.2) and item.band == PARAMS.odd_rows
    assert (item.result.statistic, item.result.threshold) == (0.25, found["form"].limit)


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


ODD: dict[str, tuple[RowRuleId, DrawRow]] = {
    "no prompt, and a blank answer": ("form", lambda rng, i: ask("", " " * i)),
    "punctuation": ("form", lambda rng, i: ask("?", "." * i)),
    "one foreign character": ("wording", lambda rng, i: ask(chr(0x4E00 + 2 * i), chr(0x4E01 + 2 * i))),
    "answers without a prompt": ("form", lambda rng, i: Conversation((Message("assistant", letters(rng, WORDS, 40)),))),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
def test_strange_rows_are_found_where_there_were_none_before(name: str, kept: Rows) -> None:
    rule, draw = ODD[name]
    rng = np.random.default_rng(7)
    assert statuses(judge(kept, [draw(rng, i) for i in range(30)]), 30 / 330)[rule] == "risky"
