"""One trial of the verdict: a version is made, goes through the stages of dvc.yaml, and is assessed.

A trial may be a run over many versions: then each is assessed, and accepted unless it is risky.

The baseline's own results, base model, calibration and history are made once, by the same stages. They are kept in
.entropylaw/ under a key of everything that they depend on: data, params.yaml and code.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.many_versions import DRIFT, HONEST, make_steps
from benchmarks.rival_checks import Profile, Reference, ask_rivals, measure_reference
from benchmarks.stages import MADE_ONCE, REPOSITORY, inside, read_stages, run_command
from corpus.artifacts import fingerprint, read_json, write_json
from corpus.errors import EntropylawError, NotAssessedError
from corpus.files import write_rows
from corpus.prepare import to_row
from corpus.records import Record, content_hash
from entropylaw.repository import layout
from monitor.power.accidents import ACCIDENTS, LOSSES, inject
from monitor.power.pool import UPDATED_SHARE, Pool, replace_rows
from monitor.power.updates import make_honest

CACHE = REPOSITORY / ".entropylaw" / "benchmarks" / "detection"
# The code that the results of a set-up depend on; those of a trial depend on the accidents and updates too.
SETUP_CODE = (
    *(
        "corpus",
        "training",
        "monitor",
        "entropylaw/measure.py",
        "entropylaw/verdict.py",
        "entropylaw/repository/results.py",
    ),
    *("dvc.yaml", "params.yaml", "benchmarks/pools.py", "benchmarks/rival_checks.py", "benchmarks/trials.py"),
)
TRIAL_CODE = ("monitor/power", "benchmarks/many_versions.py")

# From so many benign updates the rivals learn what is usual; no trial has the same seeds.
REFERENCE_UPDATES = 20
REFERENCE_SEED = 1_000_000
# How many of the rows that a verdict names are checked for damage.
NAMED_ROWS = 50

Say = Callable[[str], None]


@dataclass(frozen=True)
class Trial:
    """A version to be assessed.

    ``name``: of an accident, a loss, an honest update, or a run over many versions. ``share``: of the rows that an
    accident damages, 1 for all that it can damage; of a drift, in each version; 0 for all else. ``expected``: the
    verdict that is right; "warn" of an honest update means that `pass` is as right.
    """

    name: str
    dataset: str
    share: float
    seed: int
    expected: Literal["pass", "warn", "risky"] = "risky"


@dataclass(frozen=True)
class Outcome:
    """What came of a trial; of a run over many versions, what came of the last of them.

    ``team``: whose data, model and calibration it was. ``status``: the verdict's, or "refused" where `prepare` did not
    accept the version. ``rules``: the verdict's, without their reasons. ``named``: how many of the rows that the
    verdict names were checked; ``named_damaged`` of them are damaged. ``rivals``: whether each of them raised an alarm;
    empty of a run. ``seconds`` and ``cpu_seconds``: from the version's file to its verdict, the second of the process
    and its children; of a run, the mean of its versions. ``steps``: of a run, status, rules, share of damaged rows
    and accident of each version assessed.
    """

    trial: Trial
    team: int
    status: str
    rules: tuple[dict[str, Any], ...]
    named: int
    named_damaged: int
    rivals: dict[str, bool]
    seconds: float
    cpu_seconds: float
    steps: tuple[dict[str, Any], ...] = ()

    def fired(self) -> list[str]:
        """The rules that warn, stop, or could not be applied, each once."""
        alarms = ("warn", "risky", "not_assessed")
        return list(dict.fromkeys(rule["id"] for rule in self.rules if rule["status"] in alarms))


@dataclass(frozen=True)
class Setup:
    """What all trials start from.

    ``folder``: a repository whose first version is accepted. ``seconds``: CPU time of one trial, by dataset.
    ``trial_code``: identity of the code and the rows that only the outcomes of trials depend on.
    """

    folder: Path
    pools: dict[str, Pool]
    references: dict[str, Reference]
    team: int
    seconds: dict[str, float]
    trial_code: str

    def outcome_file(self, trial: Trial) -> Path:
        """The file in which the outcome of a trial is kept."""
        words = "".join(c if c.isalnum() else " " for c in f"{trial.dataset} {trial.name}").split()
        name = "-".join([*words, f"{trial.share:g}", str(trial.seed)])
        return self.folder / "outcomes" / self.trial_code / f"{name}.json"

    def answers_file(self, trial: Trial) -> Path:
        """The file of what a rival said of a trial that does not run beside it."""
        return self.outcome_file(trial).with_suffix(".rivals.json")

    def kept(self, trial: Trial) -> Outcome | None:
        """The outcome of a trial that the same code ran before; None if it was not run."""
        file = self.outcome_file(trial)
        if not file.exists():
            return None
        stored = read_json(file)
        lists = {key: tuple(stored[key]) for key in ("rules", "steps")}
        answers = self.answers_file(trial)
        if answers.exists():
            stored["rivals"] |= read_json(answers)
        return Outcome(**{**stored, **lists, "trial": Trial(**stored["trial"])})


def keep_answers(setup: Setup, trial: Trial, answers: dict[str, bool]) -> None:
    """Keep what a rival that does not run beside the trial said of its version."""
    write_json(setup.answers_file(trial), answers)


def hash_code(paths: Iterable[str]) -> str:
    """BLAKE2b of the program files below these paths of the repository."""
    digest = hashlib.blake2b(digest_size=8)
    for name in paths:
        path = REPOSITORY / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()


def make_setup(pools: dict[str, Pool], team: int, say: Say) -> Setup:
    """Make the set-up of these pools, or take it from the cache."""
    baselines = {dataset: [content_hash(record) for record in pool.baseline] for dataset, pool in pools.items()}
    folder = CACHE / fingerprint([baselines, team, hash_code(SETUP_CODE)])
    done = folder / "setup.json"
    if not done.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        say("set-up: the first version, its base model and calibration (a few minutes, once)")
        seconds = make_first_version(folder, pools)
        say("set-up: what benign updates look like to the rivals")
        references = {}
        for dataset, pool in pools.items():
            start = time.process_time()
            references[dataset] = make_reference(pool, team)
            seconds[dataset] += (time.process_time() - start) / REFERENCE_UPDATES
        write_json(done, {"references": references, "seconds": seconds})
    stored = read_json(done)
    references = {
        dataset: Reference(**{**reference, "profile": Profile(**reference["profile"])})
        for dataset, reference in stored["references"].items()
    }
    trial_code = fingerprint([hash_code(TRIAL_CODE), {dataset: hash_rows(pool) for dataset, pool in pools.items()}])
    return Setup(folder, pools, references, team, stored["seconds"], trial_code)


def hash_rows(pool: Pool) -> str:
    """BLAKE2b of all rows of a pool with their sources, from which its versions are made."""
    digest = hashlib.blake2b(digest_size=8)
    for rows in (pool.baseline, pool.fresh, *pool.novel.values(), pool.new_source):
        for record in rows:
            digest.update(f"{content_hash(record)} {record.source}\n".encode())
        digest.update(b"\n")
    return digest.hexdigest()


def make_first_version(folder: Path, pools: dict[str, Pool]) -> dict[str, float]:
    """Run every stage on the baselines and accept them as first version; the CPU seconds that each dataset took."""
    # A repository of its own: else commands would enter the pipeline of the one that the cache lies in.
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    write_params(folder, list(pools))
    seconds = dict.fromkeys(pools, 0.0)
    write_version(folder / layout.BASELINE, pools[layout.SFT].baseline)
    write_version(folder / layout.HELDOUT, pools[layout.SFT].held_out)
    for dataset, pool in pools.items():
        write_version(folder / data_file(dataset), pool.baseline)
    with inside(folder):
        for stage, of, command in read_stages({dataset: str(data_file(dataset)) for dataset in pools}):
            start = time.process_time()
            run_command(command)
            for dataset in pools:
                if stage not in MADE_ONCE and of in (None, dataset):
                    seconds[dataset] += time.process_time() - start
        run_command("entropylaw accept --name x1")
    return seconds


def write_params(folder: Path, datasets: Sequence[str]) -> None:
    """Write the shipped params.yaml with these datasets."""
    from ruamel.yaml import YAML

    yaml = YAML()
    params = yaml.load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    params["datasets"] = {dataset: str(data_file(dataset)) for dataset in datasets}
    with (folder / "params.yaml").open("w", encoding="utf-8") as handle:
        yaml.dump(params, handle)


def data_file(dataset: str) -> Path:
    """The data file of a dataset, relative to the repository."""
    return layout.DATA / f"{dataset}.jsonl"


def write_version(path: Path, records: Sequence[Record]) -> None:
    """Write records as prepared rows, numbered anew."""
    numbered = (replace(record, row=number) for number, record in enumerate(records, start=1))
    write_rows(path, (to_row(record, content_hash(record)) for record in numbered))


def make_reference(pool: Pool, team: int) -> Reference:
    """What the rivals compare versions of this pool with."""
    updates = [
        replace_rows(pool.baseline, pool.fresh, UPDATED_SHARE, np.random.default_rng([team, REFERENCE_SEED + k]))[0]
        for k in range(REFERENCE_UPDATES)
    ]
    return measure_reference(pool.baseline, updates)


def make_version(trial: Trial, pool: Pool, team: int) -> tuple[Sequence[Record], frozenset[int]]:
    """The version's records and the numbers of its damaged rows.

    All accidents of a seed happen on top of the same random update; losses happen to the rows of the first version.
    """
    rng = np.random.default_rng([team, trial.seed])
    for loss in LOSSES:
        if loss.name == trial.name:
            return loss.keep(pool.baseline, rng), frozenset()
    if not trial.share:
        return make_honest(trial.name, pool, rng), frozenset()
    (accident,) = [accident for accident in ACCIDENTS if accident.name == trial.name]
    updated, spare = replace_rows(pool.baseline, pool.fresh, UPDATED_SHARE, rng)
    damaged = inject(updated, accident, trial.share, np.random.default_rng([team, trial.seed, 1]), spare)
    return damaged.records, damaged.rows


def run_trial(trial: Trial, setup: Setup) -> None:
    """From a version's file to its verdict, in a folder of its own; the outcome is kept for ``Setup.kept``."""
    write_json(setup.outcome_file(trial), assess_trial(trial, setup))


def assess_trial(trial: Trial, setup: Setup) -> Outcome:
    """Make the version of a trial in a folder of its own, or all versions of a run, and have them assessed."""
    if trial.name in (DRIFT, HONEST):
        return assess_run(trial, setup)
    pool = setup.pools[trial.dataset]
    records, damaged = make_version(trial, pool, setup.team)
    with tempfile.TemporaryDirectory(dir=setup.folder) as temporary:
        folder = Path(temporary)
        link_setup(folder, setup, trial.dataset)
        outcome = assess_version(trial, setup, folder, records, damaged)
    return replace(outcome, rivals=ask_rivals(records, pool.baseline, setup.references[trial.dataset]))


def assess_run(trial: Trial, setup: Setup) -> Outcome:
    """Assess the versions of a run, one after the other, and accept each, until one is not to be accepted."""
    steps: list[dict[str, Any]] = []
    seconds, cpu_seconds = [], []
    with tempfile.TemporaryDirectory(dir=setup.folder) as temporary:
        folder = Path(temporary)
        link_setup(folder, setup, trial.dataset)
        # Every run goes on with a history of its own.
        (folder / layout.HISTORY).unlink()
        shutil.copytree(setup.folder / layout.HISTORY, folder / layout.HISTORY)
        for version, step in enumerate(make_steps(trial.name, setup.pools[trial.dataset], setup.team, trial.seed), 2):
            outcome = assess_version(trial, setup, folder, step.records, step.damaged)
            facts = {"damaged_share": step.damaged_share, "accident": step.accident}
            steps.append({"status": outcome.status, "rules": outcome.fired(), **facts})
            seconds.append(outcome.seconds)
            cpu_seconds.append(outcome.cpu_seconds)
            if outcome.status not in ("pass", "warn"):
                break
            with inside(folder):
                run_command(f"entropylaw accept --name x{version}")
    return replace(
        outcome, steps=tuple(steps), seconds=float(np.mean(seconds)), cpu_seconds=float(np.mean(cpu_seconds))
    )


def assess_version(
    trial: Trial, setup: Setup, folder: Path, records: Sequence[Record], damaged: frozenset[int]
) -> Outcome:
    """Write a version into a folder and have it assessed there; the outcome is without the rivals' answers."""
    file = folder / data_file(trial.dataset)
    write_version(file, records)
    start, cpu_start = time.perf_counter(), count_cpu_seconds()
    status, verdict = measure_and_assess(folder, trial.dataset, list(setup.pools))
    seconds, cpu_seconds = time.perf_counter() - start, count_cpu_seconds() - cpu_start
    named = list(dict.fromkeys(row["row"] for row in verdict["rows"] if row["dataset"] == trial.dataset))[:NAMED_ROWS]
    return Outcome(
        trial=trial,
        team=setup.team,
        status=status,
        rules=tuple({key: value for key, value in rule.items() if key != "reason"} for rule in verdict["rules"]),
        named=len(named),
        named_damaged=len(damaged.intersection(named)),
        rivals={},
        seconds=seconds,
        cpu_seconds=cpu_seconds,
    )


def count_cpu_seconds() -> float:
    """CPU seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def link_setup(folder: Path, setup: Setup, changed: str) -> None:
    """Link all that the set-up made into ``folder``, except for the dataset that this version changes."""
    shared = [Path("params.yaml"), layout.HELDOUT, layout.MODELS, layout.HISTORY, layout.CALIBRATION]
    for dataset in setup.pools:
        if dataset != changed:
            shared += [layout.prepared(dataset), layout.RESULTS / dataset]
    for path in shared:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(setup.folder / path)


def measure_and_assess(folder: Path, changed: str, datasets: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Run the stages of one version; its status and its verdict, which is empty where there is none."""
    nothing: dict[str, Any] = {"rules": [], "rows": []}
    with inside(folder):
        for stage, dataset, command in read_stages({name: str(data_file(name)) for name in datasets}):
            if stage in MADE_ONCE or dataset not in (None, changed):
                continue
            try:
                run_command(command)
            except NotAssessedError:
                return "not_assessed", nothing
            except EntropylawError:
                if stage != "prepare":
                    raise
                return "refused", nothing
        verdict: dict[str, Any] = read_json(layout.VERDICT)
    return verdict["status"], verdict
