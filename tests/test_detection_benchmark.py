"""The benchmark of the verdict does to the data what it says, and no more; its rates are counted right."""

import html
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import trials
from benchmarks.detection import plan_trials
from benchmarks.many_versions import DRIFT, HONEST
from benchmarks.pools import split_chat_logs, split_ratings, split_records
from benchmarks.rival_checks import ask_rivals, measure_drift, measure_reference
from benchmarks.stages import ASSESS, MADE_ONCE, REPOSITORY, read_stages
from benchmarks.trials import (
    Trial,
    data_file,
    make_first_version,
    make_version,
    measure_and_assess,
    write_params,
    write_version,
)
from corpus.errors import EntropylawError
from corpus.formats import Kind, read_records
from corpus.prepare import PrepareParams, prepare_records
from corpus.records import Conversation, Message, Preference, Record, canonical_text, content_hash
from entropylaw.demo.chitchat import ChatLog
from entropylaw.repository.pipeline_folder import find_pipeline
from monitor.power.accidents import ACCIDENTS, LOSSES, Accident, can_happen, inject
from monitor.power.damaged_rows import LEAKED_TEMPLATES
from monitor.power.pool import Pool
from monitor.power.updates import change_texts, honest_updates, make_honest

pytestmark = pytest.mark.slow

BY_NAME = {accident.name: accident for accident in ACCIDENTS}


@pytest.fixture(scope="module")
def pools(chat_logs: list[ChatLog]) -> dict[str, Pool]:
    # The longest half of the conversations holds nine tenths of the text, and the shortest say much the same.
    short = [log for log in chat_logs if 200 < sum(map(len, log.turns)) < 1500]
    return {"conversations": split_chat_logs(short, 400, team=0), "preferences": split_ratings(chat_logs, 400, team=0)}


@pytest.fixture
def conversations(pools: dict[str, Pool]) -> Pool:
    return pools["conversations"]


def write_tasks(rows: int) -> list[Record]:
    """Made-up tasks with an input, and answers in Markdown of several lines, from two sources."""
    words = ("river", "stone", "market", "window", "garden", "paper", "island", "bridge", "winter", "letter")
    rng = np.random.default_rng(7)
    tasks: list[Record] = []
    for i in range(rows):
        drawn = [words[k] for k in rng.integers(len(words), size=8)]
        prompt = f"Sort these {i} words, please.\n\n{' '.join(drawn)}"
        answer = (
            "## Sorted\n" + "\n".join(f"- **{word}** is Anna's `word`." for word in sorted(drawn)) + "\nThat's all."
        )
        tasks.append(Conversation((Message("user", prompt), Message("assistant", answer)), f"source {i % 2}"))
    return tasks


@pytest.fixture(scope="module")
def tasks() -> Pool:
    records = write_tasks(600)
    return Pool(tuple(records[:300]), tuple(records[300:590]), {}, tuple(records[590:]))


def pool_for(accident: Accident, pools: dict[str, Pool], tasks: Pool) -> Pool:
    """Chit-chat where the accident can happen to it, else tasks."""
    pool = pools[accident.kind]
    return pool if can_happen(accident, 0.1, pool.baseline, pool.fresh) else tasks


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
    accident: Accident, share: float, pools: dict[str, Pool], tasks: Pool
) -> None:
    pool = pool_for(accident, pools, tasks)
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
def test_damaged_rows_are_still_rows(accident: Accident, pools: dict[str, Pool], tasks: Pool, tmp_path: Path) -> None:
    pool = pool_for(accident, pools, tasks)
    version = inject(pool.baseline, accident, 0.1, generator(), pool.fresh)
    write_version(tmp_path / "version.jsonl", version.records)
    read = list(read_records(tmp_path / "version.jsonl"))
    assert [record.row for record in read] == list(range(1, len(version.records) + 1))
    assert hashes(read) == hashes(list(version.records))
    assert {decision.reason for decision in prepare_records(read, PrepareParams())} == {None}


@pytest.mark.parametrize("accident", [a for a in ACCIDENTS if a.every_row], ids=lambda accident: accident.name)
def test_an_accident_of_every_row_leaves_alone_only_rows_that_it_would_not_change(
    accident: Accident, conversations: Pool
) -> None:
    version = inject(conversations.baseline, accident, 1.0, generator())
    intact = [record for row, record in enumerate(version.records, start=1) if row not in version.rows]
    assert 0 < len(intact) < len(version.rows)
    assert accident.damage(intact, generator(), ()) == intact


@pytest.mark.parametrize("accident", ACCIDENTS, ids=lambda accident: accident.name)
def test_most_accidents_happen_to_any_corpus(accident: Accident, pools: dict[str, Pool], tasks: Pool) -> None:
    if accident.kind == "conversations":
        share = 1.0 if accident.every_row else 0.1
        assert can_happen(accident, share, tasks.baseline, tasks.fresh)
        # Chit-chat has neither line breaks nor Markdown to lose.
        spared = accident.name in ("line breaks lost", "markdown stripped")
        chat = pools["conversations"]
        assert can_happen(accident, share, chat.baseline, chat.fresh) != spared


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


def test_leaked_tokens_are_those_of_one_template_and_seeds_differ_in_it(conversations: Pool) -> None:
    before = conversations.baseline[0]
    left: set[str] = set()
    for seed in range(30):
        version = inject(conversations.baseline, BY_NAME["template tokens"], 0.1, generator(seed))
        leaks = {
            new.content.replace(old.content, "{}", 1)
            for row in version.rows
            for (_, old), (_, new) in zip(
                conversations.baseline[row - 1].turns(), version.records[row - 1].turns(), strict=True
            )
            if new.role == "assistant"
        }
        assert len(leaks) == 1
        left |= leaks
    assert before.turns() and left == set(LEAKED_TEMPLATES)


def test_exchanged_rows_keep_their_roles_and_texts_and_lose_their_order(conversations: Pool) -> None:
    for before, after in damaged_pairs("prompt and answer exchanged", conversations):
        old, new = ([message.content for _, message in row.turns()] for row in (before, after))
        assert [m.role for _, m in before.turns()] == [m.role for _, m in after.turns()]
        assert new[0::2] == old[1::2] and new[1::2] == old[0::2]


def test_a_prompt_in_front_is_followed_by_the_answer(conversations: Pool) -> None:
    for before, after in damaged_pairs("prompt in front", conversations):
        old = [message.content for _, message in before.turns()]
        assert answers(after) == [f"{old[i - 1]}\n{old[i]}" for i in range(1, len(old), 2)]


def test_reasoning_stands_before_the_answer_and_in_its_tags(conversations: Pool) -> None:
    for before, after in damaged_pairs("think blocks", conversations):
        for old, new in zip(answers(before), answers(after), strict=True):
            assert new.startswith("<think>\n") and new.endswith(f"\n</think>\n\n{old}")


def test_without_its_input_a_prompt_is_a_beginning_of_itself(conversations: Pool, tasks: Pool) -> None:
    for before, after in damaged_pairs("input lost", conversations):
        assert answers(before) == answers(after)
        assert all(
            o.content.startswith(n.content) for (_, o), (_, n) in zip(before.turns(), after.turns(), strict=True)
        )
    for _, after in damaged_pairs("input lost", tasks):
        assert after.turns()[0][1].content.endswith("words, please.")


def test_one_refusal_and_one_closing_phrase_are_the_same_in_all_rows(conversations: Pool) -> None:
    refused = [text for _, after in damaged_pairs("one refusal for all", conversations) for text in answers(after)]
    assert len(refused) > len(set(refused)) == 1
    pairs = damaged_pairs("one closing phrase", conversations)
    added = {
        new.removeprefix(old)
        for before, after in pairs
        for old, new in zip(answers(before), answers(after), strict=True)
    }
    assert len(added) == 1


def test_personal_data_is_put_behind_prompts_and_is_not_the_same_twice(conversations: Pool) -> None:
    pairs = damaged_pairs("personal data", conversations)
    people = [after.turns()[0][1].content.removeprefix(before.turns()[0][1].content) for before, after in pairs]
    assert all(answers(before) == answers(after) for before, after in pairs)
    assert all("@" in person and "555-" in person for person in people) and len(set(people)) == len(people)


def test_changes_of_texts_keep_what_they_do_not_damage(tasks: Pool) -> None:
    for before, after in damaged_pairs("no-break spaces", tasks):
        assert [m.content for _, m in before.turns()] == [m.content.replace("\u00a0", " ") for _, m in after.turns()]
    for before, after in damaged_pairs("HTML entities", tasks):
        assert [m.content for _, m in before.turns()] == [html.unescape(m.content) for _, m in after.turns()]
    for before, after in damaged_pairs("literal line breaks", tasks):
        assert [f"{m.content}\n" for _, m in before.turns()] == [
            m.content.replace("\\n", "\n") for _, m in after.turns()
        ]
    for before, after in damaged_pairs("line breaks lost", tasks):
        assert [text.split() for text in answers(before)] == [text.split() for text in answers(after)]
        assert not any("\n" in text for text in answers(after))
    for before, after in damaged_pairs("answers cut at 60%", tasks):
        for old, new in zip(answers(before), answers(after), strict=True):
            assert old.startswith(new) and len(new) == int(0.6 * len(old))
    for before, after in damaged_pairs("answers lower-cased", tasks):
        assert [text.lower() for text in answers(before)] == answers(after)
    for before, after in damaged_pairs("answers twice", tasks):
        assert [[text, text] for text in answers(before)] == [text.split("\n\n") for text in answers(after)]
    for _, after in damaged_pairs("markdown stripped", tasks):
        assert not any(mark in text for mark in ("#", "*", "`", "- ") for text in answers(after))


def test_stale_copies_have_the_prompts_of_their_rows_and_shorter_answers(conversations: Pool) -> None:
    version = inject(conversations.baseline, BY_NAME["stale copies"], 0.1, generator(), conversations.fresh)
    prompts = {tuple(m.content for _, m in row.turns() if m.role == "user") for row in conversations.baseline}
    for row in version.rows:
        assert tuple(m.content for _, m in version.records[row - 1].turns() if m.role == "user") in prompts


def test_a_loss_takes_rows_away_and_changes_none(tasks: Pool) -> None:
    left = {loss.name: loss.keep(tasks.baseline, generator()) for loss in LOSSES}
    assert {name: len(rows) for name, rows in left.items()} == {
        "source lost": 150,
        "last 10% cut off": 270,
        "last 30% cut off": 210,
        "first tenth kept": 30,
    }
    assert len({row.source for row in left.pop("source lost")}) == 1
    assert all(rows == list(tasks.baseline[: len(rows)]) for rows in left.values())


def test_a_next_turn_is_left_in_chosen_answers_alone(pools: dict[str, Pool]) -> None:
    for before, after in damaged_pairs("Human: left in", pools["preferences"]):
        assert isinstance(before, Preference) and isinstance(after, Preference)
        assert (before.prompt, before.rejected) == (after.prompt, after.rejected)
        assert after.chosen[-1].content.startswith(f"{before.chosen[-1].content}\n\nHuman: ")


def test_fresh_pairs_that_are_flipped_are_in_no_version_yet(pools: dict[str, Pool]) -> None:
    pool = pools["preferences"]
    fresh = {(pair.prompt, pair.rejected, pair.chosen) for pair in pool.fresh if isinstance(pair, Preference)}
    for _, after in damaged_pairs("fresh pairs flipped", pool):
        assert isinstance(after, Preference) and (after.prompt, after.chosen, after.rejected) in fresh


def test_flipping_preferences_exchanges_the_two_answers(pools: dict[str, Pool]) -> None:
    for before, after in damaged_pairs("flipped preferences", pools["preferences"]):
        assert isinstance(before, Preference) and isinstance(after, Preference)
        assert (before.prompt, before.chosen, before.rejected) == (after.prompt, after.rejected, after.chosen)


def test_the_set_up_stays_out_of_the_pipeline_that_its_cache_lies_in(
    conversations: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)
    entered = []
    monkeypatch.setattr(trials, "read_stages", lambda datasets: [])
    monkeypatch.setattr(trials, "run_command", lambda command: entered.append(find_pipeline(Path())))
    folder = tmp_path / "cache" / "set-up"
    folder.mkdir(parents=True)
    make_first_version(folder, {"sft": conversations})
    assert entered == [None]


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
    version = make_honest("random update", conversations, generator())
    assert len(version) == rows
    baseline = set(conversations.baseline)
    kept = [record for record in version if record in baseline]
    assert len(kept) == round(0.9 * rows) and version[: len(kept)] == kept
    assert set(version[len(kept) :]) <= set(conversations.fresh)


@pytest.mark.parametrize("name", ["shuffled", "sorted by length", "sorted by topic"])
def test_reordering_keeps_every_row(name: str, conversations: Pool) -> None:
    reordered = make_honest(name, conversations, generator())
    assert Counter(hashes(reordered)) == Counter(hashes(list(conversations.baseline)))
    assert hashes(reordered) != hashes(list(conversations.baseline))


def test_growth_adds_and_a_clean_up_removes_and_neither_touches_the_rest(conversations: Pool) -> None:
    baseline = list(conversations.baseline)
    for share in (0.25, 0.5, 1.0):
        grown = make_honest(f"grown by {share:.0%}", conversations, generator())
        assert grown[: len(baseline)] == baseline and len(grown) == len(set(hashes(grown))) == (1 + share) * len(
            baseline
        )
    cleaned = make_honest("cleaned up", conversations, generator())
    left = set(cleaned)
    assert len(cleaned) == round(0.9 * len(baseline))
    assert cleaned == [record for record in baseline if record in left]


def test_deduplication_removes_near_copies_first(tasks: Pool) -> None:
    near = [change_texts(record, lambda text: text + "!") for record in tasks.baseline[:10]]
    left = make_honest("deduplicated", replace(tasks, baseline=tasks.baseline + tuple(near)), generator())
    gone = set(near) - set(left)
    assert len(left) == 310 - round(0.05 * 310) and len(gone) >= 7


def test_updates_that_the_data_does_not_allow_are_not_offered(conversations: Pool, tasks: Pool) -> None:
    names = {update.name for update in honest_updates("conversations", tasks)}
    assert "grown by 100%" not in names and "grown by 50%" in names
    assert not any(name.startswith("new source") for name in names)
    alone = replace(tasks, baseline=tuple(replace(row, source="") for row in tasks.baseline))
    assert "one source grown" in names - {update.name for update in honest_updates("conversations", alone)}


@pytest.mark.parametrize("kind", ["conversations", "preferences"])
def test_every_honest_update_makes_a_readable_version(kind: Kind, pools: dict[str, Pool], tmp_path: Path) -> None:
    pool = replace(pools[kind], new_source=tuple(write_tasks(100)) if kind == "conversations" else ())
    for update in honest_updates(kind, pool):
        version = update.make(pool, generator())
        write_version(tmp_path / "version.jsonl", version)
        read = list(read_records(tmp_path / "version.jsonl"))
        assert hashes(read) == hashes(version) != hashes(list(pool.baseline)), update.name


def test_new_topics_come_from_the_rows_kept_back_for_them(conversations: Pool) -> None:
    for name, novel in conversations.novel.items():
        version = make_honest(name, conversations, generator())
        assert len(set(version) - set(conversations.baseline)) == len(set(version) & set(novel)) == 40


def test_a_new_source_keeps_its_label_or_has_none(conversations: Pool) -> None:
    pool = replace(conversations, new_source=tuple(replace(row, source="tools") for row in write_tasks(100)))
    for share in (0.05, 0.15):
        for name, label in ((f"new source, {share:.0%}", "tools"), (f"new source without label, {share:.0%}", "")):
            added = set(make_honest(name, pool, generator())) - set(pool.baseline)
            assert len(added) == round(share * 400) and {row.source for row in added} == {label}


def test_system_prompts_are_put_in_front_and_change_nothing_else(conversations: Pool) -> None:
    update = make_honest("random update", conversations, generator())
    for name, share in (
        ("system prompt on 10%", 0.1),
        ("empty system prompt on 10%", 0.1),
        ("system prompt on all", 1),
    ):
        version = make_honest(name, conversations, generator())
        prompted = [row for row in version if row.turns()[0][0] == "system"]
        assert len(prompted) == round(share * 400)
        assert len({row.turns()[0][1].content for row in prompted}) == 1
        assert (prompted[0].turns()[0][1].content == "") == name.startswith("empty")
        assert [row.turns()[-1] for row in version] == [row.turns()[-1] for row in update]


def test_edits_on_purpose_keep_the_words(conversations: Pool) -> None:
    update = make_honest("random update", conversations, generator())
    spaced = make_honest("white space normalised", conversations, generator())
    assert [canonical_text(row).split() for row in spaced] == [canonical_text(row).split() for row in update]
    named = make_honest("names replaced", conversations, generator())
    changed = [(before, after) for before, after in zip(update, named, strict=True) if before != after]
    assert changed and all("[NAME]" in canonical_text(after) for _, after in changed)


def test_mending_typos_touches_a_tenth_of_the_rows(conversations: Pool) -> None:
    mended = make_honest("typos mended", conversations, generator())
    assert sum(a != b for a, b in zip(conversations.baseline, mended, strict=True)) == 40


def test_one_source_grows_alone(tasks: Pool) -> None:
    grown = make_honest("one source grown", tasks, generator())
    added = grown[len(tasks.baseline) :]
    assert grown[: len(tasks.baseline)] == list(tasks.baseline)
    assert len(added) == 45 and len({row.source for row in added}) == 1 and set(added) <= set(tasks.fresh)


def test_versions_of_one_seed_share_their_benign_update(conversations: Pool) -> None:
    update, _ = make_version(Trial("random update", "sft", 0.0, 5), conversations, team=0)
    damaged, rows = make_version(Trial("HTML left in", "sft", 0.1, 5), conversations, team=0)
    assert [record for row, record in enumerate(damaged, start=1) if row not in rows] == [
        record for row, record in enumerate(update, start=1) if row not in rows
    ]


def test_accidents_share_no_code_with_the_rules() -> None:
    program = (
        "import sys, monitor.power.accidents, monitor.power.updates, benchmarks.pools, benchmarks.rival_checks; "
        "print([name for name in sys.modules if name.startswith('monitor.') and 'monitor.power' not in name])"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip()) == (0, "[]"), result.stderr


def test_versions_are_made_without_a_model() -> None:
    program = (
        "import sys, benchmarks.trials; print([name for name in ('torch', 'transformers') if name in sys.modules])"
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
    benign = [make_honest("random update", pool, generator(seed)) for seed in range(5)]
    reference = measure_reference(baseline, benign[:4])
    assert not ask_rivals(benign[4], baseline, reference)["row check"]
    copies = inject(baseline, BY_NAME["exact duplicates"], 0.05, generator(), fresh)
    assert ask_rivals(copies.records, baseline, reference)["row check"]
    pages = inject(benign[4], BY_NAME["HTML left in"], 0.1, generator(), fresh)
    assert ask_rivals(pages.records, baseline, reference)["text drift"]
    assert measure_drift(make_honest("cleaned up", pool, generator()), baseline) is None


def test_the_plan_has_every_kind_at_every_share_with_every_seed(tasks: Pool, pools: dict[str, Pool]) -> None:
    by_dataset = {"sft": tasks, "preferences": pools["preferences"]}
    trials = plan_trials(by_dataset, (0.02, 0.1), 3, [])
    updates = honest_updates("conversations", tasks) + honest_updates("preferences", pools["preferences"])
    shares = sum(1 if accident.every_row else 2 for accident in ACCIDENTS)
    runs = plan_trials(by_dataset, (0.02, 0.1), 3, [DRIFT, HONEST])
    assert len(runs) == 3 * 2 and not set(runs) & set(plan_trials(by_dataset, (0.02, 0.1), 3, [], runs=False))
    assert len(trials) == len(set(trials)) == 3 * (shares + len(updates) + len(LOSSES)) + len(runs)
    named = {trial.name for trial in trials if trial.dataset == "preferences" and trial.share}
    assert named == {"flipped preferences", "fresh pairs flipped", "Human: left in"}
    with pytest.raises(EntropylawError, match="no such kind: floods; known are: random update, "):
        plan_trials(by_dataset, (0.1,), 1, ["floods"])


def test_the_plan_leaves_out_what_cannot_happen(pools: dict[str, Pool], tasks: Pool) -> None:
    names = {trial.name for trial in plan_trials({"sft": pools["conversations"]}, (0.1,), 1, [])}
    assert "line breaks lost" not in names and "source lost" in names
    alone = replace(tasks, baseline=tuple(replace(row, source="") for row in tasks.baseline))
    assert "source lost" not in {trial.name for trial in plan_trials({"sft": alone}, (0.1,), 1, [])}
