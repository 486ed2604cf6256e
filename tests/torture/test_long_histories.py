"""Hundreds of accepted versions: they are read without being unpacked, and a report stays one that a person reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sample_verdicts import FINGERPRINT, sample_verdict
from test_history import make_entry, make_reference

from monitor.history import read_history, write_entry
from monitor.history_entry import make_id
from reports.markdown import render_markdown_report
from reports.report_data import build_report_data
from reports.versions import SHOWN_VERSIONS


def write_history(folder: Path, versions: int) -> None:
    """Versions that follow each other, written side by side: each `accept` would read all that are before it."""
    entry = make_entry(config_fingerprint=FINGERPRINT, datasets={"sft": make_reference(rows=300)})
    first = write_entry(folder, entry)
    document = json.loads(first.read_text("utf-8"))
    first.unlink()
    rng = np.random.default_rng(0)
    parents: list[str] = []
    for number in range(1, versions + 1):
        document.update(number=number, name=f"x{number}", data_hash=rng.bytes(16).hex(), parents=parents)
        own = make_id(document["data_hash"], FINGERPRINT, parents)
        name = f"x{number}-{document['data_hash'][:8]}-{own[:8]}.json"
        (folder / name).write_text(json.dumps(document), encoding="utf-8")
        parents = [own]


@pytest.mark.parametrize("versions", [60, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.torture])])
def test_many_versions_are_read_packed_and_a_report_shows_the_latest(
    tmp_path: Path, versions: int, tally: Callable[..., None]
) -> None:
    write_history(tmp_path, versions)
    history = read_history(tmp_path)
    assert [entry.number for entry in history] == list(range(1, versions + 1))
    assert all(entry.dataset_hashes == {"sft": "d" * 32} for entry in history)
    # Only what is asked for is unpacked, and it is what was written.
    assert history[-1].datasets["sft"] == make_reference(rows=300)
    assert sum(bool(vars(entry.datasets)["_unpacked"]) for entry in history) == 1

    data = build_report_data(sample_verdict("pass"), history, [])
    names = [version.name for version in data.versions]
    assert names[0] == "x1" and names[-2] == f"x{versions}" and data.versions[-1].current
    assert len(names) <= SHOWN_VERSIONS + 3
    left_out = versions + 1 - len(names)
    assert data.left_out.startswith(f"{left_out:,} of {versions + 1:,} versions are left out")
    assert data.left_out in render_markdown_report(data)
    tally("accepted versions in one history", versions)
