"""Whether what a verdict rests on is whole: of this data, of this configuration, and of numbers only.

NaN is neither above nor below any limit, so a rule that meets it would find nothing. Measurements of other data would
be compared all the same. Both must end before any rule is asked.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.errors import NotAssessedError
from corpus.leaked_rows import LISTED_LEAKS
from corpus.records import data_hash
from corpus.row_facts import hashes_of
from monitor.measures.evidence import locate_probe_rows
from monitor.measures.row_table import content_keys

if TYPE_CHECKING:
    from corpus.leaked_rows import LeakReport
    from monitor.calibration.calibrate import Calibration
    from monitor.history import HistoryEntry
    from monitor.measures.evidence import Evidence

# Where nan says that a row, or a whole dataset, has no such value. It never stands for a value that was lost.
MAY_BE_NAN = {
    ("Evidence", "agreement"),  # rows whose prompt or answer is blank
    ("DatasetReference", "agreement_mean"),  # versions of such rows only
    ("DatasetReference", "agreement_sd"),
    ("RowTable", "loss"),  # rows that were not probed
    ("Evidence", "l"),  # measured without a base model; the rule `level` says so itself
    ("Measurements", "l"),
    ("Measurements", "c"),  # no row has both sides
}
# Kept in half precision, in which a row of 70,000 lines has an infinite number of them.
ANY_NUMBER = {("RowTable", "values")}
# agreement.npy keeps six decimals of each row's cosine, in single precision.
AGREEMENT_TOLERANCE = 1e-5
# No benign update of up to half of the rows moves ln R, or a mean cosine, by more than this, up or down: one ratio
# would be twice the other. On real data the changes are a hundredth of it.
MOST_BENIGN_CHANGE = math.log(2)
# An untrained model of 100,000 tokens has a loss of 11.5 nats. Benign updates and reruns move L by hundredths of a nat;
# where they move it by a nat, the runs did not measure the data.
MOST_BENIGN_NATS = 1.0


def require_sound(item: Evidence) -> None:
    """Raise NotAssessedError, naming the measurement, unless everything measured on a dataset is of its rows."""
    where = item.dataset
    _require_numbers(item, where)
    if item.data_hash != data_hash(hashes_of(item.records)):
        raise NotAssessedError(f"{where}: data_hash is that of other rows than the prepared ones; run `dvc repro`")
    for name, rows in (("compression", item.compression.rows), ("consistency", item.consistency.rows)):
        if rows != len(item.records):
            raise NotAssessedError(
                f"{where}: {name} was measured on {rows:,} rows, and {len(item.records):,} are prepared; "
                f"run `dvc repro --force {name}`"
            )
    if not _are_positive(item.compression.r, item.compression.r_long):
        raise NotAssessedError(f"{where}: R is not above 0; run `dvc repro --force compression`")
    _require_same_agreement(item)
    if item.leaks is not None:
        _require_whole_leaks(item.leaks, len(item.records), where)
    lengths = {len(item.probe_rows), len(item.probe_hashes), len(item.probe_losses)}
    if len(lengths) != 1:
        raise NotAssessedError(f"{where}: the probe's rows have no loss each; run `dvc repro --force probe`")
    locate_probe_rows(item)
    if item.second is not None and not np.isin(item.second.contents, content_keys(item.probe_hashes)).all():
        raise NotAssessedError(f"{where}: the second model read other rows; run `dvc repro --force probe`")
    if item.second is not None and not item.second.losses.size:
        raise NotAssessedError(f"{where}: the second model read no row; raise second_model.tokens and max_length")


def require_sound_entry(entry: HistoryEntry) -> None:
    """Raise NotAssessedError unless the version to compare with has numbers that can be compared with."""
    where = f"history: {entry.name}"
    _require_numbers(entry.datasets, where)
    _require_numbers(entry.measurements, where)
    for dataset, measured in entry.measurements.items():
        if not _are_positive(measured.r, measured.r_long, measured.rows):
            raise NotAssessedError(f"{where}: R and the rows of {dataset} are not above 0; restore it from Git")
    for dataset, reference in entry.datasets.items():
        if dataset in entry.measurements and entry.measurements[dataset].rows != reference.sketch.rows:
            raise NotAssessedError(
                f"{where}: {dataset} has {entry.measurements[dataset].rows:,} rows in one place and "
                f"{reference.sketch.rows:,} in another; restore it from Git"
            )


def require_plausible(calibration: Calibration, where: str = "calibration") -> None:
    """Raise NotAssessedError where a calibration calls changes normal that no benign update makes.

    With such spreads no rise of R or L would ever be too much.
    """
    again = "; run `dvc repro --force calibration`"
    _require_numbers(calibration, where)
    noise = calibration.noise_l
    if noise and (max(noise) - min(noise) > MOST_BENIGN_NATS or min(noise) < 0):
        raise NotAssessedError(
            f"{where}: noise_l goes from {min(noise):g} to {max(noise):g} nats, more than reruns of a probe do{again}"
        )
    for number, update in enumerate(calibration.updates):
        if not 0 < update.share <= 1:
            raise NotAssessedError(
                f"{where}: updates[{number}].share is {update.share:g}, not above 0 and up to 1{again}"
            )
    for name, most in (
        ("change_log_r", MOST_BENIGN_CHANGE),
        ("change_log_r_long", MOST_BENIGN_CHANGE),
        ("change_c", MOST_BENIGN_CHANGE),
        ("change_l", MOST_BENIGN_NATS),
    ):
        changes = [abs(change) for update in calibration.updates if (change := getattr(update, name)) is not None]
        # One row that is as long as all others together moves R that far, in the few updates that it is part of.
        if changes and statistics.median(changes) > most:
            raise NotAssessedError(
                f"{where}: half of the updates have a {name} of {statistics.median(changes):g} or more, and a benign "
                f"update changes {most:.2g} at most{again}"
            )


def _require_whole_leaks(leaks: LeakReport, rows: int, where: str) -> None:
    """The counts of near copies must be those of these rows, and of the rows that are listed."""
    again = "run `dvc repro --force prepare`"
    if leaks.rows != rows:
        found = f"near copies were looked for among {leaks.rows:,} rows, and {rows:,} are prepared"
        raise NotAssessedError(f"{where}: {found}; {again}")
    counts = (leaks.asked_only, *(count for one in leaks.sets.values() for count in (one.rows, one.too_short)))
    whole = len(leaks.listed) == min(leaks.leaked, LISTED_LEAKS) and leaks.leaked <= rows and min(counts) >= 0
    if not whole or any(row.set not in leaks.sets for row in leaks.listed):
        raise NotAssessedError(f"{where}: the near copies that prepare.json counts are not those it lists; {again}")


def _require_same_agreement(item: Evidence) -> None:
    """The agreement of single rows and C of the whole were measured together."""
    agreement = item.row_agreement
    if len(agreement) != len(item.records):
        raise NotAssessedError(
            f"{item.dataset}: agreement is of {len(agreement):,} rows; run `dvc repro --force consistency`"
        )
    known = agreement[~np.isnan(agreement)]
    mean = float(known.mean()) if known.size else math.nan
    same = known.size == item.consistency.measured and not abs(mean - item.consistency.agreement) > AGREEMENT_TOLERANCE
    if not same:
        raise NotAssessedError(
            f"{item.dataset}: C is not the mean of the rows' agreement: the two are of different runs; "
            "run `dvc repro --force consistency`"
        )


def _are_positive(*numbers: object) -> bool:
    return all(isinstance(number, (int, float)) and number > 0 for number in numbers)


def _require_numbers(value: object, where: str) -> None:
    for path in list_unsound(value):
        raise NotAssessedError(f"{where}: {path} is not a finite number; run `dvc repro`, or restore it from Git")


def list_unsound(value: Any, path: str = "", nan: bool = False) -> Iterator[str]:
    """The places in a value where a number is NaN or infinite and may not be. ``nan``: whether the value itself may be
    NaN.

    >>> from monitor.verdict import Measurements
    >>> list(list_unsound({"sft": Measurements(9, 2.5, math.inf, 5.1, 0.3, added_r_long=math.nan)}))
    ['sft.r_long', 'sft.added_r_long']
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = type(value).__name__
        for field in dataclasses.fields(value):
            place = (kind, field.name)
            if place not in ANY_NUMBER:
                yield from list_unsound(getattr(value, field.name), f"{path}.{field.name}", place in MAY_BE_NAN)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from list_unsound(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            # Records and hashes are many, and hold no numbers that a rule compares.
            if isinstance(item, (str, tuple)):
                break
            yield from list_unsound(item, f"{path}[{number}]", nan)
    elif isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and (np.isinf(value).any() or (not nan and np.isnan(value).any())):
            yield path.lstrip(".")
    elif isinstance(value, float) and (math.isinf(value) or (math.isnan(value) and not nan)):
        yield path.lstrip(".")
