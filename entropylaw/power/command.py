"""The command `power`: which accidents this gate would stop, warn of or miss on this data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from corpus.errors import EntropylawError, NotAssessedError
from entropylaw.options import AsJson
from entropylaw.printing import note
from entropylaw.repository import layout
from entropylaw.terminal import print_result, show_progress

if TYPE_CHECKING:
    from entropylaw.power.bench import PowerBench
    from entropylaw.repository.setting import Setting
    from monitor.power.outcomes import Outcome, PowerResult

# Of larger versions so many rows are taken: more rows only add to what a gate can see, and each version takes longer.
MOST_ROWS = 10_000


def power(
    shares: Annotated[str, typer.Option(help="Per cent of the rows that an accident damages.")] = "2,5,10",
    all: Annotated[bool, typer.Option("--all", help="Every kind of accident and update, not only the usual.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="Only this kind; may be repeated. Writes no file.", show_default=False),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes.", min=1, show_default="the cores; 1 with a pretrained base model"),
    ] = None,
    rows: Annotated[int, typer.Option(help="Of a larger version, take so many rows.", min=200)] = MOST_ROWS,
    seed: Annotated[int, typer.Option(help="Another seed damages other rows.", min=0)] = 0,
    json: AsJson = False,
) -> None:
    """Say which accidents this gate would stop, warn of or miss on this data, before one happens.

    It takes the version that was prepared last, best the one that was accepted last, and holds back a fifth of its rows
    as fresh ones. Each accident damages a share of the rows on top of an ordinary update, and is judged against the
    rest by the base model, calibration and rules that are here; so are benign updates. The data is not touched. A run
    that was stopped goes on where it was; results/power.json holds every outcome, and `entropylaw report` shows it.

    Example: entropylaw power --workers 2
    """
    from corpus.artifacts import write_json
    from entropylaw.repository.setting import load_setting
    from reports.power import render_power
    from training.fine_tuning import quiet_libraries

    damaged = parse_shares(shares)
    require_version()
    setting = load_setting()
    quiet_libraries()
    result = measure_power(setting, damaged, all, only or (), workers, rows, seed)
    if not only:
        write_json(layout.POWER, result)
    print_result(result, json, render_power(result))


def parse_shares(text: str) -> tuple[float, ...]:
    """Per cents as shares, the smallest first.

    >>> parse_shares("10, 2%")
    (0.02, 0.1)
    """
    try:
        shares = {round(float(part.strip().removesuffix("%")) / 100, 6) for part in text.split(",")}
    except ValueError:
        shares = set()
    if not shares or not all(0 < share <= 0.5 for share in shares):
        raise EntropylawError(f"--shares: expected per cents up to 50, such as 2,5,10, found {text!r}")
    return tuple(sorted(shares))


def require_version() -> None:
    """Raise NotAssessedError unless the prepared rows and all that they are judged by are here."""
    from entropylaw.repository.datasets import read_datasets
    from entropylaw.repository.missing_outputs import name_remedy

    wanted = [(layout.prepared(dataset), "prepare") for dataset in read_datasets()]
    for path, stage in (*wanted, (layout.BASE_MODEL, "base_model"), (layout.CALIBRATION, "calibration")):
        if not path.exists():
            raise NotAssessedError(f"{path}: not here; run {name_remedy(path, stage)}")


def measure_power(
    setting: Setting,
    shares: Sequence[float],
    everything: bool,
    only: Sequence[str],
    workers: int | None,
    most: int,
    seed: int,
) -> PowerResult:
    """Judge every trial that was not judged before, and gather what came of them all."""
    from corpus.records import data_hash
    from corpus.row_facts import hashes_of
    from corpus.stored_rows import StoredRows
    from entropylaw.power.bench import BenchOptions, PowerBench
    from entropylaw.power.kept import find_outcome, keep_outcome, kept_folder
    from entropylaw.power.processes import choose_workers, run_trials
    from monitor.measures.evidence import version_hash
    from monitor.power.trials import plan_trials

    stored = {dataset: StoredRows(layout.prepared(dataset)) for dataset in setting.datasets}
    version = version_hash({dataset: data_hash(hashes_of(rows)) for dataset, rows in stored.items()})
    options = BenchOptions(seed, most, kept_folder(setting, version, seed, most))
    bench = PowerBench(setting, options)
    trials = plan_trials(bench.pools, shares, seed, everything, only)
    kept = {trial: find_outcome(options.folder, trial) for trial in trials}
    waiting = [trial for trial in trials if kept[trial] is None]
    done = len(trials) - len(waiting)
    if waiting:
        processes = choose_workers(workers, len(waiting))
        before = f", {done} of them judged before," if done else ""
        note(f"power: {len(trials)} versions{before} to judge; {processes} at a time")
        try:
            with show_progress("power") as progress:
                progress(done, len(trials))
                bench.prepare_parent()
                for trial, outcome in run_trials(waiting, bench, setting, options, processes):
                    keep_outcome(options.folder, trial, outcome)
                    kept[trial] = outcome
                    progress(done := done + 1, len(trials))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped; {done} of {len(trials)} versions are judged and kept") from None
    outcomes = tuple(outcome for outcome in kept.values() if outcome is not None)
    sizes = {dataset: len(rows) for dataset, rows in stored.items()}
    return gather(setting, bench, version, sizes, seed, outcomes)


def gather(
    setting: Setting,
    bench: PowerBench,
    data_hash: str,
    sizes: dict[str, int],
    seed: int,
    outcomes: tuple[Outcome, ...],
) -> PowerResult:
    """All outcomes with their rates, and what they mean in words."""
    from entropylaw import __version__
    from entropylaw.repository.power_results import fingerprint_gate
    from monitor.history import find_own, read_history
    from monitor.power.outcomes import PowerDataset, PowerResult, count_rates, summarise_outcomes

    configuration = setting.configuration.fingerprint()
    own = find_own(read_history(layout.HISTORY), configuration, data_hash)
    return PowerResult(
        version=own.name if own else data_hash[:8],
        data_hash=data_hash,
        accepted=own is not None,
        datasets={
            dataset: PowerDataset(sizes[dataset], len(pool.baseline), len(pool.fresh))
            for dataset, pool in bench.pools.items()
        },
        seed=seed,
        config_fingerprint=configuration,
        gate_fingerprint=fingerprint_gate(setting.calibration, setting.rules),
        tool_version=__version__,
        summary=summarise_outcomes(outcomes),
        rates=count_rates(outcomes),
        outcomes=outcomes,
    )
