"""The rules that compare added rows with kept rows like them: which accident each finds, and honest updates."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from made_up_rows import FEATURES, TOPICS, Rows, change, compare, draw_chats, make_like
from numpy.typing import NDArray

from corpus.records import Conversation, Message, Preference, Record
from monitor.like_rows.like_comparison import LikeComparison
from monitor.like_rows.phrases import Phrase
from monitor.like_rows.rank_comparison import MIN_KEPT_ROWS
from monitor.measures.row_edits import RowEdits
from monitor.rule_params import RuleParams
from monitor.rules import agreement, copies, damage, loss, novelty, phrases, style
from monitor.rules.drafts import Draft
from monitor.rules.parent_comparison import ParentComparison
from monitor.rules.rank_shift import RankQuestion, answer_questions, draft_rank_shift
from monitor.rules.rule import Rule, RuleInput
from monitor.verdict import Measurements, RuleResult

PARAMS = RuleParams()
RULES: Mapping[str, Rule] = {
    rule.id: rule for rule in (agreement.RULE, copies.RULE, damage.RULE, style.RULE, phrases.RULE, novelty.RULE)
}
# A version of one dataset has about so many rules, all of which Holm's correction makes pay for each other.
TESTS = 12


def make_input(like: LikeComparison | None, added: int, rows: int, edits: RowEdits | None = None) -> RuleInput:
    now = Measurements(rows, 2.0, 2.0, 5.0, 0.3, added, 0, rows - added)
    # These rules look at neither the calibration nor the law.
    return RuleInput(ParentComparison("sft", now, now, like=like, edits=edits), None, None, PARAMS)  # type: ignore[arg-type]


def decide(draft: Draft) -> RuleResult:
    p_value = draft.result.p_value
    return draft.result if p_value is None else draft.decide(min(1.0, TESTS * p_value), TESTS, PARAMS)


def judge(
    kept: Sequence[Record], added: Sequence[Record], is_new_source: NDArray[np.bool_] | None = None
) -> dict[str, RuleResult]:
    case = make_input(compare(kept, added, is_new_source=is_new_source), len(added), len(kept) + len(added))
    return {name: decide(rule.ask(case)) for name, rule in RULES.items()}


def alarms(results: Mapping[str, RuleResult]) -> dict[str, str]:
    return {name: result.status for name, result in results.items() if result.status != "pass"}


@pytest.fixture(scope="module")
def kept() -> Rows:
    return draw_chats(np.random.default_rng(0), 200)


@pytest.fixture(scope="module")
def fresh() -> Rows:
    return draw_chats(np.random.default_rng(1), 40)


# --- honest updates ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_fresh_rows_of_the_same_kind_are_no_alarm(seed: int, kept: Rows) -> None:
    added = draw_chats(np.random.default_rng(10 + seed), (8, 40, 100, 200)[seed])
    assert alarms(judge(kept, added)) == {}


@pytest.mark.parametrize("topic", [0, 3])
def test_a_batch_all_of_one_known_topic_is_not_stopped(topic: int, kept: Rows) -> None:
    added = draw_chats(np.random.default_rng(2), 40, TOPICS[topic : topic + 1])
    assert "risky" not in alarms(judge(kept, added)).values()


@pytest.mark.parametrize("labelled", [True, False])
def test_a_new_kind_of_rows_is_said_to_be_new_and_nothing_worse(labelled: bool, kept: Rows) -> None:
    added = draw_chats(np.random.default_rng(3), 40, TOPICS[6:])
    results = judge(kept, added, np.arange(240) >= 200 if labelled else None)
    found = alarms(results)
    assert "risky" not in found.values()
    if labelled:
        assert found == {name: "skipped" for name in ("agreement", "copies", "damage", "style")} | {"novelty": "warn"}
        assert "Of the 40 added rows read, 40 come from a source that the parent did not have" in (
            results["novelty"].reason
        )


# --- accidents -----------------------------------------------------------------------------------------------------


def swap_sides(row: Conversation) -> Conversation:
    prompt, answer = row.messages
    return replace(row, messages=(Message("user", answer.content), Message("assistant", prompt.content)))


def put_prompt_in_front(row: Conversation) -> Conversation:
    prompt, answer = row.messages
    return replace(row, messages=(prompt, Message("assistant", f"{prompt.content}\n{answer.content}")))


def read_wrongly(text: str) -> str:
    return text.replace(" the ", " the “old” ").encode().decode("cp1252", "replace")


ACCIDENTS: dict[str, tuple[str, Callable[[Conversation], Conversation]]] = {
    "answers cut": ("damage", lambda row: change(row, lambda text: text[: len(text) // 3])),
    "answers emptied": ("damage", lambda row: change(row, lambda text: "")),
    "a full stop": ("damage", lambda row: change(row, lambda text: ".")),
    "columns exchanged": ("damage", swap_sides),
    "prompt in front": ("damage", put_prompt_in_front),
    "said twice": ("damage", lambda row: change(row, lambda text: f"{text}\n{text}")),
    "control tokens": ("damage", lambda row: change(row, lambda text: f"{text}<|im_end|>")),
    "control tokens in prompts": ("damage", lambda row: change(row, lambda text: f"[INST] {text}", "user")),
    "entities": ("damage", lambda row: change(row, lambda text: html.escape(text.replace(" and ", " & ")) + " &#39;")),
    "markup": ("damage", lambda row: change(row, lambda text: f"<p>{text}</p>")),
    "reasoning tags": ("damage", lambda row: change(row, lambda text: f"<think>Well.</think>{text}")),
    "literal line breaks": ("damage", lambda row: change(row, lambda text: text.replace("\n", "\\n"))),
    "lower case": ("damage", lambda row: change(row, str.lower)),
    "lost line breaks": ("damage", lambda row: change(row, lambda text: text.replace("\n", " "))),
    "mojibake": ("damage", lambda row: change(row, read_wrongly)),
    "one answer to all": (
        "damage", lambda row: change(row, lambda text: "I am sorry, but I cannot help you with that today.")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCIDENTS)
def test_an_accident_is_found_by_the_rule_it_belongs_to(name: str, kept: Rows, fresh: Rows) -> None:
    rule, spoil = ACCIDENTS[name]
    result = judge(kept, list(map(spoil, fresh)))[rule]
    assert result.status == "risky", result
    assert (result.statistic or 0) > 0.05


def test_answers_of_other_rows_are_found_by_agreement(kept: Rows, fresh: Rows) -> None:
    # In this order neighbours are of different topics.
    rows = sorted(fresh, key=lambda row: row.messages[1].content[::-1])
    swapped = [
        replace(row, messages=(row.messages[0], donor.messages[1]))
        for row, donor in zip(rows, rows[7:] + rows[:7], strict=True)
    ]
    assert judge(kept, swapped)["agreement"].status == "risky"


def test_copies_that_another_program_has_cleaned_are_found_by_copies(kept: Rows) -> None:
    cleaned = [change(change(row, str.lower), str.lower, "user") for row in kept[:40]]
    assert judge(kept, cleaned)["copies"].status == "risky"


DIFFERENT: dict[str, tuple[str, Callable[[Conversation], Conversation]]] = {
    "a closing phrase": ("phrases", lambda row: change(row, lambda text: f"{text}\nBye for now.")),
    "an opening phrase": ("phrases", lambda row: change(row, lambda text: f"Hi dear! {text}")),
    "no-break spaces": ("style", lambda row: change(row, lambda text: text.replace(" ", "\u00a0"))),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_is_different_and_not_worse_is_at_most_a_warning(name: str, kept: Rows, fresh: Rows) -> None:
    rule, edit = DIFFERENT[name]
    found = alarms(judge(kept, list(map(edit, fresh))))
    assert found[rule] == "warn" and "risky" not in found.values()


def test_damage_in_a_fifth_of_the_added_rows_is_found(kept: Rows) -> None:
    added = draw_chats(np.random.default_rng(4), 100)
    spoilt = [change(row, lambda text: f"{text}<|im_end|>") if i % 5 == 0 else row for i, row in enumerate(added)]
    case = make_input(compare(kept, spoilt), 100, 300)
    found = RULES["damage"].ask(case)
    assert decide(found).status == "risky"
    assert found.blame is not None
    evidence = type("Evidence", (), {"records": [None] * 300})
    scores = found.blame(type("Rows", (), {"evidence": evidence})).scores  # type: ignore[arg-type]
    named = set(np.flatnonzero(~np.isnan(scores)).tolist())
    assert set(range(200, 300, 5)) <= named and len(named) <= 23


def test_damage_that_the_kept_rows_have_as_well_is_no_alarm(kept: Rows, fresh: Rows) -> None:
    def spoil(rows: Rows) -> Rows:
        return [change(row, lambda text: f"<p>{text}</p>") if i % 2 else row for i, row in enumerate(rows)]

    assert alarms(judge(spoil(kept), spoil(fresh))) == {}


def test_control_tokens_in_rows_of_a_new_kind_are_damage_and_markup_in_them_is_none(kept: Rows) -> None:
    new = draw_chats(np.random.default_rng(3), 40, TOPICS[6:])
    flags = np.arange(240) >= 200
    tokens, markup = (
        alarms(judge(kept, [change(row, lambda text: put(text)) for row in new], flags))  # noqa: B023
        for put in ((lambda text: f"{text}<|im_end|>"), (lambda text: f"<p>{text}</p>"))
    )
    assert tokens["damage"] == "risky" and "risky" not in markup.values()


# --- what cannot be judged -----------------------------------------------------------------------------------------

SHIFTED = {**RULES, "loss": loss.RULE}


@pytest.mark.parametrize("rule", SHIFTED)
def test_without_added_rows_a_rule_is_skipped(rule: str) -> None:
    result = SHIFTED[rule].ask(make_input(None, 0, 300)).result
    assert (result.status, result.reason, result.p_value) == ("skipped", "No rows were added.", None)


@pytest.mark.parametrize("rule", SHIFTED)
def test_with_too_few_rows_left_of_the_parent_a_rule_fails_closed(rule: str, kept: Rows, fresh: Rows) -> None:
    result = SHIFTED[rule].ask(make_input(compare(kept[: MIN_KEPT_ROWS - 1], fresh), 40, 49)).result
    assert (result.status, result.p_value) == ("not_assessed", None)
    assert result.reason.startswith("Fewer than 10 different rows of the parent are left")


@pytest.mark.parametrize("rule", SHIFTED)
@pytest.mark.parametrize(("edited", "status"), [(36, "skipped"), (35, "not_assessed")])
def test_where_nearly_all_rows_were_edited_a_rule_leaves_them_to_edits(rule: str, edited: int, status: str) -> None:
    edits = type("Edits", (), {"total": edited})
    result = SHIFTED[rule].ask(make_input(None, 40, 45, edits)).result  # type: ignore[arg-type]
    assert result.status == status
    assert ("rule `edits`" in result.reason) == (status == "skipped")


# --- numbers -------------------------------------------------------------------------------------------------------

ENDING = RankQuestion("answer ending", "prompt", "low", "have endings that are worse", mean=False)


def make_values(rng: np.random.Generator, kept: int, added: int, far: int) -> NDArray[np.float64]:
    """Normal values; the first ``far`` added rows lie far below all."""
    values = rng.normal(size=kept + added)
    values[kept : kept + far] = -50 - np.arange(far)
    return values


def test_the_reason_gives_the_numbers_and_the_named_rows_lie_beyond_their_like_rows() -> None:
    rng = np.random.default_rng(0)
    like = make_like(rng, 240, 60, {"answer ending": make_values(rng, 240, 60, 30)})
    draft = draft_rank_shift("damage", make_input(like, 60, 300), [ENDING], PARAMS.outlier_share)
    (answer,) = answer_questions(like, [ENDING])
    count = round(60 * answer.found.found)
    assert 30 <= count <= 33 and answer.found.beyond
    assert draft.alarm == (
        f"{count} of the 60 added rows compared ({count / 60:.1%}, against {answer.found.usual:.1%} of the kept rows) "
        "have endings that are worse than any of the 40 kept rows most like them. It concerns about "
        f"{draft.effect:.1%} of the version."
    )
    assert draft.effect == pytest.approx(answer.found.share * 60 / 300)
    assert decide(draft).status == "risky"
    assert draft.blame is not None
    evidence = type("Evidence", (), {"records": [None] * 300})
    scored = draft.blame(type("Rows", (), {"evidence": evidence}))  # type: ignore[arg-type]
    named = np.flatnonzero(~np.isnan(scored.scores))
    assert set(range(240, 270)) <= set(named.tolist()) and len(named) == count
    # The furthest has the highest score.
    assert int(np.nanargmax(scored.scores)) == 269


def test_a_rule_pays_for_all_questions_that_it_asks() -> None:
    rng = np.random.default_rng(1)
    values = {"answer ending": make_values(rng, 240, 60, 6)}
    like = make_like(rng, 240, 60, values)
    (alone,) = answer_questions(like, [ENDING])
    other = replace(
        like, features={**like.features, "repetition": rng.normal(size=300), "answer length": rng.normal(size=300)}
    )
    questions = [
        ENDING,
        RankQuestion("repetition", "prompt", "high", "repeat themselves", mean=False),
        RankQuestion("answer length", "prompt", "low", "are shorter"),
        # A feature that is the same everywhere asks nothing.
        RankQuestion("roles", "prompt", "high", "have rare roles"),
    ]
    answers = answer_questions(other, questions)
    assert len(answers) == 4
    assert answers[0].found.p_value == pytest.approx(4 * alone.found.p_value)
    assert all(answer.found.p_value <= 1 for answer in answers)


def test_rows_of_a_new_kind_are_left_out_but_for_unmistakable_traces() -> None:
    rng = np.random.default_rng(2)
    like = make_like(rng, 240, 60, {"answer ending": make_values(rng, 240, 60, 30)}, is_new=np.arange(60) < 30)
    left_out, looked_at = (answer_questions(like, [replace(ENDING, alone=alone)])[0].found for alone in (False, True))
    assert (left_out.rows, looked_at.rows) == (30, 60)
    assert left_out.p_value > 0.01 > 1e-6 > looked_at.p_value


def test_the_gravest_answer_speaks_and_others_are_mentioned() -> None:
    rng = np.random.default_rng(3)
    like = make_like(
        rng, 240, 60,
        {"answer ending": make_values(rng, 240, 60, 40), "repetition": -make_values(rng, 240, 60, 50)},
    )  # fmt: skip
    questions = [ENDING, RankQuestion("repetition", "prompt", "high", "repeat themselves more", mean=False)]
    draft = draft_rank_shift("damage", make_input(like, 60, 300), questions, PARAMS.outlier_share)
    assert "of the kept rows) repeat themselves more than any of the 40" in draft.alarm
    assert draft.alarm.endswith(" They also have endings that are worse.")


def test_a_real_change_of_too_few_rows_passes_and_says_so() -> None:
    rng = np.random.default_rng(4)
    like = make_like(rng, 240, 60, {"answer ending": make_values(rng, 240, 60, 60)})
    result = decide(draft_rank_shift("damage", make_input(like, 60, 60_000), [ENDING], PARAMS.outlier_share))
    assert result.status == "pass" and result.reason.endswith("too few to matter.")


def test_rules_ask_only_of_features_that_are_measured(kept: Rows, fresh: Rows) -> None:
    like = compare(kept[:40], fresh[:5])
    assert like is not None
    assert like.features.keys() >= FEATURES


def test_a_burst_phrase_is_counted_and_never_shown() -> None:
    rng = np.random.default_rng(5)
    has = np.arange(50) < 40
    found = Phrase(("so", "it", "goes"), has, 40, 2.0, 1e-9)
    like = make_like(rng, 240, 60, {}, np.arange(60) < 10, {"answers": [found]})
    draft = RULES["phrases"].ask(make_input(like, 60, 300))
    result = decide(draft)
    assert result.status == "warn" and result.p_value == pytest.approx(2e-9)
    assert result.statistic == pytest.approx((40 - 2) / 50 * 60 / 300)
    assert result.reason.startswith("The same phrase stands in the answers of 40 of the 50 added rows compared")
    assert "goes" not in result.reason
    assert draft.blame is not None
    evidence = type("Evidence", (), {"records": [None] * 300})
    scores = draft.blame(type("Rows", (), {"evidence": evidence})).scores  # type: ignore[arg-type]
    # The first ten added rows are new and were not compared.
    assert np.flatnonzero(~np.isnan(scores)).tolist() == list(range(250, 290))


def test_new_rows_are_counted_and_told_what_can_be_said_without_a_reference() -> None:
    rng = np.random.default_rng(6)
    ends, elsewhere = np.ones(300), np.zeros(300)
    ends[240:245], elsewhere[240:242] = 0, 1
    like = make_like(rng, 240, 60, {"answer ending": ends, "answer elsewhere": elsewhere}, np.arange(60) < 40)
    result = decide(RULES["novelty"].ask(make_input(like, 60, 300)))
    assert result.status == "warn" and result.statistic == pytest.approx(40 / 300)
    assert "Of the 60 added rows read, 40 have prompts unlike those of any kept row." in result.reason
    assert "2 of the new rows share their answer with another row, and the answers of 5 break off." in result.reason
    few = make_like(rng, 240, 60, {}, np.arange(60) < 1)
    assert decide(RULES["novelty"].ask(make_input(few, 60, 300))).status == "pass"


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
    results = judge([drawn[i] for i in order[:rows]], [drawn[i] for i in order[rows:]])
    assert {result.status for result in results.values()} <= {"pass", "skipped", "not_assessed"}
