"""Hundreds of accepted versions: they are read without being unpacked, and a report stays one that a person reads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_verdicts import FINGERPRINT, sample_verdict
from test_assess import HISTORY, judge, make_evidence, make_update
from test_history import make_entry, make_reference, make_table

from monitor.history import HistoryEntry, read_history, write_entry
from monitor.history_entry import make_id
from monitor.law.results import ACCEPTED, LawPoint
from reports.markdown import render_markdown_report
from reports.report_data import build_report_data
from reports.versions import SHOWN_VERSIONS

# So many CPU seconds more than with ten accepted versions an `assess` may take with a thousand of the largest size.
MOST_SECONDS = 2.0


def write_history(folder: Path, versions: int, entry: HistoryEntry, last: HistoryEntry | None = None) -> None:
    """Versions that follow each other, written side by side: each `accept` would read all that are before it.

    ``last``: the latest one, kept as it is but for its name and place.
    """
    rng = np.random.default_rng(0)
    parents: list[str] = []
    document = write_document(folder, entry)
    for number in range(1, versions + 1):
        document["data_hash"] = rng.bytes(16).hex()
        if last is not None and number == versions:
            document = write_document(folder, last)
        document.update(number=number, name=f"x{number}", parents=parents)
        own = make_id(document["data_hash"], document["config_fingerprint"], parents)
        name = f"x{number}-{document['data_hash'][:8]}-{own[:8]}.json"
        (folder / name).write_text(json.dumps(document), encoding="utf-8")
        parents = [own]


def write_document(folder: Path, entry: HistoryEntry) -> dict[str, Any]:
    """An entry as its file holds it."""
    file = write_entry(folder / "alone", entry)
    document: dict[str, Any] = json.loads(file.read_text("utf-8"))
    file.unlink()
    return document


def make_large_entry(**changes: Any) -> HistoryEntry:
    """An entry of a large version: its file is nearly as large as one may get."""
    reference = replace(make_reference(rows=60_000, probed=1_200), table=make_table(60_000))
    return make_entry(datasets={"sft": reference}, rows=60_000, **changes)


@pytest.mark.parametrize("versions", [60, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.torture])])
def test_a_version_is_assessed_about_as_fast_after_many_large_ones_as_after_ten(
    tmp_path: Path, versions: int, tally: Callable[..., None]
) -> None:
    parent = replace(HISTORY[0], anchor=True)
    evidence = make_evidence(make_update())
    seconds = {}
    for count in (10, versions):
        folder = tmp_path / str(count)
        write_history(folder, count, make_large_entry(config_fingerprint=parent.config_fingerprint), parent)
        largest = max(file.stat().st_size for file in folder.glob("*.json"))
        assert 250_000 < largest < 300_000
        tries = []
        for _ in range(2 if versions == 1000 else 1):
            before = time.process_time()
            verdict = judge([evidence], list(read_history(folder)))
            tries.append(time.process_time() - before)
        seconds[count] = min(tries)
        assert verdict.parent is not None and verdict.parent.name == f"x{count}"
        assert verdict.status == "pass"
    assert seconds[versions] - seconds[10] <= MOST_SECONDS
    tally("large accepted versions in one history", versions)


@pytest.mark.parametrize("versions", [60, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.torture])])
def test_many_versions_are_read_packed_and_a_report_shows_the_latest(
    tmp_path: Path, versions: int, tally: Callable[..., None]
) -> None:
    reference = make_reference(rows=300)
    write_history(tmp_path, versions, make_entry(config_fingerprint=FINGERPRINT, datasets={"sft": reference}))
    history = read_history(tmp_path)
    assert [entry.number for entry in history] == list(range(1, versions + 1))
    assert all(entry.dataset_hashes == {"sft": "d" * 32} for entry in history)
    # Only what is asked for is unpacked, and it is what was written.
    assert history[-1].datasets["sft"] == reference
    assert sum(bool(vars(entry.datasets)["_unpacked"]) for entry in history) == 1

    verdict = sample_verdict("pass")
    accepted = tuple(LawPoint(entry.name, 2.9, 3.6, 4.8, -4.9, ACCEPTED) for entry in history)
    verdict = replace(verdict, law=replace(verdict.law, points=(*verdict.law.points, *accepted)))
    data = build_report_data(verdict, history, [])
    names = [version.name for version in data.versions]
    assert names[0] == "x1" and names[-2] == f"x{versions}" and data.versions[-1].current
    assert len(names) <= SHOWN_VERSIONS + 3
    left_out = versions + 1 - len(names)
    assert data.left_out.startswith(f"{left_out:,} of {versions + 1:,} versions are left out")
    report = render_markdown_report(data)
    assert data.left_out in report
    # The runs that were measured here, and of the accepted versions the latest.
    runs = len(verdict.law.points) - versions
    assert data.law.listed == (*verdict.law.points[:runs], *accepted[-SHOWN_VERSIONS:])
    assert f"{runs + SHOWN_VERSIONS} of the {runs + versions:,} measured runs" in report and len(report) < 65_536
    tally("accepted versions in one history", versions)
