"""The verdict's error rates on real data with injected accidents and honest updates, beside those of other checks.

    python -m benchmarks.detection                                    # three teams, one seed each
    python -m benchmarks.detection --subset                           # one team, accidents at 10%, no runs
    python -m benchmarks.detection --data my.jsonl                    # the same on your conversations
    python -m benchmarks.detection --name mixture --data chit-chat:900 --data maths.jsonl.gz:600 --new-source tools.json

Without --data it takes 1,600 conversations of chitchat-dataset, and 1,000 preference pairs made from their ratings.
Every version is written to a file and goes through the stages of dvc.yaml, with the shipped params.yaml, to its verdict
against the first version; in runs over many versions, against the version before. A team has rows, a base model and a
calibration of its own. These are made once and kept in .entropylaw/ with every outcome, so an interrupted run goes on
where it stopped. Prints the tables of one corpus as Markdown and writes every outcome as JSON.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.corpora import load_pools, name_corpus, parse_part
from benchmarks.detection_tables import tabulate_goals, tabulate_kinds, tabulate_runs
from benchmarks.evidently_check import ask_evidently
from benchmarks.many_versions import DRIFT, DRIFT_SHARE, HONEST, run_kinds
from benchmarks.trials import CACHE, Outcome, Setup, Trial, make_setup, run_trial
from corpus.artifacts import write_json
from corpus.errors import EntropylawError
from corpus.formats import Kind
from entropylaw.repository import layout
from entropylaw.terminal import show_progress
from monitor.power.accidents import ACCIDENTS, LOSSES, can_happen, sources_to_lose
from monitor.power.pool import Pool
from monitor.power.updates import honest_updates

KINDS: dict[str, Kind] = {layout.SFT: "conversations", layout.PREFERENCES: "preferences"}
SHARES = (0.02, 0.05, 0.1)
SUBSET_SHARES = (0.1,)
TEAMS = 3
SEEDS = 1
WORKERS = 2
ROWS = 1600


# --- what is run ---------------------------------------------------------------------------------------------------


def plan_trials(
    pools: dict[str, Pool], shares: Sequence[float], seeds: int, only: Sequence[str], runs: bool = True
) -> list[Trial]:
    """Every honest update, every loss, every accident at every share, and the runs, for each seed; ordered by seed.

    Accidents that cannot happen to these rows are left out, such as line breaks lost where there are none. ``only``:
    names of kinds; empty for all of them, without the runs over many versions unless ``runs``.
    """
    kinds = [kind for dataset, pool in pools.items() for kind in _list_kinds(dataset, pool, shares)]
    unknown = set(only) - {trial.name for trial in kinds}
    if unknown:
        known = ", ".join(dict.fromkeys(trial.name for trial in kinds))
        raise EntropylawError(f"no such kind: {', '.join(sorted(unknown))}; known are: {known}")
    return [
        Trial(kind.name, kind.dataset, kind.share, seed, kind.expected)
        for seed in range(seeds)
        for kind in kinds
        if kind.name in only or (not only and (runs or kind.name not in (DRIFT, HONEST)))
    ]


def _list_kinds(dataset: str, pool: Pool, shares: Sequence[float]) -> list[Trial]:
    """All kinds that can happen to a dataset, as trials of seed 0."""
    kind = KINDS[dataset]
    kinds = [Trial(update.name, dataset, 0.0, 0, update.expected) for update in honest_updates(kind, pool)]
    if kind == "conversations":
        can_lose = bool(sources_to_lose(pool.baseline))
        losses = [loss for loss in LOSSES if can_lose or loss.name != "source lost"]
        kinds += [Trial(loss.name, dataset, 0.0, 0, loss.expected) for loss in losses]
    for accident in ACCIDENTS:
        for share in (1.0,) if accident.every_row else shares:
            if accident.kind == kind and can_happen(accident, share, pool.baseline, pool.fresh):
                kinds.append(Trial(accident.name, dataset, share, 0, accident.expected))
    if kind == "conversations":
        for name in run_kinds(pool):
            drifts = name == DRIFT
            kinds.append(Trial(name, dataset, DRIFT_SHARE if drifts else 0.0, 0, "risky" if drifts else "pass"))
    return kinds


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


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        action="append",
        default=[],
        metavar="FILE[:ROWS]",
        help="conversations in any accepted format, or the word chit-chat; may be repeated, for a mixture",
    )
    parser.add_argument("--name", help="the corpus' name in what is printed and written")
    parser.add_argument("--preferences", type=Path, help="preference pairs to go with --data")
    parser.add_argument("--new-source", type=Path, help="conversations of a source that the corpus does not have")
    parser.add_argument("--rows", type=int, default=ROWS, help="conversations of the first version")
    parser.add_argument(
        "--team", type=int, default=0, help="the first team; another has other data, model, calibration"
    )
    parser.add_argument("--teams", type=int, help=f"so many teams, {TEAMS} where nothing is said")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="versions of each kind and share, for each team")
    parser.add_argument("--shares", type=float, action="append", help="damage this share of the rows; may be repeated")
    parser.add_argument("--subset", action="store_true", help="one team, accidents at 10%%, no runs over many versions")
    parser.add_argument("--only", action="append", default=[], metavar="KIND", help="only this kind; may be repeated")
    parser.add_argument("--evidently", type=Path, metavar="PYTHON", help="of an environment that has Evidently")
    parser.add_argument("--workers", type=int, default=WORKERS, help="processes, of one thread each")
    parser.add_argument("--out", type=Path, help="where every outcome is written")
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
    """Run all trials that were not run before, team by team, print the tables and write the outcomes."""
    parts = [parse_part(text) for text in options.data]
    name = options.name or name_corpus(parts)
    teams = range(options.team, options.team + (options.teams or (1 if options.subset else TEAMS)))
    shares = options.shares or (SUBSET_SHARES if options.subset else SHARES)
    outcomes: list[Outcome] = []
    for team in teams:
        pools = load_pools(parts, options.preferences, options.new_source, options.rows, team)
        trials = plan_trials(pools, shares, options.seeds, options.only, runs=not options.subset)
        setup = make_setup(pools, team, say)
        measure_team(trials, setup, options.workers)
        if options.evidently:
            asked = [t for t in trials if t.name not in (DRIFT, HONEST) and not setup.answers_file(t).exists()]
            with show_progress("Evidently") as progress:
                for done, _ in enumerate(ask_evidently(options.evidently, setup, asked), start=1):
                    progress(done, len(asked))
        outcomes += [outcome for trial in trials if (outcome := setup.kept(trial)) is not None]
    print(f"## {name}: {len(teams)} team(s), {options.seeds} seed(s) each, {len(outcomes)} trials", end="\n\n")
    for table in (tabulate_goals(outcomes), tabulate_runs(outcomes), tabulate_kinds(outcomes)):
        if table:
            print("\n".join(table), end="\n\n")
    out = options.out or CACHE.parent / f"detection-{'-'.join(name.split())}.json"
    write_json(out, {"corpus": name, "teams": list(teams), "outcomes": outcomes})
    say(f"outcomes: {out}")


def measure_team(trials: Sequence[Trial], setup: Setup, workers: int) -> None:
    """Run the trials of one team that were not run before."""
    waiting = [trial for trial in trials if setup.kept(trial) is None]
    seconds = setup.seconds[layout.SFT]
    say(
        f"team {setup.team}: {len(trials)} trials, {len(trials) - len(waiting)} of them run before; {seconds:.1f} s of "
        f"CPU for a version of conversations, {workers} at work"
    )
    start = time.perf_counter()
    with show_progress("versions") as progress:
        for done, _ in enumerate(run_trials(waiting, setup, workers), start=1):
            progress(done, len(waiting))
            # Without a terminal there is no progress bar, so print a line now and then.
            if done % 25 == 0 and not sys.stderr.isatty():
                say(f"{done} of {len(waiting)} trials, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
