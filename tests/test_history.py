"""The ledger of accepted versions, on real files."""

import base64
import dataclasses
import json
import math
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.artifacts import to_json
from corpus.errors import DamagedResultError, EntropylawError
from corpus.records import Conversation, HashedRecord, Message, content_hash
from monitor.history import (
    DatasetReference,
    HistoryEntry,
    comparable,
    parent_of,
    read_history,
    record_score,
    write_entry,
)
from monitor.measures.preferences import PairReference, PreferenceDirection
from monitor.measures.row_sketch import RowSketch
from monitor.measures.row_table import MAX_TABLE_ROWS, RowTable
from monitor.measures.second_losses import SecondLosses
from monitor.verdict import Measurements


def random_hashes(rows: int, seed: int) -> list[str]:
    text = np.random.default_rng(seed).bytes(16 * rows).hex()
    return [text[i : i + 32] for i in range(0, len(text), 32)]


def make_reference(rows: int = 200, probed: int = 16, seed: int = 0) -> DatasetReference:
    hashes = random_hashes(rows, seed)
    losses = np.random.default_rng(seed).gamma(5.0, size=probed).astype(np.float32)
    return DatasetReference(
        data_hash="d" * 32,
        sketch=RowSketch.of(hashes),
        probe_hashes=tuple(hashes[:probed]),
        probe_losses=tuple(losses.tolist()),
        agreement_mean=0.25,
        agreement_sd=0.125,
        agreement_n=rows,
    )


def make_table(rows: int, seed: int = 0) -> RowTable:
    """A table of rows that differ in every feature, as large as it may get."""
    rng = np.random.default_rng(seed)
    records = [
        Conversation((Message("user", f"{seed} {number} {rng.random()}"), Message("assistant", f"{rng.random()}")))
        for number in range(min(rows, 2 * MAX_TABLE_ROWS))
    ]
    table = RowTable.of([HashedRecord(record, content_hash(record)) for record in records], rng.gamma(5.0, size=rows))
    # Ten significant bits, as long texts have.
    return dataclasses.replace(table, values=rng.integers(1024, 2048, table.values.shape).astype(np.float16))


def make_entry(name: str = "x1", data_hash: str = "a" * 32, **changes: Any) -> HistoryEntry:
    fields: dict[str, Any] = {
        "name": name,
        "data_hash": data_hash,
        "config_fingerprint": "f" * 16,
        "status": "pass",
        "rows": 200,
        "measurements": {"sft": Measurements(rows=200, r=2.5, r_long=3.5, l=4.75, c=0.25)},
        "datasets": {"sft": make_reference()},
        "tool_version": "0.1.0",
    }
    return HistoryEntry(**{**fields, **changes})


def test_what_was_written_is_read_back_with_its_number(tmp_path: Path) -> None:
    first = make_entry("x1", "a" * 32, status="baseline")
    waiver = {"rule": "agreement", "reason": "wanted", "owner": "kim", "expires": "2030-01-31"}
    waived = make_entry("x2", "b" * 32, status="risky", waived=True, waivers=(waiver,))
    assert write_entry(tmp_path, first).name.startswith("x1-aaaaaaaa-")
    assert write_entry(tmp_path, waived).name.startswith("x2-bbbbbbbb-")
    read = read_history(tmp_path)
    first = dataclasses.replace(first, number=1, parents=())
    assert read == (first, dataclasses.replace(waived, number=2, parents=(first.id,)))


def test_the_same_entry_gives_the_same_bytes(tmp_path: Path) -> None:
    here, there = (write_entry(tmp_path / folder, make_entry()) for folder in ("here", "there"))
    assert here.read_bytes() == there.read_bytes()


def test_what_is_known_of_pairs_is_read_back_and_conversations_have_no_word_of_it(tmp_path: Path) -> None:
    direction = PreferenceDirection((0.25, -1.5), 1000, 1e-9)
    known = {
        "sft": make_reference(),
        "preferences": dataclasses.replace(make_reference(seed=1), pairs=PairReference(1000, 12, direction)),
        "undirected": dataclasses.replace(make_reference(seed=2), pairs=PairReference(20, 0, None)),
    }
    path = write_entry(tmp_path, make_entry(datasets=known))
    (entry,) = read_history(tmp_path)
    assert {name: reference.pairs for name, reference in entry.datasets.items()} == {
        name: reference.pairs for name, reference in known.items()
    }
    assert "pairs" not in json.loads(path.read_text())["datasets"]["sft"]


@given(st.lists(st.floats(0, 50, width=32) | st.just(math.nan), max_size=40))
def test_probe_losses_keep_their_single_precision_bits(losses: list[float]) -> None:
    reference = dataclasses.replace(
        make_reference(rows=50), probe_hashes=tuple(random_hashes(len(losses), 1)), probe_losses=tuple(losses)
    )
    with tempfile.TemporaryDirectory() as folder:
        write_entry(folder, make_entry(datasets={"sft": reference}))
        (entry,) = read_history(folder)
    assert entry.datasets["sft"].probe_hashes == reference.probe_hashes
    np.testing.assert_array_equal(entry.datasets["sft"].probe_losses, losses)


def test_an_agreement_that_was_not_measured_stays_so(tmp_path: Path) -> None:
    unmeasured = dataclasses.replace(make_reference(), agreement_mean=math.nan, agreement_sd=math.nan, agreement_n=0)
    path = write_entry(tmp_path, make_entry(datasets={"sft": unmeasured}))
    assert json.loads(path.read_text())["datasets"]["sft"]["agreement_mean"] is None
    assert math.isnan(read_history(tmp_path)[0].datasets["sft"].agreement_mean)


@pytest.mark.parametrize("rows", [{"sft": 300_000}, {"sft": 300_000, "preferences": 300_000}, {"sft": 17_000}])
@pytest.mark.parametrize("probed", [384, 5_000])
def test_a_file_stays_under_300_kb_whatever_the_data(tmp_path: Path, rows: dict[str, int], probed: int) -> None:
    datasets = {
        name: dataclasses.replace(
            make_reference(count, probed),
            table=make_table(count),
            sources={f"{'source' * 15}{number}": number for number in range(50)},
            second=SecondLosses.of("0" * 16, random_hashes(probed, 7), [2.0] * probed),
        )
        for name, count in rows.items()
    }
    path = write_entry(tmp_path, make_entry(datasets=datasets))
    assert path.stat().st_size <= 300_000
    (entry,) = read_history(tmp_path)
    assert entry.datasets["sft"].sketch.rows == rows["sft"]
    kept = [len(reference.probe_hashes) for reference in entry.datasets.values()]
    assert sum(kept) == min(probed * len(rows), 1_200)


def test_no_text_of_any_row_is_in_the_file(tmp_path: Path) -> None:
    table = make_table(50)
    path = write_entry(tmp_path, make_entry(datasets={"sft": dataclasses.replace(make_reference(), table=table)}))
    (entry,) = read_history(tmp_path)
    assert entry.datasets["sft"].table == table
    packed = json.loads(path.read_text())["datasets"]["sft"]["table"]["packed"]
    assert b"0." not in zlib.decompress(base64.b64decode(packed))


def test_an_entry_of_an_old_release_is_read_and_written_again_as_it_was(tmp_path: Path) -> None:
    sketch = RowSketch.of(random_hashes(60_000, 1), max_keys=90_000, false_positive_bits=7)
    path = write_entry(tmp_path, make_entry(datasets={"sft": dataclasses.replace(make_reference(), sketch=sketch)}))
    before = json.loads(path.read_text())
    (entry,) = read_history(tmp_path)
    assert entry.datasets["sft"].sketch == sketch
    assert entry.datasets["sft"].table is None
    record_score(tmp_path, "x1", "heldout", -5.0)
    assert json.loads(path.read_text())["datasets"] == before["datasets"]


def test_a_small_dataset_keeps_every_row_beside_a_large_one(tmp_path: Path) -> None:
    datasets = {"sft": make_reference(300_000), "preferences": make_reference(5_000)}
    write_entry(tmp_path, make_entry(datasets=datasets))
    (entry,) = read_history(tmp_path)
    assert entry.datasets["preferences"] == datasets["preferences"]
    assert 11_500 < entry.datasets["sft"].sketch.kept < 12_500


def test_no_folder_is_an_empty_history_and_other_files_are_no_versions(tmp_path: Path) -> None:
    assert read_history(tmp_path / "nowhere") == ()
    (tmp_path / "README.md").write_text("accepted versions")
    (tmp_path / ".gitkeep").touch()
    assert read_history(tmp_path) == ()
    write_entry(tmp_path, make_entry())
    assert [entry.number for entry in read_history(tmp_path)] == [1]


def test_versions_of_merged_branches_share_a_number_and_the_next_one_follows_both(tmp_path: Path) -> None:
    for name, data_hash in (("ours", "a" * 32), ("theirs", "b" * 32)):
        path = write_entry(tmp_path / name, make_entry(name, data_hash))
        path.rename(tmp_path / path.name)
    ours, theirs = read_history(tmp_path)
    assert [(entry.number, entry.name) for entry in (ours, theirs)] == [(1, "ours"), (1, "theirs")]
    write_entry(tmp_path, make_entry("next", "c" * 32))
    *_, after = read_history(tmp_path)
    assert (after.number, set(after.parents or ())) == (2, {ours.id, theirs.id})


def test_numbers_are_ordered_as_numbers_past_9999(tmp_path: Path) -> None:
    path = write_entry(tmp_path, make_entry("x1"))
    document = json.loads(path.read_text())
    path.unlink()
    for number, name in ((9_999, "old"), (10_000, "new")):
        copy = {**document, "number": number, "name": name, "data_hash": f"{number:032d}"}
        del copy["parents"]  # as earlier releases wrote it
        (tmp_path / f"{number}-{name}.json").write_text(json.dumps(copy))
    assert [entry.name for entry in read_history(tmp_path)] == ["old", "new"]


def test_a_version_enters_once_per_configuration(tmp_path: Path) -> None:
    write_entry(tmp_path, make_entry("x1"))
    with pytest.raises(EntropylawError, match=r"x1-a{8}-\w{8}\.json: this data version is in the history already"):
        write_entry(tmp_path, make_entry("x1 again"))
    write_entry(tmp_path, make_entry("x1", config_fingerprint="e" * 16))
    assert [(entry.number, entry.name) for entry in read_history(tmp_path)] == [(1, "x1"), (2, "x1")]


def test_a_name_belongs_to_one_data_version(tmp_path: Path) -> None:
    write_entry(tmp_path, make_entry("x1", "a" * 32))
    with pytest.raises(EntropylawError, match="'x1' belongs to other data"):
        write_entry(tmp_path, make_entry("x1", "b" * 32))


@pytest.mark.parametrize("status", ["risky", "not_assessed", ""])
def test_a_version_that_was_not_accepted_does_not_enter(tmp_path: Path, status: str) -> None:
    with pytest.raises(EntropylawError, match="do not enter the history"):
        write_entry(tmp_path, make_entry(status=status))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", ".", "..", "Мир", "x" * 300, "a b\n"])
def test_a_name_never_leaves_the_folder(tmp_path: Path, name: str) -> None:
    path = write_entry(tmp_path / "history", make_entry(name))
    assert path.parent == tmp_path / "history"
    assert path.is_file()
    assert read_history(tmp_path / "history")[0].name == name


def test_only_versions_measured_alike_of_other_data_and_without_a_waiver_are_compared(tmp_path: Path) -> None:
    for name, digit, changes in (
        ("usual", "a", {}),
        ("other base model", "b", {"config_fingerprint": "e" * 16}),
        ("waived", "c", {"status": "risky", "waived": True}),
        ("under test", "d", {}),
        ("latest", "e", {}),
        ("waived later", "0", {"status": "risky", "waived": True}),
    ):
        write_entry(tmp_path, make_entry(name, digit * 32, **changes))
    history = read_history(tmp_path)
    assert [entry.name for entry in comparable(history, "f" * 16, "d" * 32)] == ["usual", "latest"]
    assert parent_of(history, "f" * 16, "d" * 32).name == "latest"
    assert parent_of(history, "f" * 16, "e" * 32).name == "under test"
    assert parent_of(history, "9" * 16, "d" * 32) is None


def test_a_score_is_added_to_the_latest_version_of_its_name_and_nothing_else_changes(tmp_path: Path) -> None:
    write_entry(tmp_path, make_entry("x1"))
    write_entry(tmp_path, make_entry("x1", config_fingerprint="e" * 16, scores={"heldout": -4.9}))
    write_entry(tmp_path, make_entry("x2", "b" * 32))
    before = read_history(tmp_path)
    record_score(tmp_path, "x1", "mt_bench", 5.5)
    record_score(tmp_path, "x1", "mt_bench", 6.25)
    after = read_history(tmp_path)
    assert after[1].scores == {"heldout": -4.9, "mt_bench": 6.25}
    assert (after[0], dataclasses.replace(after[1], scores=before[1].scores), after[2]) == before
    assert len(list(tmp_path.iterdir())) == 3


def test_a_score_stays_in_a_file_the_user_renamed(tmp_path: Path) -> None:
    write_entry(tmp_path, make_entry("x1")).rename(tmp_path / "first.json")
    assert record_score(tmp_path, "x1", "heldout", -5.0) == tmp_path / "first.json"
    assert [path.name for path in tmp_path.iterdir()] == ["first.json"]


def test_a_score_for_an_unknown_version_or_of_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EntropylawError, match="known are: none yet"):
        record_score(tmp_path, "x1", "heldout", -5.0)
    write_entry(tmp_path, make_entry("x1"))
    with pytest.raises(EntropylawError, match="no version is named 'x9'; known are: x1"):
        record_score(tmp_path, "x9", "heldout", -5.0)
    with pytest.raises(EntropylawError, match="finite number, found nan"):
        record_score(tmp_path, "x1", "heldout", math.nan)


def damage_sketch(document: dict[str, Any]) -> None:
    document["datasets"]["sft"]["sketch"]["packed"] = "AAAA"


def damage_table(document: dict[str, Any]) -> None:
    document["datasets"]["sft"]["table"] = {**json.loads(to_json(make_table(20).pack())), "kept": 21}


def damage_probe(document: dict[str, Any]) -> None:
    document["datasets"]["sft"]["probe_losses"] = "AAAAAA=="


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (lambda document: document.pop("data_hash"), "data_hash: missing key"),
        (lambda document: document.pop("waived"), "waived: missing key"),
        (lambda document: document.update(start={"owner": "kim"}), "start.reason: missing key"),
        (lambda document: document.update(start={"owner": "k", "reason": "r", "more": 1}), "start.more: unknown key"),
        (lambda document: document.pop("datasets"), "datasets: missing key; restore it from Git"),
        (lambda document: document.update(extra=1), "extra"),
        (lambda document: document.update(status="fine"), "status: unknown value 'fine'; restore"),
        (lambda document: document.update(measurements=[]), "measurements: expected object, found array"),
        (damage_sketch, "row sketch"),
        (damage_table, "row table"),
        (damage_probe, "as many probe losses"),
        (lambda document: document.update(schema_version=2), "newer entropylaw; update this one to read it$"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it(tmp_path: Path, damage: Any, cause: str) -> None:
    path = write_entry(tmp_path, make_entry())
    document = json.loads(path.read_text())
    damage(document)
    path.write_text(json.dumps(document))
    with pytest.raises(EntropylawError, match=rf"x1-a{{8}}-\w+\.json: .*{cause}"):
        # What is packed is unpacked when it is asked for.
        [dict(entry.datasets) for entry in read_history(tmp_path)]


@pytest.mark.parametrize(
    ("text", "cause"),
    [("", "it is empty"), ("<<<<<<< HEAD", "not JSON"), ("[]", "expected object"), ("null", "expected object")],
)
def test_a_file_that_is_no_entry_is_an_error_that_names_it(tmp_path: Path, text: str, cause: str) -> None:
    (tmp_path / "0001-x1.json").write_text(text)
    with pytest.raises(DamagedResultError, match=rf"0001-x1\.json: {cause}.*; restore it from Git$"):
        read_history(tmp_path)
