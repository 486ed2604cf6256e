"""A verdict is made in bounded memory: no stage holds the data file, nor any part that grows with it.

The stages run as the commands of `dvc.yaml`, each a process of its own, on real conversations cut anew
(`benchmarks/recut_rows.py`). The memory of one is the most that it and its workers held at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from benchmarks.recut_rows import SHAPES, RecutRows, Version, list_parts, load_real_texts
from benchmarks.scale_repository import ENTROPYLAW, QUICK, ScaleRepository
from benchmarks.stages import REPOSITORY
from benchmarks.timed_commands import Timing, time_command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is read from Linux's /proc"),
]

# What any stage may hold, on a file of any size. Python, torch and a small model take 600 MB of it.
LIMIT_MB = 700
# What is made once trains in two processes, each with torch and a model.
LIMIT_ONCE_MB = 1_000
# A stage that holds more is stopped: the machine has other work to do.
STOP_MB = 2_000

# Of 6 KB each: 500 MB, and a first version that they grow from.
LARGE_ROWS, FIRST_ROWS = 83_500, 8_000
# 15 MB, from which on loops are compiled, and 35 MB: the difference is more than a command with torch varies by.
SMALL_ROWS, GROWN_ROWS = 2_500, 6_000

# So much more a command may hold for each byte that the file has more. Below 1, it does not hold the file; as Python
# objects, rows take several times the file.
# Until the long window of 128 MiB is full, `compress` keeps the text, and tables of it; until it has seen 32,768 rows,
# `consistency` keeps their vectors.
GROWTH = {"prepare": 1, "compress": 3, "consistency": 2, "probe": 1}


@pytest.fixture(scope="module")
def recut() -> RecutRows:
    return RecutRows(load_real_texts(list_parts(None)), SHAPES["long"])


def too_much(timings: Iterable[Timing], limit: int) -> dict[str, int]:
    """The stages that held more, and how many MB."""
    return {timing.name: round(timing.peak_mb) for timing in timings if timing.peak_mb > limit}


@pytest.mark.long
def test_no_stage_holds_more_than_700_mb_of_a_file_of_500_mb(recut: RecutRows, tmp_path: Path) -> None:
    repository = ScaleRepository(tmp_path / "work", recut, QUICK, STOP_MB)
    once = repository.make(Version(FIRST_ROWS))
    first = repository.measure_first(Version(FIRST_ROWS))
    large = repository.measure_changed(Version(LARGE_ROWS))
    assert large.data_bytes > 480e6 and large.rows > 3 * first.rows
    assert too_much(once, LIMIT_ONCE_MB) == {}
    assert too_much(first.timings, LIMIT_MB) == {}
    assert too_much(large.timings, LIMIT_MB) == {}


def test_no_command_holds_what_a_file_has_more(recut: RecutRows, base_folder: Path, tmp_path: Path) -> None:
    commands = {
        "prepare": "prepare rows.jsonl --out prepared.jsonl",
        "compress": "compress prepared.jsonl",
        "consistency": "consistency prepared.jsonl",
        "probe": f"probe prepared.jsonl --base {base_folder}",
    }
    environment = {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}
    sizes, held = [], []
    for rows in (SMALL_ROWS, GROWN_ROWS):
        sizes.append(recut.write(Version(rows), tmp_path / "rows.jsonl"))
        timings = [
            time_command(name, f"{ENTROPYLAW} {command}", tmp_path, environment=environment, stop_above_mb=STOP_MB)
            for name, command in commands.items()
        ]
        held.append({timing.name: timing.peak_mb for timing in timings})
    more = (sizes[1] - sizes[0]) / 1e6
    growth = {name: (held[1][name] - held[0][name]) / more for name in commands}
    assert more > 18
    assert {name: round(value, 2) for name, value in growth.items() if value > GROWTH[name]} == {}, growth
