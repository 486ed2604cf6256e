"""Runs over many versions: each follows the one before it, is assessed against it, and is accepted unless it is risky.

*Drift* damages one row in a hundred more in each version, on top of an honest update: no step is large, and in the end
a tenth of the rows is damaged. *Ten honest versions* are the same updates with nothing wrong in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from corpus.errors import EntropylawError
from corpus.records import Record
from monitor.power.accidents import ACCIDENTS, Accident, can_happen, inject
from monitor.power.pool import Pool, replace_rows

DRIFT, HONEST = "drift", "ten honest versions"
VERSIONS = 10
# Each version has so many fresh rows in place of others. Ten such updates take half of the baseline's number of rows.
STEP_SHARE = 0.05
# So many rows more are damaged in each version; each update removes a twentieth of those of the versions before.
DRIFT_SHARE = 0.01
# What drifts, by seed. Accidents that cannot happen to the data are passed over.
DRIFTING = (
    "truncated answers",
    "answers lower-cased",
    "HTML entities",
    "answers cut at 60%",
    "boilerplate answers",
    "template tokens",
    "literal line breaks",
    "answers swapped",
)


@dataclass(frozen=True)
class Step:
    """A version of a run.

    ``damaged``: the numbers, from 1, of its damaged rows, of this step and of those before. ``accident``: what damaged
    them; "" where nothing did.
    """

    records: tuple[Record, ...]
    damaged: frozenset[int]
    accident: str

    @property
    def damaged_share(self) -> float:
        return len(self.damaged) / len(self.records)


def run_kinds(pool: Pool) -> tuple[str, ...]:
    """The runs that the data has fresh rows enough for."""
    needed = VERSIONS * round(STEP_SHARE * len(pool.baseline))
    return (DRIFT, HONEST) if len(pool.fresh) >= needed else ()


def drifting_accident(pool: Pool, seed: int) -> Accident:
    """The accident that a drift of this seed consists of."""
    by_name = {accident.name: accident for accident in ACCIDENTS}
    # Ten steps have to find a tenth of the rows: as many as this can be damaged, with some to spare.
    share = 2 * VERSIONS * DRIFT_SHARE
    possible = [name for name in DRIFTING if can_happen(by_name[name], share, pool.baseline, pool.fresh)]
    if not possible:
        raise EntropylawError("drift: none of its accidents can happen to these rows")
    return by_name[possible[seed % len(possible)]]


def make_steps(name: str, pool: Pool, team: int, seed: int) -> Iterator[Step]:
    """The versions of a run, one after the other; ``name``: DRIFT or HONEST.

    Both runs of a seed have the same honest updates.
    """
    rng = np.random.default_rng([team, seed, 2])
    accident = drifting_accident(pool, seed) if name == DRIFT else None
    # Each row with whether it is damaged.
    rows, fresh = ([(record, False) for record in records] for records in (pool.baseline, pool.fresh))
    for version in range(1, VERSIONS + 1):
        rows, fresh = replace_rows(rows, fresh, STEP_SHARE, rng)
        if accident:
            places = [i for i, (_, damaged) in enumerate(rows) if not damaged]
            share = DRIFT_SHARE * len(rows) / len(places)
            spare = [record for record, _ in fresh]
            damage_rng = np.random.default_rng([team, seed, 3, version])
            after = inject([rows[i][0] for i in places], accident, share, damage_rng, spare)
            for row in after.rows:
                rows[places[row - 1]] = after.records[row - 1], True
        damaged_rows = frozenset(number for number, (_, damaged) in enumerate(rows, start=1) if damaged)
        yield Step(tuple(record for record, _ in rows), damaged_rows, accident.name if accident else "")
