"""The benchmark of the verdict does to the data what it says, and no more; its rates are counted right."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.accidents import ACCIDENTS, Accident, inject
from benchmarks.detection import Rate, plan_trials, tabulate_accidents, tabulate_benign, wilson_interval
from benchmarks.rival_checks import RIVALS, ask_rivals, measure_drift, measure_reference
from benchmarks.stages import ASSESS, MADE_ONCE, REPOSITORY, read_stages
from benchmarks.trials import (
    Outcome,
    Trial,
    data_file,
    make_version,
    measure_and_assess,
    write_params,
    write_reexport,
    write_version,
)
from benchmarks.updates import Pool, benign_kinds, make_benign, split_chat_logs, split_ratings, split_records
from corpus.errors import EntropylawError
from corpus.formats import read_records
from corpus.prepare import PrepareParams, prepare_records
from corpus.records import Conversation, Message, Preference, Record, content_hash
from entropylaw.demo.chitchat import load_chat_logs

pytestmark = pytest.mark.slow

BY_NAME = {accident.name: accident for accident in ACCIDENTS}


@pytest.fixture(scope="module")
def pools() -> dict[str, Pool]:
    logs = load_chat_logs()
    return {"conversations": split_chat_logs(logs, 400, team=0), "preferences": split_ratings(logs, 400, team=0)}


@pytest.fixture
def conversations(pools: dict[str, Pool]) -> Pool:
    return pools["conversations"]


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def hashes(records: list[Record]) -> list[str]:
    return [content_hash(record) for record in records]


def answers(record: Record) -> list[str]:
    return [message.content for _, message in record.turns() if message.role == "assistant"]


def damaged_pairs(name: str, pool: Pool) -> list[tuple[Record, Record]]:
    """Each damaged row before and after, of an accident that replaces rows."""
    version = inject(pool.baseline, BY_NAME[name], 0.1, generator(), pool.fresh)
    return [(pool.baseline[row - 1], version.records[row - 1]) for row in sorted(version.rows)]


@pytest.mark.parametrize("accident", ACCIDENTS, ids=lambda accident: accident.name)
@pytest.mark.parametrize("share", [0.02, 0.1])
def test_an_accident_damages_the_claimed_share_and_nothing_else(
    accident: Accident, share: float, pools: dict[str, Pool]
) -> None:
    pool = pools[accident.kind]
    version = inject(pool.baseline, accident, share, generator(), pool.fresh)
    assert len(version.rows) == round(share * len(pool.baseline))
    intact = [record for row, record in enumerate(version.records, start=1) if row not in version.rows]
    if accident.way == "adds":
        assert intact == list(pool.baseline)
        assert max(version.rows) == len(version.records) == len(pool.baseline) + len(version.rows)
    else:
        assert len(version.records) == len(pool.baseline)
        assert intact == [record for row, record in enumerate(pool.baseline, start=1) if row not in version.rows]
    known = set(hashes(list(pool.baseline)))
    assert {content_hash(version.records[row - 1]) in known for row in version.rows} == {accident.verbatim}


@pytest.mark.parametrize("accident", ACCIDENTS, ids=lambda accident: accident.name)
def test_damaged_rows_are_still_rows(accident: Accident, pools: dict[str, Pool], tmp_path: Path) -> None:
    pool = pools[accident.kind]
    version = inject(pool.baseline, accident, 0.1, generator(), pool.fresh)
    write_version(tmp_path / "version.jsonl", version.records)
    read = list(read_records(tmp_path / "version.jsonl"))
    assert [record.row for record in read] == list(range(1, len(version.records) + 1))
    assert hashes(read) == hashes(list(version.records))
    assert {decision.reason for decision in prepare_records(read, PrepareParams())} == {None}


def test_the_same_generator_makes_the_same_accident(conversations: Pool) -> None:
    accident = BY_NAME["random characters"]
    first, second, third = (inject(conversations.baseline, accident, 0.05, generator(seed)) for seed in (3, 3, 4))
    assert first == second != third


def test_rows_that_an_accident_leaves_alone_give_their_place_to_others() -> None:
    alike = Conversation((Message("user", "Hi"), Message("assistant", "Hi")))
    other = Conversation((Message("user", "Hi"), Message("assistant", "Hello")))
    version = inject([alike] * 8 + [other] * 2, BY_NAME["prompts echoed"], 0.2, generator())
    assert version.rows == {9, 10}
    with pytest.raises(EntropylawError, match="fewer than 3 of 10 rows can be damaged"):
        inject([alike] * 8 + [other] * 2, BY_NAME["prompts echoed"], 0.3, generator())


def test_swapping_answers_between_rows_loses_no_answer() -> None:
    rows = [Conversation((Message("user", f"Question {i}?"), Message("assistant", f"Answer {i}."))) for i in range(21)]
    version = inject(rows, BY_NAME["answers swapped"], 1.0, generator())
    assert Counter(text for row in version.records for text in answers(row)) == Counter(
        text for row in rows for text in answers(row)
    )
    assert all(answers(after) != answers(before) for before, after in zip(rows, version.records, strict=True))


def test_swapped_answers_are_those_of_other_damaged_rows(conversations: Pool) -> None:
    pairs = damaged_pairs("answers swapped", conversations)
    given = {text for before, _ in pairs for text in answers(before)}
    assert all(set(answers(after)) <= given for _, after in pairs)


def test_truncated_answers_are_short_beginnings_and_prompts_stay(conversations: Pool) -> None:
    for before, after in damaged_pairs("truncated answers", conversations):
        for (_, old), (_, new) in zip(before.turns(), after.turns(), strict=True):
            assert old.content.startswith(new.content)
            assert len(new.content) <= max(1, len(old.content) / 6) or old.role == "user"
            assert old == new or old.role == "assistant"


def test_echoed_answers_are_the_messages_before_them(conversations: Pool) -> None:
    for _, after in damaged_pairs("prompts echoed", conversations):
        contents = [message.content for _, message in after.turns()]
        assert contents[1::2] == contents[0 : len(contents) - len(contents) % 2 : 2]


def test_swapping_roles_keeps_every_text(conversations: Pool) -> None:
    for before, after in damaged_pairs("roles swapped", conversations):
        assert [m.content for _, m in before.turns()] == [m.content for _, m in after.turns()]
        assert {(old.role, new.role) for (_, old), (_, new) in zip(before.turns(), after.turns(), strict=True)} == {
            ("user", "assistant"),
            ("assistant", "user"),
        }


def test_another_language_repeats_words_where_english_did(conversations: Pool) -> None:
    for before, after in damaged_pairs("another language", conversations):
        old, new = ([w for _, m in row.turns() for w in m.content.lower().split()] for row in (before, after))
        assert len(old) == len(new)
        translation = dict(zip(old, new, strict=True))
        assert [translation[word] for word in old] == new


def test_contradictory_copies_have_prompts_of_the_version_and_answers_of_others(conversations: Pool) -> None:
    version = inject(conversations.baseline, BY_NAME["contradictory copies"], 0.1, generator(), conversations.fresh)
    openings = {record.turns()[0][1].content for record in conversations.baseline}
    fresh = {text for record in conversations.fresh for text in answers(record)}
    for row in version.rows:
        assert version.records[row - 1].turns()[0][1].content in openings
        assert set(answers(version.records[row - 1])) <= fresh


def test_flipping_preferences_exchanges_the_two_answers(pools: dict[str, Pool]) -> None:
    for before, after in damaged_pairs("flipped preferences", pools["preferences"]):
        assert isinstance(before, Preference) and isinstance(after, Preference)
        assert (before.prompt, before.chosen, before.rejected) == (after.prompt, after.rejected, after.chosen)


def test_the_baseline_knows_nothing_of_what_is_new(conversations: Pool) -> None:
    def openings(records: tuple[Record, ...]) -> set[str]:
        return {record.turns()[0][1].content for record in records}

    known = conversations.baseline + conversations.fresh
    assert not openings(known) & openings(conversations.novel["new opening prompts"])
    assert not {row.source for row in known} & {row.source for row in conversations.novel["later months"]}
    parts = [*conversations.novel.values(), conversations.baseline, conversations.fresh, conversations.held_out]
    everything = [digest for part in parts for digest in hashes(list(part))]
    assert len(everything) == len(set(everything))


def test_any_file_is_split_by_topic(conversations: Pool) -> None:
    pool = split_records(conversations.baseline, 150, team=1)
    assert len(pool.baseline) == 150 and pool.novel["new topics"]
    parts = (pool.baseline, pool.fresh, pool.held_out, pool.novel["new topics"])
    assert Counter(digest for part in parts for digest in hashes(list(part))) == Counter(
        set(hashes(list(conversations.baseline)))
    )
    with pytest.raises(EntropylawError, match="too few for a benchmark"):
        split_records(conversations.baseline[:90], 50, team=1)


def test_an_ordinary_update_replaces_a_tenth_by_fresh_rows(conversations: Pool) -> None:
    rows = len(conversations.baseline)
    version = make_benign("random update", conversations, generator())
    assert len(version) == rows
    baseline = set(conversations.baseline)
    kept = [record for record in version if record in baseline]
    assert len(kept) == round(0.9 * rows) and version[: len(kept)] == kept
    assert set(version[len(kept) :]) <= set(conversations.fresh)


def test_reordering_keeps_every_row(conversations: Pool) -> None:
    reordered = make_benign("reordered", conversations, generator())
    updated = make_benign("random update", conversations, generator())
    assert Counter(hashes(reordered)) == Counter(hashes(updated)) and hashes(reordered) != hashes(updated)


def test_a_reexport_holds_the_same_records_in_other_clothes(conversations: Pool, tmp_path: Path) -> None:
    records = make_benign("re-exported", conversations, generator())
    write_version(tmp_path / "one.jsonl", records)
    write_reexport(tmp_path / "other.jsonl", records, generator())
    assert hashes(list(read_records(tmp_path / "one.jsonl"))) == hashes(list(read_records(tmp_path / "other.jsonl")))
    first_keys = {line.split('"')[1] for line in (tmp_path / "other.jsonl").read_text().splitlines()}
    assert first_keys == {"id", "source", "conversations"}


def test_growth_adds_and_a_clean_up_removes_and_neither_touches_the_rest(conversations: Pool) -> None:
    baseline = list(conversations.baseline)
    grown = make_benign("grown by 30%", conversations, generator())
    assert grown[: len(baseline)] == baseline and len(grown) == round(1.3 * len(baseline))
    cleaned = make_benign("cleaned up", conversations, generator())
    left = set(cleaned)
    assert len(cleaned) == round(0.9 * len(baseline))
    assert cleaned == [record for record in baseline if record in left]


def test_new_topics_come_from_the_rows_kept_back_for_them(conversations: Pool) -> None:
    for name, novel in conversations.novel.items():
        version = make_benign(name, conversations, generator())
        assert len(set(version) - set(conversations.baseline)) == len(set(version) & set(novel)) == 40


def test_versions_of_one_seed_share_their_benign_update(conversations: Pool) -> None:
    update, _ = make_version(Trial("random update", "sft", 0.0, 5), conversations, team=0)
    damaged, rows = make_version(Trial("HTML left in", "sft", 0.1, 5), conversations, team=0)
    assert [record for row, record in enumerate(damaged, start=1) if row not in rows] == [
        record for row, record in enumerate(update, start=1) if row not in rows
    ]


def test_accidents_share_no_code_with_the_rules() -> None:
    program = (
        "import sys, benchmarks.accidents, benchmarks.updates, benchmarks.rival_checks; "
        "print([name for name in sys.modules if name.split('.')[0] == 'monitor'])"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip()) == (0, "[]"), result.stderr


def test_the_stages_are_those_of_the_pipeline() -> None:
    stages = read_stages({"sft": "data/sft.jsonl"})
    assert stages[0][0] == "prepare" and stages[-1] == (ASSESS, None, "entropylaw assess")
    assert set(MADE_ONCE) < {stage for stage, _, _ in stages}
    assert all(command.startswith("entropylaw ") and "${" not in command for _, _, command in stages)


def test_a_version_that_prepare_refuses_is_not_a_pass(conversations: Pool, tmp_path: Path) -> None:
    write_params(tmp_path, ["sft"])
    write_version(tmp_path / "data" / "heldout.jsonl", conversations.held_out)
    blank = [Conversation((Message("user", f"Question {i}?"), Message("assistant", " "))) for i in range(20)]
    write_version(tmp_path / data_file("sft"), blank)
    assert measure_and_assess(tmp_path, "sft", ["sft"]) == ("refused", {"rules": [], "rows": []})


def test_rivals_see_what_they_look_at(conversations: Pool) -> None:
    pool = replace(conversations, baseline=conversations.baseline[:200], fresh=conversations.fresh[:200])
    baseline, fresh = pool.baseline, pool.fresh
    benign = [make_benign("random update", pool, generator(seed)) for seed in range(5)]
    reference = measure_reference(baseline, benign[:4])
    assert not ask_rivals(benign[4], baseline, reference)["row check"]
    copies = inject(baseline, BY_NAME["exact duplicates"], 0.05, generator(), fresh)
    assert ask_rivals(copies.records, baseline, reference)["row check"]
    pages = inject(benign[4], BY_NAME["HTML left in"], 0.1, generator(), fresh)
    assert ask_rivals(pages.records, baseline, reference)["text drift"]
    assert measure_drift(make_benign("cleaned up", pool, generator()), baseline) is None


def test_wilson_intervals_are_those_worked_by_hand() -> None:
    # 8 of 10: centre (0.8 + 3.8415/20) / 1.38415 = 0.71673, half width 1.95996/1.38415 * sqrt(0.016 + 0.0096037).
    assert wilson_interval(8, 10) == pytest.approx((0.49016, 0.94331), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 3.8415 / 13.8415), abs=1e-4)
    low, high = wilson_interval(3, 50)
    assert (1 - high, 1 - low) == pytest.approx(wilson_interval(47, 50))


def outcome(trial: Trial, status: str, named: int = 0, damaged: int = 0) -> Outcome:
    rules = ({"id": "agreement", "status": status}, {"id": "redundancy", "status": "pass"})
    return Outcome(trial, status, rules, named, damaged, dict.fromkeys(RIVALS, False), 1.0)


def test_tables_count_what_was_stopped_and_what_was_noticed() -> None:
    statuses = ["risky", "risky", "warn", "pass"]
    accidents = [
        outcome(Trial("HTML left in", "sft", 0.1, seed), status, named=50 * (status != "pass"), damaged=40)
        for seed, status in enumerate(statuses)
    ]
    line = tabulate_accidents(accidents)[2]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:2] == ["HTML left in", "10%"]
    assert cells[2:4] == [str(Rate(2, 4)), str(Rate(3, 4))]
    assert cells[4] == "agreement 3"
    not_judged = [outcome(Trial("cleaned up", "sft", 0.0, 0), "not_assessed")]
    assert f"| cleaned up | {Rate(0, 1)} | {Rate(1, 1)} |" in tabulate_benign(not_judged)[2]


def test_the_plan_has_every_kind_at_every_share_with_every_seed(pools: dict[str, Pool]) -> None:
    by_dataset = {"sft": pools["conversations"], "preferences": pools["preferences"]}
    trials = plan_trials(by_dataset, (0.02, 0.1), 3, [])
    benign = benign_kinds("conversations", pools["conversations"]) + benign_kinds("preferences", pools["preferences"])
    assert len(trials) == len(set(trials)) == 3 * (2 * len(ACCIDENTS) + len(benign))
    assert {trial.name for trial in trials if trial.dataset == "preferences"} == {
        "flipped preferences",
        "preferences updated",
    }
    with pytest.raises(EntropylawError, match="no such kind: floods; known are: random update, "):
        plan_trials(by_dataset, (0.1,), 1, ["floods"])
