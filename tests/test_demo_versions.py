"""The demo's data: real conversations, told apart by seed, with the accident in x5 alone."""

import json
from collections import Counter

import pytest

from corpus.errors import EntropylawError
from corpus.formats import parse_row
from entropylaw.demo.chitchat import pair_by_rating, to_conversation
from entropylaw.demo.command import prepare_workspace
from entropylaw.demo.outcome import format_table, list_deviations
from entropylaw.demo.versions import build_versions, export_with_overlap, slip_vocabulary


@pytest.fixture(scope="module")
def data(chat_logs):
    return build_versions(chat_logs, rows=400, heldout_rows=50, pairs=30, seed=0)


def copies(rows):
    return len(rows) - len({json.dumps(row) for row in rows})


def identifiers(rows):
    return [row["id"] for row in rows]


@pytest.mark.slow
def test_every_conversation_has_two_speakers_and_ends_with_an_answer(chat_logs):
    assert len(chat_logs) == 4017
    for log in chat_logs:
        record = parse_row(to_conversation(log), "sharegpt", 1, "chitchat")
        assert record.messages[0].role == "user" and record.messages[-1].role == "assistant"


@pytest.mark.slow
def test_x1_to_x4_keep_their_size_and_lose_a_tenth_of_copies_each(data):
    assert [len(data.versions[name]) for name in ("x1", "x2", "x3", "x4")] == [400] * 4
    # 30% of the export repeats earlier rows; each repair takes a third of these away.
    assert [round(copies(data.versions[name]), -1) for name in ("x1", "x2", "x3", "x4")] == [120, 80, 40, 0]


@pytest.mark.slow
def test_each_version_shares_nine_tenths_with_the_one_before(data):
    for before, after in (("x1", "x2"), ("x2", "x3"), ("x3", "x4"), ("x4", "benign")):
        shared = Counter(identifiers(data.versions[before])) & Counter(identifiers(data.versions[after]))
        assert shared.total() == 360


def test_x5_changes_only_the_rescraped_rows_and_has_them_twice(data):
    before = {row["id"]: row for row in data.versions["x4"]}
    changed = [row for row in data.versions["x5"] if row != before[row["id"]]]
    assert len(changed) == 80 and copies(changed) == 40
    assert set(identifiers(data.versions["x5"])) == set(before)


def test_no_held_out_row_is_in_any_version(data):
    held_out = set(identifiers(data.heldout))
    assert len(held_out) == 50
    for rows in data.versions.values():
        assert not held_out & set(identifiers(rows))


def test_the_same_seed_gives_the_same_data_and_another_seed_another_team(chat_logs, data):
    again = build_versions(chat_logs, rows=400, heldout_rows=50, pairs=30, seed=0)
    other = build_versions(chat_logs, rows=400, heldout_rows=50, pairs=30, seed=1)
    assert again == data and other.versions["x1"] != data.versions["x1"]


@pytest.mark.parametrize("rows", [100, 130, 160])
def test_an_export_has_the_rows_asked_for_and_every_conversation_of_the_archive(chat_logs, rows):
    exported = export_with_overlap(chat_logs[:100], rows)
    assert len(exported) == rows and set(identifiers(exported)) == {log.id for log in chat_logs[:100]}


def test_slipping_a_vocabulary_maps_every_word_to_another_and_none_twice():
    slipped = slip_vocabulary([{"conversations": [{"from": "gpt", "value": "the cat sat on the mat"}]}])
    assert sorted(slipped) == sorted(slipped.values()) and all(word != other for word, other in slipped.items())


def test_the_chosen_answer_comes_from_the_better_rated_conversation(chat_logs):
    ratings = {}
    for log in chat_logs:
        if log.rating is not None:
            ratings.setdefault((log.opening, log.turns[0]), []).append(log.rating)
    for pair in pair_by_rating(chat_logs, 50):
        best = max(ratings[pair["prompt"], pair["chosen"]])
        assert best > min(ratings[pair["prompt"], pair["rejected"]])


def summary_row(name, status, z=None, trained=True):
    numbers = {"r": 2.8, "r_long": 3.2, "l": 5.0, "c": 0.3}
    return {"name": name, "status": status, "trained": trained, "rows": 9, "added": 1, "removed": 1, "z": z, **numbers}


def good_story():
    rows = [summary_row("x1", "baseline", -5.3)] + [summary_row(f"x{i}", "pass", -5.2) for i in (2, 3, 4)]
    return [
        *rows,
        summary_row("benign", "pass", trained=False),
        summary_row("x5", "risky", -5.4, trained=False),
        summary_row("repaired", "pass", trained=False),
    ]


def test_the_demo_says_when_it_did_not_go_as_it_should():
    assert list_deviations(good_story()) == []
    wrong = good_story()
    wrong[4]["status"], wrong[5]["z"], wrong[5]["trained"] = "risky", -5.1, True
    wrong[6]["status"] = "risky"
    said = " ".join(list_deviations(wrong))
    assert "benign is risky" in said and "not below" in said and "before its waiver" in said
    assert "still risky after its repair" in said


def test_the_table_has_a_line_for_each_version_and_columns_that_line_up():
    lines = format_table(good_story())
    assert len(lines) == 9 and len({line.index("pass") for line in lines[3:7]}) == 1


def test_a_folder_that_is_not_a_demo_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(EntropylawError, match="not a demo"):
        prepare_workspace(tmp_path)
    assert (tmp_path / "thesis.txt").exists()
    again = prepare_workspace(prepare_workspace(tmp_path / "new"))
    assert again.is_dir()
