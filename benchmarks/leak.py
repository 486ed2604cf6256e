"""What the rule `leak` finds and what it takes for a leak by mistake, on real data, as a table.

Found: a version with a hundredth of its rows leaked from the held-out rows, said again in one of several ways.
Mistaken: honest updates of the same corpus, whose held-out rows are other rows of it.

    python -m benchmarks.leak --data chit-chat --data gsm8k_train.jsonl.gz
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.corpora import CHIT_CHAT, Part, parse_part, read_part
from benchmarks.rephrased_rows import REPHRASINGS, list_words, rephrase
from corpus.leaked_rows import LeakReport
from corpus.records import HashedRecord, Record, content_hash
from entropylaw.repository.evaluation_sets import to_evaluation_row
from monitor.measures.leak_counts import LeakCounts, count_leaks
from monitor.measures.leak_index import EvaluationSet, build_index
from monitor.measures.leaks import find_leaks
from monitor.measures.row_sketch import RowSketch
from monitor.measures.row_split import split_rows
from monitor.rule_params import RuleParams
from monitor.rules.drafts import decide_status
from monitor.rules.leak import judge_counts
from monitor.rules.significance import correct_for_choice

ROWS, HELD_OUT, LEAKED_SHARE, UPDATED_SHARE = 2000, 200, 0.01, 0.1
UPDATES = 20
# As many tests as Holm's correction counts in a version of one dataset, at most.
TESTS = 20


@dataclass
class Tally:
    """Of some versions: leaked rows, those long enough to be looked for, those found; statuses of the rule."""

    leaked: int = 0
    long_enough: int = 0
    found: int = 0
    mistaken: int = 0
    statuses: Counter[str] | None = None

    def add(self, status: str) -> None:
        self.statuses = self.statuses or Counter()
        self.statuses[status] += 1


def make_versions(
    records: Sequence[Record], rng: np.random.Generator
) -> tuple[list[Record], list[Record], list[Record], list[Record]]:
    """Held-out rows, the rows of a parent that an update keeps, those that it removes, and fresh ones."""
    rows = min(ROWS, round((len(records) - HELD_OUT) / (1 + UPDATED_SHARE)))
    drawn = [records[i] for i in rng.permutation(len(records)).tolist()]
    held, rest = drawn[:HELD_OUT], drawn[HELD_OUT:]
    changed = round(UPDATED_SHARE * rows)
    return held, rest[: rows - changed], rest[rows - changed : rows], rest[rows : rows + changed]


def judge(held: EvaluationSet, parent: Sequence[Record], version: Sequence[Record]) -> tuple[LeakReport, str]:
    """What is found in a version, and what the rule says of it."""
    hashed = [HashedRecord(replace(row, row=i), content_hash(row)) for i, row in enumerate(version, start=1)]
    report = find_leaks(hashed, [held])
    split = split_rows([row_hash for _, row_hash in hashed], RowSketch.of([content_hash(row) for row in parent]))
    counts: LeakCounts = count_leaks(hashed, split, report)
    p_value, effect = judge_counts(counts, counts.added / len(version))
    params = RuleParams()
    return report, decide_status(correct_for_choice(p_value, TESTS), effect, params.leak_share, params)


def measure_corpus(records: Sequence[Record], updates: int) -> dict[str, Tally]:
    """The tallies of honest updates, and of leaks by how they are said."""
    tallies = {name: Tally() for name in ("honest", *REPHRASINGS)}
    for seed in range(updates):
        rng = np.random.default_rng(seed)
        held, kept, gone, fresh = make_versions(records, rng)
        of_test = EvaluationSet("held out", [to_evaluation_row(row, i) for i, row in enumerate(held)])
        parent = [*kept, *gone]
        report, status = judge(of_test, parent, [*kept, *fresh])
        tallies["honest"].mistaken += report.leaked
        tallies["honest"].add(status)
        index = build_index([of_test])
        known = {row.number for row in index.rows} if index else set()
        words = list_words(kept, rng)
        for name, how in REPHRASINGS.items():
            chosen = rng.permutation(len(held))[: round(LEAKED_SHARE * len(parent))].tolist()
            leaked = [rephrase(held[i], how, rng, words) for i in chosen]
            others = [*kept, *fresh[: len(fresh) - len(leaked)]]
            report, status = judge(of_test, parent, [*others, *leaked])
            hit = {(row.row - len(others) - 1, row.set_row) for row in report.listed}
            tally = tallies[name]
            tally.leaked += len(chosen)
            tally.long_enough += sum(i in known for i in chosen)
            tally.found += sum((place, i) in hit for place, i in enumerate(chosen))
            tally.add(status)
    return tallies


def describe(name: str, tallies: dict[str, Tally]) -> list[str]:
    """The rows of the table of one corpus."""
    lines = []
    for how, tally in tallies.items():
        statuses = ", ".join(f"{count} {status}" for status, count in sorted((tally.statuses or Counter()).items()))
        if how == "honest":
            lines.append(f"| {name} | honest update | | {tally.mistaken} rows mistaken | {statuses} |")
        else:
            of_long = tally.found / max(1, tally.long_enough)
            of_all = tally.found / max(1, tally.leaked)
            lines.append(f"| {name} | {how} | {of_long:.1%} | {of_all:.1%} | {statuses} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", type=parse_part, help="chit-chat or a file; several times")
    parser.add_argument("--updates", type=int, default=UPDATES)
    chosen = parser.parse_args()
    print("| corpus | leaked rows | found, of those long enough | found, of all | versions |\n|---|---|---|---|---|")
    for part in chosen.data or [Part(None)]:
        records = list({content_hash(record): record for record in read_part(part)}.values())
        begun = time.process_time()
        tallies = measure_corpus(records, chosen.updates)
        print("\n".join(describe(CHIT_CHAT if part.file is None else part.name, tallies)), flush=True)
        print(f"<!-- {part.name}: {time.process_time() - begun:.0f} CPU seconds -->", flush=True)


if __name__ == "__main__":
    main()
