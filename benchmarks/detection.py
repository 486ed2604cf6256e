"""The verdict's error rates on real data with injected accidents and benign updates, beside those of other checks.

    python -m benchmarks.detection                     # ten seeds
    python -m benchmarks.detection --subset            # one seed, in ten minutes
    python -m benchmarks.detection --data my.jsonl     # the same on your conversations

Without --data it takes 1,600 conversations of chitchat-dataset, and 1,000 preference pairs made from their ratings.
Every version is written to a file and goes through the stages of dvc.yaml, with the shipped params.yaml, to its verdict
against the first version. Base model and calibration are made once and kept in .entropylaw/ with every outcome, so an
interrupted run goes on where it stopped. Prints the tables as Markdown and writes every outcome as JSON.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accidents import ACCIDENTS, LOSSES, can_happen, sources_to_lose
from benchmarks.pools import Pool, split_chat_logs, split_ratings, split_records
from benchmarks.rival_checks import RIVALS
from benchmarks.trials import CACHE, Outcome, Setup, Trial, make_setup, run_trial
from benchmarks.updates import honest_updates
from corpus.artifacts import write_json
from corpus.errors import EntropylawError
from corpus.formats import Kind, read_records
from entropylaw.repository import layout
from entropylaw.terminal import show_progress

KINDS: dict[str, Kind] = {layout.SFT: "conversations", layout.PREFERENCES: "preferences"}
SHARES = (0.02, 0.05, 0.1)
SEEDS = 10
SUBSET_SEEDS = 1
WORKERS = 2
OUT = CACHE.parent / "detection.json"
ROWS = {layout.SFT: 1600, layout.PREFERENCES: 1000}
# Two-sided 95%.
Z_95 = 1.959964


def wilson_interval(hits: int, trials: int) -> tuple[float, float]:
    """Wilson's 95% interval of a rate (Wilson, 1927).

    >>> [round(bound, 3) for bound in wilson_interval(10, 10)]
    [0.722, 1.0]
    """
    rate, z2 = hits / trials, Z_95**2
    centre = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_95 / (1 + z2 / trials) * math.sqrt(rate * (1 - rate) / trials + z2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Rate:
    """How often something happened in a number of trials, shown with its 95% interval in per cent.

    >>> str(Rate(9, 10))
    '90% (60–98)'
    """

    hits: int
    trials: int

    def __str__(self) -> str:
        if not self.trials:
            return "-"
        low, high = wilson_interval(self.hits, self.trials)
        return f"{self.hits / self.trials:.0%} ({100 * low:.0f}–{100 * high:.0f})"


# --- what is run ---------------------------------------------------------------------------------------------------


def load_pools(data: Path | None, preferences: Path | None, rows: int, team: int) -> dict[str, Pool]:
    """Conversations and preferences of chit-chat, or of the files that the user names."""
    if data:
        pools = {layout.SFT: split_records(list(read_records(data, kind="conversations")), rows, team)}
        if preferences:
            pairs = list(read_records(preferences, kind="preferences"))
            pools[layout.PREFERENCES] = split_records(pairs, ROWS[layout.PREFERENCES], team)
        return pools
    from entropylaw.demo.chitchat import load_chat_logs

    logs = load_chat_logs()
    return {
        layout.SFT: split_chat_logs(logs, rows, team),
        layout.PREFERENCES: split_ratings(logs, ROWS[layout.PREFERENCES], team),
    }


def plan_trials(pools: dict[str, Pool], shares: Sequence[float], seeds: int, only: Sequence[str]) -> list[Trial]:
    """Every accident at every share, every loss and every honest update, for each seed; ordered by seed.

    Accidents that cannot happen to these rows are left out, such as line breaks lost where there are none.
    """
    kinds: list[tuple[str, str, float]] = []
    for dataset, pool in pools.items():
        kind = KINDS[dataset]
        kinds += [(update.name, dataset, 0.0) for update in honest_updates(kind, pool)]
        if kind == "conversations":
            can_lose = bool(sources_to_lose(pool.baseline))
            kinds += [(loss.name, dataset, 0.0) for loss in LOSSES if can_lose or loss.name != "source lost"]
        for accident in ACCIDENTS:
            for share in (1.0,) if accident.every_row else shares:
                if accident.kind == kind and can_happen(accident, share, pool.baseline, pool.fresh):
                    kinds.append((accident.name, dataset, share))
    unknown = set(only) - {name for name, _, _ in kinds}
    if unknown:
        known = ", ".join(dict.fromkeys(name for name, _, _ in kinds))
        raise EntropylawError(f"no such kind: {', '.join(sorted(unknown))}; known are: {known}")
    return [Trial(*kind, seed) for seed in range(seeds) for kind in kinds if not only or kind[0] in only]


_setup: Setup


def start_worker(setup: Setup) -> None:
    global _setup
    _setup = setup
    # The progress bars of several workers would overwrite each other.
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - open as long as the process


def run_in_worker(trial: Trial) -> None:
    run_trial(trial, _setup)


def run_trials(trials: Sequence[Trial], setup: Setup, workers: int) -> Iterator[None]:
    """Run the trials in processes; yields whenever one is done."""
    with multiprocessing.get_context("spawn").Pool(workers, start_worker, (setup,)) as processes:
        yield from processes.imap_unordered(run_in_worker, trials)


# --- what is said --------------------------------------------------------------------------------------------------


def is_risky(outcome: Outcome) -> bool:
    """Whether the gate would stop the version."""
    return outcome.status == "risky"


def is_noticed(outcome: Outcome) -> bool:
    """Whether somebody would look at the version: it is warned of, stopped, or could not be assessed."""
    return outcome.status not in ("pass", "baseline")


def tabulate_accidents(outcomes: Sequence[Outcome]) -> list[str]:
    """A table with a line for each accident and share, and one for all accidents of each share."""
    lines = _head(["accident", "rows", "risky", "at least warn", "rules", "named rows damaged"])
    shares = sorted({outcome.trial.share for outcome in outcomes})
    for name, cell in _by_name(outcomes):
        for share in shares:
            lines.append(_line([name, f"{share:.0%}"], [o for o in cell if o.trial.share == share], with_rows=True))
    for share in shares:
        lines.append(
            _line(["**all**", f"{share:.0%}"], [o for o in outcomes if o.trial.share == share], with_rows=True)
        )
    return lines


def tabulate_benign(outcomes: Sequence[Outcome]) -> list[str]:
    """A table with a line for each benign update, and one for all of them; every alarm is a false one."""
    lines = _head(["benign update", "risky", "at least warn", "rules"])
    return lines + [_line([name], cell, with_rows=False) for name, cell in [*_by_name(outcomes), ("**all**", outcomes)]]


def _by_name(outcomes: Sequence[Outcome]) -> list[tuple[str, Sequence[Outcome]]]:
    order = [accident.name for accident in ACCIDENTS]
    names = sorted({o.trial.name for o in outcomes}, key=lambda name: (order.index(name) if name in order else 0, name))
    return [(name, [o for o in outcomes if o.trial.name == name]) for name in names]


def _head(columns: list[str]) -> list[str]:
    columns = [*columns, *RIVALS]
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def _line(labels: list[str], cell: Sequence[Outcome], with_rows: bool) -> str:
    fired = Counter(rule.replace("_", " ") for o in cell for rule in o.fired())
    columns = [*labels, str(count_rate(cell, is_risky)), str(count_rate(cell, is_noticed))]
    columns.append(", ".join(f"{rule} {count}" for rule, count in fired.most_common()) or "-")
    if with_rows:
        named, damaged = sum(o.named for o in cell), sum(o.named_damaged for o in cell)
        columns.append(f"{damaged / named:.0%}" if named else "-")
    columns += [f"{sum(o.rivals[rival] for o in cell) / len(cell):.0%}" if cell else "-" for rival in RIVALS]
    return f"| {' | '.join(columns)} |"


def count_rate(outcomes: Sequence[Outcome], holds: Callable[[Outcome], bool]) -> Rate:
    return Rate(sum(map(holds, outcomes)), len(outcomes))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="conversations in any accepted format, instead of chit-chat")
    parser.add_argument("--preferences", type=Path, help="preference pairs to go with --data")
    parser.add_argument("--rows", type=int, default=ROWS[layout.SFT], help="conversations of the first version")
    parser.add_argument("--team", type=int, default=0, help="another number is another team's data, model, calibration")
    parser.add_argument("--seeds", type=int, help=f"versions of each kind and share, {SEEDS} where nothing is said")
    parser.add_argument("--subset", action="store_true", help=f"with {SUBSET_SEEDS} seed")
    parser.add_argument("--only", action="append", default=[], metavar="KIND", help="only this kind; may be repeated")
    parser.add_argument("--workers", type=int, default=WORKERS, help="processes, of one thread each")
    parser.add_argument("--out", type=Path, default=OUT, help="where every outcome is written")
    options = parser.parse_args()
    # Before torch is loaded, here and in the workers: their threads would fight for the cores.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        measure_detection(options)
    except EntropylawError as error:
        say(f"detection: {error}")
        return error.exit_code
    return 0


def measure_detection(options: argparse.Namespace) -> None:
    """Run all trials that were not run before, print the tables and write the outcomes."""
    seeds = options.seeds or (SUBSET_SEEDS if options.subset else SEEDS)
    pools = load_pools(options.data, options.preferences, options.rows, options.team)
    trials = plan_trials(pools, SHARES, seeds, options.only)
    setup = make_setup(pools, options.team, say)
    waiting = [trial for trial in trials if setup.kept(trial) is None]
    minutes = sum(setup.seconds[trial.dataset] for trial in waiting) / 60
    say(
        f"{len(trials)} versions, {len(trials) - len(waiting)} of them assessed before; about {minutes:.0f} minutes of "
        f"one core ({setup.seconds[layout.SFT]:.1f} s for a version of conversations), {options.workers} at work"
    )
    start = time.perf_counter()
    with show_progress("versions") as progress:
        for done, _ in enumerate(run_trials(waiting, setup, options.workers), start=1):
            progress(done, len(waiting))
            # Without a terminal there is no progress bar, so print a line now and then.
            if done % 25 == 0 and not sys.stderr.isatty():
                say(f"{done} of {len(waiting)} versions, {time.perf_counter() - start:.0f} s")
    outcomes = [outcome for trial in trials if (outcome := setup.kept(trial)) is not None]
    benign = [outcome for outcome in outcomes if not outcome.trial.share]
    accidents = [outcome for outcome in outcomes if outcome.trial.share]
    for table in (tabulate_accidents(accidents), tabulate_benign(benign)):
        print("\n".join(table), end="\n\n")
    seconds = sorted(outcome.seconds for outcome in outcomes)
    say(f"median of {seconds[len(seconds) // 2]:.1f} s from a version's file to its verdict; outcomes: {options.out}")
    write_json(options.out, {"team": options.team, "setup": setup.folder.name, "outcomes": outcomes})


if __name__ == "__main__":
    sys.exit(main())
