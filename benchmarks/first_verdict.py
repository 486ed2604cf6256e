"""Seconds from an existing DVC repository to its first verdict, and to that of a pull request, stage by stage.

The repository is made from conversations that `--data` names: parquet shards in one folder that DVC tracks. Every stage
runs as a process of its own, as `dvc repro` runs it, and is timed by the CPU seconds of this process and its children:
they hardly change where other processes want the same cores.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.corpora import Part, parse_part, read_part
from benchmarks.stages import MADE_ONCE, read_stages
from benchmarks.timed_commands import Timing, time_command
from corpus.errors import EntropylawError
from corpus.records import Conversation, Record
from entropylaw.repository import layout

# A team's data as it is often found: several sources in one folder that DVC tracks.
ROWS = 20_000
SHARDS = 40
# A pull request exchanges this share of the rows.
CHANGED_SHARE = 0.1
SHARD_FOLDER = layout.DATA / "chats"
LAST_STAGE = "gate"
ENTROPYLAW = shlex.join([sys.executable, "-m", "entropylaw"])


# What the gate and `check` say of a version by their exit code.
VERDICTS = (0, 1, 3)


def load_rows(parts: Sequence[Part], rows: int, turns: int) -> list[Record]:
    """So many conversations of all parts, mixed; each is of ``turns`` rows, one after the other."""
    found = [record for part in parts for record in islice(read_part(part), part.rows)]
    if not found:
        raise EntropylawError("--data: no conversation was found")
    order = np.random.default_rng(0).permutation(len(found))
    if turns == 1:
        if len(found) < rows:
            raise EntropylawError(f"--data: {len(found)} conversations, fewer than --rows {rows}")
        return [found[i] for i in order[:rows]]
    joined = []
    for k in range(rows):
        chosen = [found[order[(k + i * (k // len(found) + 1)) % len(found)]] for i in range(turns)]
        messages = tuple(
            message for record in chosen if isinstance(record, Conversation) for message in record.messages
        )
        joined.append(replace(chosen[0], messages=messages))
    return joined


def write_shards(records: Sequence[Record], shards: int, folder: Path) -> None:
    """The records as parquet files of like size, with messages and source as their columns."""
    import pyarrow
    import pyarrow.parquet

    folder.mkdir(parents=True, exist_ok=True)
    for k, part in enumerate(np.array_split(np.arange(len(records)), shards)):
        rows = [
            {
                "messages": [{"role": m.role, "content": m.content} for m in records[i].messages],
                "source": records[i].source,
            }
            for i in part.tolist()
        ]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"part-{k:05d}.parquet")


def make_repository(folder: Path, records: Sequence[Record], shards: int) -> None:
    """A Git + DVC repository whose only content are the shards, committed."""
    write_shards(records, shards, folder / SHARD_FOLDER)
    commands = (
        "git init --quiet .",
        f"{sys.executable} -m dvc init --quiet",
        f"{sys.executable} -m dvc add --quiet {SHARD_FOLDER}",
        "git add --all",
        "git -c user.name=benchmark -c user.email=benchmark@localhost commit --quiet --message data",
    )
    for command in commands:
        time_command(command, command, folder)


def time_stages(folder: Path, again: bool) -> list[Timing]:
    """Every stage up to the gate; ``again``: without what is made once."""
    stages = read_stages({layout.SFT: str(SHARD_FOLDER)}, LAST_STAGE, folder / "dvc.yaml")
    timings = []
    before = ""
    for stage, _, command in stages:
        if again and stage in MADE_ONCE:
            continue
        codes = VERDICTS if stage == LAST_STAGE else (0,)
        if stage == LAST_STAGE:
            # The gate believes a verdict only if DVC recorded the stages before it, as `dvc repro` would have.
            time_command("record", f"{sys.executable} -m dvc commit --force --quiet --with-deps {before}", folder)
        before = stage
        timings.append(time_command(stage, f"{ENTROPYLAW} {command.removeprefix('entropylaw ')}", folder, codes))
        print(f"{stage:<14}{timings[-1].cpu_seconds:>8.1f} s", file=sys.stderr, flush=True)
    return timings


def tabulate(first: Sequence[Timing], second: Sequence[Timing], check: Timing) -> str:
    """A table of Markdown: what each command took for the first version, and for a pull request."""
    again = {timing.name: timing for timing in second}

    def cells(timing: Timing | None) -> str:
        return "| – " if timing is None else f"| {timing.cpu_seconds:.1f} s "

    lines = ["| | first version, CPU | memory | a pull request, CPU |", "|---|---|---|---|"]
    for timing in first:
        lines.append(f"| `{timing.name}` {cells(timing)}| {timing.peak_mb:,.0f} MB {cells(again.get(timing.name))}|")
    total = [sum(timing.cpu_seconds for timing in timings) for timings in (first, second)]
    lines.append(f"| **together** | **{total[0]:.0f} s** | | **{total[1]:.0f} s** |")
    lines.append(f"| `check`, measured before | | {check.peak_mb:,.0f} MB | {check.cpu_seconds:.1f} s |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", action="append", required=True, metavar="FILE[:ROWS]", help="conversations, or the word chit-chat"
    )
    parser.add_argument("--rows", type=int, default=ROWS, help="conversations of the first version")
    parser.add_argument("--shards", type=int, default=SHARDS, help="parquet files that they are written to")
    parser.add_argument("--turns", type=int, default=1, help="rows of --data in one conversation; more: long rows")
    parser.add_argument("--folder", type=Path, help="where the repository is made and kept; by default nowhere")
    options = parser.parse_args()
    try:
        parts = [parse_part(text) for text in options.data]
        with tempfile.TemporaryDirectory() as temporary:
            # The pull request exchanges some rows for others.
            changed = round(CHANGED_SHARE * options.rows)
            records = load_rows(parts, options.rows + changed, options.turns)
            measure(records, changed, options.shards, options.folder or Path(temporary))
    except EntropylawError as error:
        print(f"first_verdict: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def measure(records: Sequence[Record], changed: int, shards: int, folder: Path) -> None:
    """Make the repository, time everything in it, and print the table.

    The first version is all rows but the last, the pull request's all but the first; so many are ``changed``.
    """
    versions = records[: len(records) - changed], records[changed:]
    make_repository(folder, versions[0], shards)
    size = sum(file.stat().st_size for file in (folder / SHARD_FOLDER).iterdir())
    init = time_command("init", f"{ENTROPYLAW} init --dataset sft={SHARD_FOLDER}", folder)
    first = [init, *time_stages(folder, again=False)]
    time_command("accept", f"{ENTROPYLAW} accept", folder)
    write_shards(versions[1], shards, folder / SHARD_FOLDER)
    second = time_stages(folder, again=True)
    check = time_command("check", f"{ENTROPYLAW} check", folder, VERDICTS)
    characters = sum(len(m.content) for record in versions[0] for m in record.messages)
    print(f"{len(versions[0]):,} rows in {shards} shards, {size / 2**20:.0f} MiB, {characters:,} characters\n")
    print(tabulate(first, second, check))


if __name__ == "__main__":
    sys.exit(main())
