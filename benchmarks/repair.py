"""Does `repair` find the damaged rows, and does the version pass without them?

    python -m benchmarks.repair                                   # chit-chat, accidents at 10% of the rows
    python -m benchmarks.repair --name gsm8k --data gsm8k_train.jsonl.gz:1600

The same teams and accidents as in `benchmarks.detection`, whose set-up it shares. There is no Git here, so every row is
dropped and none is put back to what it was. Prints a table as Markdown and writes every outcome as JSON.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.corpora import add_corpus_options, load_pools, name_corpus, parse_part
from benchmarks.detection import plan_trials, say
from benchmarks.stages import inside
from benchmarks.trials import Setup, Trial, assess_version, count_cpu_seconds, link_setup, make_setup, make_version
from corpus.artifacts import read_json, write_json
from corpus.errors import EntropylawError
from corpus.progress import ignore_stages
from entropylaw.repair.bench import Bench
from entropylaw.repository import layout
from entropylaw.repository.setting import load_setting
from monitor.history import read_history
from monitor.power.rates import wilson_interval
from monitor.repair.search import Repair, find_repair

ROWS = 1600
SHARE = 0.1


@dataclass(frozen=True)
class Outcome:
    """What came of one accident. ``removed``: rows that the repair takes out, ``right`` of them damaged."""

    name: str
    dataset: str
    before: str
    after: str
    damaged: int
    removed: int
    right: int
    rounds: int
    seconds: float
    cpu_seconds: float


def repair_trial(trial: Trial, setup: Setup) -> Outcome:
    """Make the version, have it assessed, and repair it."""
    records, damaged = make_version(trial, setup.pools[trial.dataset], setup.team)
    with tempfile.TemporaryDirectory(dir=setup.folder) as temporary:
        folder = Path(temporary)
        link_setup(folder, setup, trial.dataset)
        assess_version(trial, setup, folder, records, damaged)
        start, cpu_start = time.perf_counter(), count_cpu_seconds()
        with inside(folder):
            found = repair_version(folder)
        seconds, cpu_seconds = time.perf_counter() - start, count_cpu_seconds() - cpu_start
    rows = {row.row for row in found.rows if row.dataset == trial.dataset}
    return Outcome(
        trial.name,
        trial.dataset,
        found.before.status,
        found.after.status,
        len(damaged),
        len(found.rows),
        len(rows & damaged),
        found.rounds,
        seconds,
        cpu_seconds,
    )


def repair_version(folder: Path) -> Repair:
    """What `entropylaw repair` does in the current folder, without writing anything."""
    setting = load_setting()
    bench = Bench(setting, read_history(layout.HISTORY), folder / "past", ignore_stages)
    return find_repair(bench.judge(), bench.judge_without, bench.split, setting.calibration.params, setting.rules)


def tabulate(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for each accident that was stopped, and the shares that the goals are about."""
    lines = [
        "| accident | before | after | damaged | removed | of these damaged | damaged rows removed | CPU seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    stopped = [outcome for outcome in outcomes if outcome.before == "risky"]
    for item in stopped:
        right = f"{item.right / item.removed:.0%}" if item.removed else "–"
        lines.append(
            f"| {item.name} | {item.before} | {item.after} | {item.damaged} | {item.removed} | {right} "
            f"| {item.right / max(item.damaged, 1):.0%} | {item.cpu_seconds:.0f} |"
        )
    passed = sum(item.after in ("pass", "warn") for item in stopped)
    removed, right, damaged = (sum(getattr(item, key) for item in stopped) for key in ("removed", "right", "damaged"))
    return [
        *lines,
        "",
        f"- restored to a pass: {describe_share(passed, len(stopped))} (goal 90%)",
        f"- damaged among the removed rows: {describe_share(right, removed)} (goal 85%)",
        f"- damaged rows removed: {describe_share(right, damaged)} (goal 85%)",
    ]


def describe_share(hits: int, of: int) -> str:
    """A share with its counts and Wilson's 95% interval."""
    if not of:
        return "none"
    low, high = wilson_interval(hits, of)
    return f"{hits / of:.0%} ({hits:,} of {of:,}; {low:.0%} to {high:.0%})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_corpus_options(parser, ROWS)
    parser.add_argument("--preferences", type=Path, help="preference pairs to go with --data")
    parser.add_argument("--new-source", type=Path, help="as for benchmarks.detection, to share its set-up")
    parser.add_argument("--team", type=int, default=1)
    parser.add_argument("--share", type=float, default=SHARE, help="damage this share of the rows")
    parser.add_argument("--only", action="append", default=[], metavar="KIND", help="only this kind; may be repeated")
    parser.add_argument("--out", type=Path, help="where every outcome is written")
    options = parser.parse_args()
    # Before torch is loaded: its threads would fight for the cores.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        measure_repairs(options)
    except EntropylawError as error:
        say(f"repair: {error}")
        return error.exit_code
    return 0


def measure_repairs(options: argparse.Namespace) -> None:
    """Repair every accident that was not repaired before, and print the table."""
    parts = [parse_part(text) for text in options.data]
    pools = load_pools(parts, options.preferences, options.new_source, options.rows, options.team)
    setup = make_setup(pools, options.team, say)
    trials = [
        trial
        for trial in plan_trials(pools, (options.share,), 1, options.only, runs=False)
        if trial.share == options.share and trial.expected == "risky"
    ]
    outcomes = []
    for number, trial in enumerate(trials, start=1):
        kept = setup.outcome_file(trial).with_suffix(".repair.json")
        if not kept.exists():
            write_json(kept, repair_trial(trial, setup))
        outcomes.append(Outcome(**read_json(kept)))
        say(f"{number} of {len(trials)}: {trial.name}, then {outcomes[-1].after}")
    print(f"## {options.name or name_corpus(parts)}, team {options.team}", *tabulate(outcomes), sep="\n")
    if options.out:
        write_json(options.out, outcomes)


if __name__ == "__main__":
    sys.exit(main())
