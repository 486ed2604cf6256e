"""Rule `edits` on made-up versions: harm is risky, change is a warning at most, and mending is neither."""

import functools
import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from corpus.records import Conversation, HashedRecord, Message, content_hash
from monitor.measures.compression import CompressionParams
from monitor.measures.row_edits import find_edits
from monitor.measures.row_sketch import RowSketch
from monitor.measures.row_split import split_rows
from monitor.measures.row_table import RowTable
from monitor.rule_params import RuleParams
from monitor.rules.drafts import Draft
from monitor.rules.edit_findings import find_damage, find_moves, test_signs
from monitor.rules.edits import RULE
from monitor.rules.parent_comparison import ComparedRows, ParentComparison
from monitor.rules.rule import RuleInput
from monitor.verdict import Measurements, RuleResult

test_signs.__test__ = False  # type: ignore[attr-defined]  # it is no test of pytest's
Rows = list[HashedRecord]
Edit = Callable[[str, str, int], tuple[str, str]]

WORDS = np.array(["".join(parts) for parts in itertools.product(("ba", "ke", "li", "mo", "nu", "ra"), repeat=3)])
WORDS = np.append(WORDS, ["UN", "4", "9"])
MARKS = [".", "!", "?", " - so.", ", too."]


def sentence(rng: np.random.Generator, words: int) -> str:
    return "It is " + " ".join(rng.choice(WORDS, words)) + str(rng.choice(MARKS))


def make_row(prompt: str, answer: str, system: str = "") -> HashedRecord:
    messages = (Message("user", prompt), Message("assistant", answer))
    record = Conversation((Message("system", system), *messages) if system else messages)
    return HashedRecord(record, content_hash(record))


def make_rows(count: int = 400, seed: int = 0) -> Rows:
    """Rows of a question and an answer of some lines, each on its own subject, as different as rows of one kind are."""
    return list(_make_rows(count, seed))


@functools.cache
def _make_rows(count: int, seed: int) -> tuple[HashedRecord, ...]:
    rng = np.random.default_rng(seed)
    return tuple(
        make_row(
            f"What is {sentence(rng, int(rng.integers(6, 40)))}",
            "\n".join(sentence(rng, int(rng.integers(4, 20))) for _ in range(rng.integers(3, 9))),
        )
        for _ in range(count)
    )


def sides(row: HashedRecord) -> tuple[str, str]:
    prompt, answer = row.record.messages[-2:]
    return prompt.content, answer.content


def apply(rows: Rows, edit: Edit, share: float) -> Rows:
    step = round(1 / share)
    return [make_row(*edit(*sides(row), i)) if i % step == 0 else row for i, row in enumerate(rows)]


@functools.cache
def table_of(rows: tuple[HashedRecord, ...], losses: tuple[float, ...]) -> RowTable:
    return RowTable.of(rows, np.array(losses))


def draft(
    parent: Rows, rows: Rows, rise: Callable[[int], float] = lambda i: 0.0, probed: bool = True, new: bool = False
) -> Draft:
    """The rule's draft. ``rise``: how much the loss of the i-th row has risen. ``new``: whether its source is new."""
    losses = 5 + np.random.default_rng(1).normal(0, 1, len(parent))
    table = table_of(tuple(parent), tuple(losses) if probed else (np.nan,) * len(parent))
    split = split_rows([row_hash for _, row_hash in rows], RowSketch.of([row_hash for _, row_hash in parent]))
    now = np.array([loss + rise(i) for i, loss in enumerate(losses[: len(rows)])])
    is_new = np.full(len(rows), new)
    edits = find_edits(rows, split, now if probed else np.full(len(rows), np.nan), is_new, table)
    measured = Measurements(rows=len(rows), r=2.0, r_long=3.0, l=5.0, c=0.4)
    comparison = ParentComparison("sft", measured, measured, edits=edits)
    return RULE.ask(RuleInput(comparison, None, None, RuleParams()))  # type: ignore[arg-type]


def judge(
    parent: Rows, rows: Rows, rise: Callable[[int], float] = lambda i: 0.0, probed: bool = True, new: bool = False
) -> RuleResult:
    found = draft(parent, rows, rise, probed, new)
    return found.result if found.result.p_value is None else found.decide(found.result.p_value, 1, RuleParams())


def change_word(answer: str) -> str:
    """The answer with its third word spelt the other way round."""
    first, second, third, *rest = answer.split(" ")
    return " ".join([first, second, third[::-1], *rest])


HARM: dict[str, Edit] = {
    "cut": lambda p, a, i: (p, a[: int(0.6 * len(a))].rstrip(". \n")),
    "emptied": lambda p, a, i: (p, ("n/a", "-", "ok", "?")[i % 4]),
    "lower-cased": lambda p, a, i: (p, a.lower()),
    "lines lost": lambda p, a, i: (p, a.replace("\n", " ")),
    "said twice": lambda p, a, i: (p, f"{a}\n{a}"),
    "prompt in front": lambda p, a, i: (p, f"{p}\n{a}"),
    "prompt echoed": lambda p, a, i: (p, p),
    "exchanged": lambda p, a, i: (a, p),
    "one refusal": lambda p, a, i: (p, "I am sorry, but I cannot help with that today."),
}


@pytest.mark.parametrize("share", [0.1, 1.0])
@pytest.mark.parametrize("name", HARM)
def test_harm_is_risky_without_any_loss_and_names_edited_rows_only(name: str, share: float) -> None:
    parent = make_rows()
    rows = apply(parent, HARM[name], share)
    found = draft(parent, rows, probed=False)
    assert found.decide(found.result.p_value, 12, RuleParams()).status == "risky"
    assert found.blame is not None
    evidence = type("Evidence", (), {"records": rows})
    scores = found.blame(ComparedRows(evidence, None, CompressionParams())).scores  # type: ignore[arg-type]
    named = set(np.flatnonzero(~np.isnan(scores)).tolist())
    edited = {i for i, (old, new) in enumerate(zip(parent, rows, strict=True)) if old.hash != new.hash}
    assert named <= edited and len(named) >= 0.8 * len(edited)


@pytest.mark.parametrize("name", ["cut", "emptied", "lower-cased", "lines lost", "said twice", "prompt in front"])
def test_harm_that_is_mended_is_no_harm(name: str) -> None:
    good = make_rows()
    assert judge(apply(good, HARM[name], 0.1), good).status in ("pass", "warn")


def test_harm_to_one_row_in_a_hundred_is_a_warning_and_to_fewer_none() -> None:
    parent = make_rows(1_800)
    assert judge(parent, apply(parent, HARM["emptied"], 1 / 75)).status == "warn"
    few = judge(parent, apply(parent, HARM["emptied"], 1 / 110))
    assert few.status == "pass" and "too few to matter" in few.reason


def test_harm_is_seen_in_a_sample_of_a_large_version() -> None:
    parent = make_rows(2_500)
    result = judge(parent, apply(parent, HARM["lower-cased"], 0.1))
    assert result.status == "risky"
    assert result.statistic == pytest.approx(0.1, rel=0.3)
    assert result.reason.startswith("About ")


def test_answers_of_other_rows_are_risky() -> None:
    parent = make_rows()
    rows = list(parent)
    for i in range(0, 400, 10):
        rows[i] = make_row(sides(parent[i])[0], sides(parent[(i + 10) % 400])[1])
    result = judge(parent, rows)
    assert result.status == "risky" and "answers of other rows" in result.reason


def test_input_that_was_lost_from_prompts_is_risky() -> None:
    parent = [
        make_row(f"Sum up {i}.\n{sides(row)[1]}", f"Number {i}: {' '.join(sides(row)[1].split()[:9])}.")
        for i, row in enumerate(make_rows())
    ]
    result = judge(parent, apply(parent, lambda p, a, i: (p.split("\n")[0], a), 0.1))
    assert result.status == "risky" and "prompts that lost words" in result.reason


HONEST: dict[str, Edit] = {
    "white space": lambda p, a, i: (p + " ", a.replace(" ", "  ", 1)),
    "one word": lambda p, a, i: (p, change_word(a)),
    "name replaced": lambda p, a, i: (p.replace("ba", "[NAME]"), a),
    "any which way": lambda p, a, i: (p, sides(make_rows(1, seed=1_000 + i)[0])[1]),
    "longer": lambda p, a, i: (p, a + "\n" + sentence(np.random.default_rng(i), 30)),
    "shorter": lambda p, a, i: (p, a.split("\n", 2)[2]),
}


@pytest.mark.parametrize("share", [0.1, 1.0])
@pytest.mark.parametrize("name", HONEST)
def test_honest_edits_are_never_risky(name: str, share: float) -> None:
    parent = make_rows()
    noise = np.random.default_rng(2).normal(0, 0.5, 400)
    result = judge(parent, apply(parent, HONEST[name], share), rise=lambda i: noise[i])
    assert result.status in ("pass", "warn"), result.reason
    if name in ("white space", "one word", "any which way"):
        assert result.status == "pass", result.reason


def test_a_change_is_a_warning_in_words() -> None:
    parent = make_rows()
    result = judge(parent, apply(parent, HONEST["longer"], 0.1))
    assert result.status == "warn"
    assert result.reason.startswith("40 rows were edited: ") and "% longer (100% of them)" in result.reason


@pytest.mark.parametrize("rise", [0.0, 0.5])
def test_a_system_message_on_every_row_is_a_warning_whatever_the_losses(rise: float) -> None:
    parent = make_rows()
    rows = [make_row(*sides(row), system="You are kind.") for row in parent]
    result = judge(parent, rows, rise=lambda i: rise)
    assert result.status == "warn" and "system messages" in result.reason


def replace_word(prompt: str, answer: str, i: int) -> tuple[str, str]:
    return prompt, change_word(answer)


def test_answers_that_are_harder_than_their_past_are_risky_and_easier_ones_are_not() -> None:
    parent = make_rows()
    rows = apply(parent, replace_word, 0.1)
    harder = judge(parent, rows, rise=lambda i: 0.4 if i % 9 else -0.4)
    assert harder.status == "risky" and "harder to learn than before in 8" in harder.reason
    assert judge(parent, rows, rise=lambda i: -0.4 if i % 9 else 0.4).status == "pass"
    assert judge(parent, rows, rise=lambda i: 0.4 if i % 20 else -0.4).status == "pass"


def test_a_rise_of_many_losses_by_next_to_nothing_is_no_harm() -> None:
    parent = make_rows()
    assert judge(parent, apply(parent, replace_word, 0.1), rise=lambda i: 0.03).status == "pass"


def test_a_rise_after_an_edit_of_the_prompt_alone_is_a_warning_at_most() -> None:
    parent = make_rows()
    rows = apply(parent, lambda p, a, i: (f"{p} My name is Ann Lee, phone 0555 {i}.", a), 0.1)
    assert judge(parent, rows, rise=lambda i: 0.4).status == "warn"


def test_answers_of_a_new_source_are_not_held_to_the_losses_of_those_they_replace() -> None:
    parent = make_rows()
    rows = apply(parent, HONEST["any which way"], 0.1)
    assert judge(parent, rows, rise=lambda i: 0.4).status == "risky"
    assert judge(parent, rows, rise=lambda i: 0.4, new=True).status == "pass"
    # Emptied is emptied.
    assert judge(parent, apply(parent, HARM["emptied"], 0.1), new=True).status == "risky"


def test_texts_without_case_that_are_easier_to_learn_are_a_change_and_no_harm() -> None:
    parent = make_rows()
    rows = apply(parent, HARM["lower-cased"], 0.1)
    assert judge(parent, rows, rise=lambda i: 0.3).status == "risky"
    assert judge(parent, rows, rise=lambda i: -0.3).status == "warn"
    # What is cut off is harm even where it is easier.
    assert judge(parent, apply(parent, HARM["cut"], 0.1), rise=lambda i: -0.3).status == "risky"


def test_versions_without_edits_and_with_few_say_so() -> None:
    parent = make_rows()
    fresh = judge(parent, [*parent[40:], *make_rows(40, seed=5)])
    assert (fresh.status, fresh.reason, fresh.p_value) == ("skipped", "No rows were edited.", None)
    few = judge(parent, apply(parent, HARM["emptied"], 1 / 100))
    assert (few.status, few.reason) == ("skipped", "4 rows were edited, too few to compare.")


def test_a_parent_without_a_row_table_is_said_to_be_one() -> None:
    measured = Measurements(rows=400, r=2.0, r_long=3.0, l=5.0, c=0.4)
    comparison = ParentComparison("sft", measured, measured)
    result = RULE.ask(RuleInput(comparison, None, None, RuleParams())).result  # type: ignore[arg-type]
    assert result.status == "skipped" and "accepted by an older release" in result.reason


def test_the_order_of_the_rows_does_not_matter() -> None:
    parent = make_rows()
    rows = apply(parent, HARM["cut"], 0.1)
    once, again = judge(parent, rows, probed=False), judge(parent[::-1], rows[::-1], probed=False)
    assert (once.p_value, once.statistic, once.reason) == (again.p_value, again.statistic, again.reason)


def test_random_edits_are_seldom_called_a_change() -> None:
    # Under no direction at all the smallest of all p-values, corrected, is below 5% in at most 5% of versions.
    alarms, drawn = 0, make_rows()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        chosen = [drawn[i] for i in rng.permutation(len(drawn))]
        parent, others = chosen[:60], chosen[60:120]
        rows = [
            make_row(sides(old)[0], sides(new)[1]) if rng.random() < 0.5 else old
            for old, new in zip(parent, others, strict=True)
        ]
        alarms += judge(parent, rows).status != "pass"
    assert alarms <= 4


def test_a_sign_test_is_that_of_the_binomial_table() -> None:
    went = np.array([True] * 9 + [False])
    assert test_signs(went, ~went) == pytest.approx(11 / 1024)
    assert test_signs(went & False, went) == 1.0


def test_findings_name_the_rows_that_went_their_way() -> None:
    parent = make_rows(100)
    rows = apply(parent, HARM["cut"], 0.1)
    table = RowTable.of(parent, np.full(100, np.nan))
    split = split_rows([row_hash for _, row_hash in rows], RowSketch.of([row_hash for _, row_hash in parent]))
    edits = find_edits(rows, split, np.full(100, np.nan), np.zeros(100, dtype=bool), table)
    for finding in [*find_damage(edits), *find_moves(edits)]:
        assert finding.went.shape == (10,) and finding.went.any()
        assert -1 <= finding.share <= 1 and 0 <= finding.p_value <= 1
    assert not [f for f in find_damage(replace(edits, changed=np.full(10, "form"))) if "other rows" in f.words]
