"""What `entropylaw power` is made of: how a version is split, which trials are made of it, and what is said of them."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from scipy.stats import binomtest
from test_schemas import close

from corpus.artifacts import parse_result, to_json
from corpus.errors import EntropylawError
from corpus.records import Conversation, Message, Preference, Record, content_hash
from corpus.row_sides import question_key
from entropylaw.power.command import parse_shares
from monitor.power.accidents import ACCIDENTS, LOSSES
from monitor.power.outcomes import Outcome, PowerDataset, PowerResult, count_rates, summarise_outcomes
from monitor.power.pool import HELD_BACK_SHARE, UPDATED_SHARE, hold_back
from monitor.power.trials import (
    USUAL,
    USUAL_ACCIDENTS,
    USUAL_LOSSES,
    Trial,
    make_trial,
    plan_trials,
)
from reports.power import list_power, render_power, view_power

SCHEMA = json.loads((Path(__file__).parent.parent / "docs" / "schemas" / "power.schema.json").read_text())
SHARES = (0.02, 0.05, 0.1)
WORDS = ("river", "stone", "market", "window", "garden", "paper", "island", "bridge", "winter", "letter")


def write_tasks(rows: int, answers: int = 1, source: str = "") -> list[Record]:
    """Tasks of several lines; each prompt has so many answers."""
    rng = np.random.default_rng(3)
    tasks: list[Record] = []
    for i in range(rows):
        drawn = [WORDS[k] for k in rng.integers(len(WORDS), size=8)]
        prompt = f"Sort these words of list {i // answers}, please.\n\n{' '.join(WORDS)}"
        answer = f"Here's list {i}:\n" + "\n".join(f"- {word}" for word in drawn) + "\nThat's all."
        tasks.append(
            Conversation((Message("user", prompt), Message("assistant", answer)), source or f"s{i % 2}", i + 1)
        )
    return tasks


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def outcome(kind: str, status: str, share: float = 0.02, group: str = "accident", **others: object) -> Outcome:
    made = Outcome(group, kind, "sft", share, "risky", 100, 2, status, (), 0, 0)  # type: ignore[arg-type]
    return replace(made, **others)  # type: ignore[arg-type]


# --- how a version is split ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("answers", [1, 3, 400])
def test_a_version_is_split_and_nothing_is_lost(answers: int) -> None:
    records = write_tasks(400, answers)
    pool = hold_back(records, generator())
    assert len(pool.fresh) == round(HELD_BACK_SHARE * 400)
    assert Counter(map(content_hash, [*pool.baseline, *pool.fresh])) == Counter(map(content_hash, records))
    numbers = [record.row for record in pool.baseline]
    assert numbers == sorted(numbers)


def test_rows_with_one_prompt_are_not_torn_apart() -> None:
    records = write_tasks(400, answers=5)
    pool = hold_back(records, generator())
    assert not set(map(question_key, pool.baseline)) & set(map(question_key, pool.fresh))


def test_another_seed_holds_back_other_rows() -> None:
    records = write_tasks(400)
    one, two = (hold_back(records, generator(seed)) for seed in (0, 1))
    assert set(one.fresh) != set(two.fresh)


# --- which trials are made -----------------------------------------------------------------------------------------


def test_the_usual_trials_are_fifteen_accidents_at_each_share_and_eight_updates() -> None:
    pool = hold_back(write_tasks(400), generator())
    trials = plan_trials({"sft": pool}, SHARES, seed=0)
    groups = Counter(trial.group for trial in trials)
    assert groups == {"accident": 15 * 3, "loss": 2, "benign": 8}
    assert {trial.expected for trial in trials if trial.group == "benign"} == {"pass"}
    assert len({(trial.kind, trial.share) for trial in trials}) == len(trials)


def test_every_usual_kind_is_a_kind() -> None:
    assert set(USUAL) <= {accident.name for accident in ACCIDENTS if not accident.every_row}
    assert set(USUAL_LOSSES) <= {loss.name for loss in LOSSES}


def test_what_cannot_happen_is_left_out_and_others_take_its_place() -> None:
    def flatten(record: Record) -> Record:
        assert isinstance(record, Conversation)
        return replace(record, messages=tuple(replace(m, content=" ".join(m.content.split())) for m in record.messages))

    pool = hold_back([flatten(record) for record in write_tasks(400, source="one")], generator())
    trials = plan_trials({"sft": pool}, SHARES, seed=0)
    kinds = {trial.kind for trial in trials if trial.group == "accident"}
    assert "line breaks lost" not in kinds and len(kinds) == USUAL_ACCIDENTS
    assert "source lost" not in {trial.kind for trial in trials}
    with pytest.raises(EntropylawError, match="'line breaks lost' is no kind that can happen to these rows"):
        plan_trials({"sft": pool}, SHARES, seed=0, only=["line breaks lost"])


def test_all_is_more_than_the_usual_and_one_kind_can_be_named() -> None:
    pools = {"sft": hold_back(write_tasks(400), generator())}
    usual, everything = (plan_trials(pools, SHARES, 0, everything=every) for every in (False, True))
    assert set(usual) < set(everything)
    assert {trial.share for trial in everything if trial.kind.startswith("every row")} == {1.0}
    only = plan_trials(pools, SHARES, 0, only=["answers twice", "shuffled"])
    assert [(trial.kind, trial.share) for trial in only] == [*(("answers twice", s) for s in SHARES), ("shuffled", 0.0)]


def test_pairs_have_accidents_and_updates_of_their_own() -> None:
    pairs: list[Record] = [
        Preference(
            (Message("user", f"Is {i} even?"),), (Message("assistant", f"Yes, {i}."),), (Message("assistant", "No."),)
        )
        for i in range(400)
    ]
    trials = plan_trials({"preferences": hold_back(pairs, generator())}, SHARES, seed=0)
    assert {trial.kind for trial in trials if trial.group == "accident"} == {
        accident.name for accident in ACCIDENTS if accident.kind == "preferences"
    }
    assert sum(trial.group == "benign" for trial in trials) == 4


@pytest.mark.parametrize("share", SHARES)
def test_an_accident_damages_its_share_on_top_of_the_ordinary_update(share: float) -> None:
    pool = hold_back(write_tasks(400), generator())
    trial = Trial("accident", "answers lower-cased", "sft", share, "risky")
    update = make_trial(Trial("benign", "random update", "sft", 0.0, "pass"), pool, seed=4)
    version = make_trial(trial, pool, seed=4)
    rows = len(pool.baseline)
    assert len(version.rows) == round(share * rows)
    changed = {i for i, pair in enumerate(zip(update.records, version.records, strict=True), 1) if pair[0] != pair[1]}
    assert changed == version.rows
    fresh = set(map(content_hash, pool.fresh))
    assert sum(content_hash(record) in fresh for record in update.records) == round(UPDATED_SHARE * rows)
    assert make_trial(trial, pool, seed=4) == version != make_trial(trial, pool, seed=5)


@pytest.mark.parametrize(("text", "shares"), [("2,5,10", SHARES), ("10%, 2 ,10", (0.02, 0.1)), ("0.5", (0.005,))])
def test_shares_are_read_as_per_cents(text: str, shares: tuple[float, ...]) -> None:
    assert parse_shares(text) == pytest.approx(shares)


@pytest.mark.parametrize("text", ["", "a", "0", "51", "-2", "2;5", "nan", "inf"])
def test_other_shares_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(EntropylawError, match="--shares: expected per cents"):
        parse_shares(text)


# --- what is said of them ------------------------------------------------------------------------------------------

OUTCOMES = (
    outcome("answers swapped", "pass"),
    outcome("input lost", "baseline"),
    outcome("template tokens", "warn", named=2, named_damaged=1),
    outcome("HTML entities", "risky", named=50, named_damaged=48),
    outcome("empty-ish answers", "refused"),
    outcome("answers twice", "not_assessed"),
    outcome("answers swapped", "risky", share=0.1),
    outcome("last 10% cut off", "pass", share=0.0, group="loss"),
    outcome("shuffled", "pass", share=0.0, group="benign"),
    outcome("cleaned up", "warn", share=0.0, group="benign", rules=("coverage",)),
)


def test_the_first_sentence_says_what_is_missed_at_the_smallest_share() -> None:
    assert summarise_outcomes(OUTCOMES) == (
        "At 2% of the rows this gate stops 3 of 6 kinds of accident, warns of 1 and misses 2: answers swapped, "
        "input lost.",
        "At 10% of the rows this gate stops 1 of 1 kind of accident, warns of 0 and misses none.",
        "Of 1 way to lose rows it stops 0, warns of 0 and misses 1: last 10% cut off.",
        "Of 2 benign updates it stops none and warns of 1: cleaned up.",
    )


def test_rates_have_wilson_intervals() -> None:
    first = count_rates(OUTCOMES)[0]
    stopped = binomtest(3, 6).proportion_ci(method="wilson")
    alarmed = binomtest(4, 6).proportion_ci(method="wilson")
    assert (first.trials, first.stopped, first.warned, first.passed) == (6, 3, 1, 2)
    assert (first.stopped_low, first.stopped_high) == pytest.approx((stopped.low, stopped.high), abs=1e-6)
    assert (first.alarmed_low, first.alarmed_high) == pytest.approx((alarmed.low, alarmed.high), abs=1e-6)
    assert (first.named, first.named_damaged) == (52, 49)


def test_outcomes_are_counted_alike_in_any_order() -> None:
    assert count_rates(OUTCOMES) == count_rates(OUTCOMES[::-1])


def result(outcomes: tuple[Outcome, ...] = OUTCOMES, version: str = "x4") -> PowerResult:
    sizes = {"sft": PowerDataset(5000, 1600, 400)}
    summary = summarise_outcomes(outcomes)
    return PowerResult(
        version, "ab" * 16, True, sizes, 0, "c" * 16, "d" * 16, "1.0", summary, count_rates(outcomes), outcomes
    )


def test_the_result_is_what_its_schema_says_and_is_read_back() -> None:
    document = json.loads(to_json(result()))
    Draft202012Validator.check_schema(SCHEMA)
    assert list(Draft202012Validator(close(SCHEMA)).iter_errors(document)) == []
    assert to_json(parse_result(document, PowerResult, "power.json")) == to_json(result())


def test_the_table_has_a_line_for_each_kind_and_a_column_for_each_share() -> None:
    view = view_power(result())
    assert view.shares == ("2%", "10%")
    cells = {row[0]: row[1:] for row in view.accidents}
    assert cells["answers swapped"] == ("missed", "stopped")
    assert cells["HTML entities"] == ("stopped 48/50", "–")
    assert cells["template tokens"] == ("warned 1/2", "–")
    assert cells["empty-ish answers"] == ("stopped: refused", "–")
    assert ("cleaned up", "warned", "coverage") in view.others and ("last 10% cut off", "missed", "") in view.others
    lines = render_power(result())
    assert lines[0] == view.sentences[0] and "2,000 of 5,000 rows" in lines[-1]
    assert all(len(line) <= 120 for line in lines if line != lines[-1])


def test_a_name_in_the_markdown_is_no_markup() -> None:
    text = "\n".join(list_power(view_power(result(version="<b>|x"))))
    assert "<b>" not in text and list_power(None) == []
