"""Which version follows which, and what a version is compared with, in one line and after branches were merged."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from test_assess import accept, judge, make_evidence, make_rows, renumber
from test_history import make_entry

from corpus.errors import EntropylawError
from monitor.history import (
    HistoryEntry,
    accepted_since,
    anchor_of,
    list_ends,
    parent_of,
    read_history,
    record_score,
    replace_entry,
    write_entry,
)
from monitor.lineage import list_followed
from monitor.measures.evidence import version_hash

FINGERPRINT = "f" * 16


def write(folder: Path, *names: str, **changes: object) -> None:
    for name in names:
        write_entry(folder, make_entry(name, hash_of(name), **changes))


def hash_of(name: str) -> str:
    return name.encode().hex().ljust(32, "0")


def names(entries: object) -> list[str]:
    return [entry.name for entry in entries]  # type: ignore[attr-defined]


@pytest.fixture
def merged(tmp_path: Path) -> Path:
    """x1 and x2 are in both branches; one went on with a1 and a2, the other with b1."""
    ours, theirs = tmp_path / "history", tmp_path / "theirs"
    write(ours, "x1", status="baseline")
    write(ours, "x2")
    shutil.copytree(ours, theirs)
    write(ours, "a1", "a2")
    write(theirs, "b1")
    shutil.copytree(theirs, ours, dirs_exist_ok=True)
    return ours


def test_in_one_line_each_version_follows_the_one_before_it(tmp_path: Path) -> None:
    write(tmp_path, "x1", "x3", "x2")
    history = read_history(tmp_path)
    assert names(history) == ["x1", "x3", "x2"]
    assert [names(before) for before in list_followed(history)] == [[], ["x1"], ["x3"]]
    assert parent_of(history, FINGERPRINT, "").name == "x2"  # type: ignore[union-attr]


def test_two_branches_that_both_accept_write_no_file_in_common_and_both_ends_remain(merged: Path) -> None:
    history = read_history(merged)
    assert len(list(merged.iterdir())) == len(history) == 5
    assert [(entry.number, entry.name) for entry in history] == [
        (1, "x1"), (2, "x2"), (3, "a1"), (3, "b1"), (4, "a2"),
    ]  # fmt: skip
    assert names(list_ends(history)) == ["b1", "a2"]
    assert [names(before) for before in list_followed(history)] == [[], ["x1"], ["x2"], ["x2"], ["a1"]]


def test_the_parent_after_a_merge_is_the_end_whose_rows_are_nearest(merged: Path) -> None:
    history = read_history(merged)
    far = {"a2": 90.0, "b1": 12.0}
    nearest = parent_of(history, FINGERPRINT, "", lambda entry: far[entry.name])
    assert nearest is not None and nearest.name == "b1"
    tied = parent_of(history, FINGERPRINT, "")
    assert tied is not None and tied.name == "a2"


def test_accepting_a_version_joins_the_branches(merged: Path) -> None:
    write(merged, "joined")
    *_, joined = history = read_history(merged)
    assert joined.number == 5 and names(list_ends(history)) == ["joined"]
    assert names(list_followed(history)[-1]) == ["b1", "a2"]
    assert names(accepted_since(history[0], history, "", joined)) == ["x2", "a1", "b1", "a2", "joined"]


def test_small_steps_are_counted_along_the_line_of_the_parent_until_the_branches_are_joined(merged: Path) -> None:
    x1, _, _, b1, a2 = history = read_history(merged)
    assert anchor_of(history, FINGERPRINT, "", a2) is x1
    assert names(accepted_since(x1, history, "", a2)) == ["x2", "a1", "a2"]
    assert names(accepted_since(x1, history, "", b1)) == ["x2", "b1"]
    confirmed = [replace(entry, anchor=entry.name == "a1") for entry in history]
    assert anchor_of(confirmed, FINGERPRINT, "", confirmed[4]) is confirmed[2]
    assert names(accepted_since(confirmed[2], confirmed, "", confirmed[4])) == ["a2"]
    assert anchor_of(confirmed, FINGERPRINT, "", confirmed[3]) is confirmed[0]
    # Whoever confirmed a1 had not seen b1: once both lines are one, b1 is a step since then.
    write(merged, "joined")
    replace_entry(merged, replace(read_history(merged)[2], anchor=True))
    *_, joined = whole = read_history(merged)
    anchor = anchor_of(whole, FINGERPRINT, "", joined)
    assert anchor is not None and anchor.name == "a1"
    assert names(accepted_since(anchor, whole, "", joined)) == ["b1", "a2", "joined"]


def test_an_accepted_version_is_compared_with_what_it_followed_whatever_else_was_merged(merged: Path) -> None:
    history = read_history(merged)
    assert parent_of(history, FINGERPRINT, hash_of("b1")).name == "x2"  # type: ignore[union-attr]
    assert parent_of(history, FINGERPRINT, hash_of("a2")).name == "a1"  # type: ignore[union-attr]
    # Back to a version that others follow: that is a step from where the team is now.
    back = parent_of(history, FINGERPRINT, hash_of("x2"), lambda entry: float(entry.name == "b1"))
    assert back is not None and back.name == "a2"


def test_an_entry_that_claims_to_follow_nothing_is_compared_all_the_same(tmp_path: Path) -> None:
    write(tmp_path, "x1", "x2")
    alone = make_entry("x3", hash_of("x3"), parents=(), number=3, status="baseline")
    parent = parent_of([*read_history(tmp_path), alone], FINGERPRINT, alone.data_hash)
    assert parent is not None and parent.name == "x2"


def test_versions_of_an_earlier_release_follow_all_of_a_lower_number() -> None:
    old = [
        make_entry(name, hash_of(name), number=number) for number, name in ((1, "x1"), (2, "a"), (2, "b"), (3, "x3"))
    ]
    assert [names(before) for before in list_followed(old)] == [[], ["x1"], ["x1"], ["a", "b"]]
    assert names(list_ends(old[:3])) == ["a", "b"]


def test_one_name_in_two_branches_is_told_apart_by_the_hash_and_kept_in_the_files(tmp_path: Path) -> None:
    for folder, data in (("ours", "a" * 32), ("theirs", "b" * 32)):
        write_entry(tmp_path / folder, make_entry("x1", data))
    merged = tmp_path / "ours"
    shutil.copytree(tmp_path / "theirs", merged, dirs_exist_ok=True)
    assert names(read_history(merged)) == ["x1-aaaaaaaa", "x1-bbbbbbbb"]
    with pytest.raises(EntropylawError, match="2 versions are named 'x1'; say x1-aaaaaaaa or x1-bbbbbbbb"):
        record_score(merged, "x1", "heldout", -5.0)
    record_score(merged, "x1-bbbbbbbb", "heldout", -5.0)
    replace_entry(merged, replace(read_history(merged)[0], anchor=True))
    assert [(entry.anchor, entry.scores) for entry in read_history(merged)] == [(True, {}), (False, {"heldout": -5.0})]
    assert len(list(merged.glob("x1-*.json"))) == 2


def test_a_version_that_others_follow_can_be_begun_anew_with(tmp_path: Path) -> None:
    write(tmp_path, "x1", "x2")
    with pytest.raises(EntropylawError, match="in the history already"):
        write(tmp_path, "x1")
    write(tmp_path, "x1", status="baseline")
    history = read_history(tmp_path)
    assert [(entry.number, entry.name) for entry in history] == [(1, "x1"), (2, "x2"), (3, "x1")]
    assert parent_of(history, FINGERPRINT, "").status == "baseline"  # type: ignore[union-attr]
    with pytest.raises(EntropylawError, match="in the history already"):
        write(tmp_path, "x1", status="baseline")


def test_the_merged_rows_are_compared_with_the_branch_that_has_most_of_them(tmp_path: Path) -> None:
    """One branch added 20 rows, the other 60; the merge has all of them."""
    rows = make_rows(0, 200)
    few, many = make_rows(1000, 1020), make_rows(2000, 2060)
    start = make_evidence(rows)
    ours, theirs = (make_evidence(renumber([*rows, *added])) for added in (few, many))
    folder, other = tmp_path / "history", tmp_path / "theirs"
    write_entry(folder, accept([start], [], "x1"))
    shutil.copytree(folder, other)
    history = list(read_history(folder))
    verdicts = {name: judge([item], history) for name, item in (("ours", ours), ("theirs", theirs))}
    for name, item, place in (("ours", ours, folder), ("theirs", theirs, other)):
        entry: HistoryEntry = accept([item], history, name, verdicts[name])
        write_entry(place, replace(entry, status="pass"))
    shutil.copytree(other, folder, dirs_exist_ok=True)
    merged = list(read_history(folder))
    verdict = judge([make_evidence(renumber([*rows, *few, *many]))], merged)
    assert verdict.parent is not None and verdict.parent.name == "theirs"
    assert verdict.measurements["sft"].added == 20
    again = judge([ours], merged)
    assert again == verdicts["ours"] and again.version.data_hash == version_hash({"sft": ours.data_hash})
