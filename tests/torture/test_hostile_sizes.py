"""Files that are made to fill the memory or to take for ever: each is read or refused in seconds, in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_sizes import SIZES

MIB = 2**20
SECONDS = 10
# What a process needs that reads a table, and a row of the largest size as Python holds it: a text in which one
# character is beyond the first plane takes four bytes for each, and is held four times while it is hashed.
IN_ANY_CASE = 600 * MIB
# A machine that is busy takes longer than its processor's own seconds, and tests of bad days share it.
SECONDS_OF_WAITING = 120

# The peak of a process that `fork` made would be that of the tests; so the process measures its own.
_MEASURED = """
import resource, sys
from pathlib import Path
from entropylaw.__main__ import main
try:
    main()
finally:
    status = Path("/proc/self/status").read_text()
    Path("peak").write_text(status.partition("VmHWM:")[2].split()[0])
    used = resource.getrusage(resource.RUSAGE_SELF)
    Path("seconds").write_text(str(used.ru_utime + used.ru_stime))
"""

# Quick to make and to read, one of each kind.
SHARE = ("rows of many lists.jsonl.zst", "line breaks.jsonl.zst")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from Linux's /proc")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SHARE else pytest.mark.torture) for name in SIZES]
)
def test_no_file_takes_more_than_four_times_its_size_in_memory_or_ten_seconds(
    in_tmp_path: Path, name: str, tally: Callable[..., None]
) -> None:
    path = in_tmp_path / name
    SIZES[name](path)
    words = ["prepare", name, "--out", "out.jsonl"]
    root = Path(__file__).resolve().parents[2]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *words],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=SECONDS_OF_WAITING,
        check=False,
    )
    waited = time.monotonic() - began
    assert done.returncode in (0, 2), done.stderr
    assert "Traceback" not in done.stderr
    peak = 1024 * int(Path("peak").read_text())
    assert peak <= IN_ANY_CASE + 4 * path.stat().st_size, f"{peak // MIB:,} MiB"
    assert float(Path("seconds").read_text()) < SECONDS, f"{waited:.0f} s"
    tally("files of hostile size")
