"""The benchmark of the verdict reads corpora as published, mixes them, and makes runs of versions of them."""

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.corpora import CHIT_CHAT, Part, load_pools, name_corpus, parse_part, read_part
from benchmarks.many_versions import DRIFT, DRIFT_SHARE, HONEST, STEP_SHARE, VERSIONS, make_steps, run_kinds
from benchmarks.pools import split_mixture
from benchmarks.trials import hash_rows
from corpus.errors import EntropylawError
from corpus.files import write_rows
from corpus.records import Conversation, Message, Record, content_hash
from monitor.power.pool import Pool
from monitor.power.updates import honest_updates

TOPICS = ("rivers", "stones", "markets", "windows", "gardens", "papers", "islands", "bridges", "winters", "letters")


def make_record(number: int, source: str) -> Record:
    topic = TOPICS[number % len(TOPICS)]
    messages = (
        Message("user", f"{source}: tell me {number} of {topic}"),
        Message("assistant", f"It's {number} {topic}."),
    )
    return Conversation(messages, source)


def sources(records: tuple[Record, ...]) -> Counter[str]:
    return Counter(record.source for record in records)


@pytest.fixture(scope="module")
def mixture() -> Pool:
    parts = [[make_record(i, name) for i in range(size)] for name, size in (("a", 2000), ("b", 1500))]
    return split_mixture(parts, [300, 200], team=0)


def test_a_part_is_a_file_or_chit_chat_with_or_without_rows() -> None:
    assert parse_part("chit-chat:900") == Part(None, 900)
    assert parse_part("chit-chat") == Part(None)
    assert parse_part("../data/maths.jsonl.gz:600") == Part(Path("../data/maths.jsonl.gz"), 600)
    assert parse_part("c:/data/maths.json") == Part(Path("c:/data/maths.json"))
    assert parse_part("maths.jsonl.gz").name == "maths"
    assert name_corpus([]) == name_corpus([Part(None, 5)]) == CHIT_CHAT
    with pytest.raises(EntropylawError, match="no rows"):
        parse_part("maths.json:0")


@pytest.mark.parametrize(
    ("row", "prompt", "answer"),
    [
        ({"question": "2 + 2?", "answer": "#### 4"}, "2 + 2?", "#### 4"),
        ({"instruction": "Add.", "input": "2, 2", "response": "4"}, "Add.\n\n2, 2", "4"),
        ({"instruction": "Add 2, 2.", "response": "4"}, "Add 2, 2.", "4"),
        ({"prompt": "2 + 2?", "completion": "4"}, "2 + 2?", "4"),
    ],
)
def test_published_files_are_read_under_their_own_keys(
    row: dict[str, str], prompt: str, answer: str, tmp_path: Path
) -> None:
    file = tmp_path / "maths.v2.json"
    file.write_text(json.dumps([row]))
    assert read_part(Part(file)) == [
        Conversation((Message("user", prompt), Message("assistant", answer)), "maths.v2", 1)
    ]


def test_rows_keep_a_source_of_their_own_and_blank_answers_are_left_out(tmp_path: Path) -> None:
    rows = [
        {"prompt": "One?", "completion": "1", "source": "numbers"},
        {"prompt": "Two?", "completion": " "},
        {"prompt": "Three?", "completion": "3"},
    ]
    write_rows(tmp_path / "mine.jsonl", rows)
    assert [(row.row, row.source) for row in read_part(Part(tmp_path / "mine.jsonl"))] == [(1, "numbers"), (3, "mine")]


def test_a_mixture_has_the_rows_asked_for_and_its_updates_have_its_proportions(mixture: Pool) -> None:
    assert sources(mixture.baseline) == {"a": 300, "b": 200}
    fresh = sources(mixture.fresh)
    assert fresh["a"] / fresh["b"] == pytest.approx(1.5, rel=0.02)
    parts = (mixture.baseline, mixture.fresh, mixture.held_out, *mixture.novel.values())
    everything = [content_hash(record) for part in parts for record in part]
    assert len(everything) == len(set(everything)) and mixture.novel["new topics"] and mixture.held_out


def test_a_mixture_is_shuffled(mixture: Pool) -> None:
    assert 100 < sum(record.source == "a" for record in mixture.baseline[:250]) < 200
    assert "one source grown" in {update.name for update in honest_updates("conversations", mixture)}


def test_parts_too_small_for_their_share_are_refused() -> None:
    parts = [[make_record(i, name) for i in range(size)] for name, size in (("a", 2000), ("b", 210))]
    with pytest.raises(EntropylawError, match="too few for a first version"):
        split_mixture(parts, [300, 200], team=0)


def test_teams_differ_in_their_rows() -> None:
    parts = [[make_record(i, name) for i in range(1000)] for name in "ab"]
    first, again, second = (split_mixture(parts, [150, 150], team) for team in (0, 0, 1))
    assert first == again and set(first.baseline) != set(second.baseline)
    assert hash_rows(first) == hash_rows(again) != hash_rows(second)


def test_a_new_source_is_read_beside_the_corpus(tmp_path: Path) -> None:
    write_rows(
        tmp_path / "one.jsonl", ({"prompt": f"{i} {TOPICS[i % 10]}?", "completion": f"{i}."} for i in range(900))
    )
    write_rows(tmp_path / "tools.jsonl", ({"prompt": f"call {i}", "completion": f"f({i})"} for i in range(90)))
    pools = load_pools([Part(tmp_path / "one.jsonl", 300)], None, tmp_path / "tools.jsonl", 1600, 0)
    assert len(pools["sft"].baseline) == 300 and sources(pools["sft"].new_source) == {"tools": 90}
    names = {update.name for update in honest_updates("conversations", pools["sft"])}
    assert {"new source, 5%", "new source without label, 15%"} <= names


@pytest.mark.parametrize("seed", range(4))
def test_a_drift_damages_a_hundredth_more_in_each_version(seed: int, mixture: Pool) -> None:
    assert run_kinds(mixture) == (DRIFT, HONEST)
    rows = len(mixture.baseline)
    usual = {content_hash(record) for record in (*mixture.baseline, *mixture.fresh)}
    before = 0
    steps = list(make_steps(DRIFT, mixture, 0, seed))
    assert len(steps) == VERSIONS
    for step in steps:
        assert len(step.records) == rows
        odd = {number for number, row in enumerate(step.records, 1) if content_hash(row) not in usual}
        assert odd == step.damaged
        lost = before + round(DRIFT_SHARE * rows) - len(step.damaged)
        # An update takes damaged rows away as often as others.
        assert 0 <= lost <= STEP_SHARE * rows
        before = len(step.damaged)
    assert 0.06 < steps[-1].damaged_share <= 0.1


def test_honest_versions_are_those_of_the_drift_without_its_damage(mixture: Pool) -> None:
    for honest, drift in zip(make_steps(HONEST, mixture, 0, 3), make_steps(DRIFT, mixture, 0, 3), strict=True):
        assert not honest.damaged
        pairs = list(zip(honest.records, drift.records, strict=True))
        assert {number for number, (one, other) in enumerate(pairs, 1) if one != other} == drift.damaged


def test_versions_of_a_run_replace_a_twentieth_each_time(mixture: Pool) -> None:
    before = mixture.baseline
    for step in make_steps(HONEST, mixture, 1, 0):
        assert len(set(step.records) - set(before)) == round(STEP_SHARE * len(before))
        before = step.records
