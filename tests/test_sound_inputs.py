"""Calibrations that are wide for a good reason or too wide to judge by; counts that are not of the rows."""

from dataclasses import replace

import pytest
from test_assess import make_evidence, make_rows

from corpus.errors import NotAssessedError
from corpus.leaked_rows import LeakedRow, LeakReport, SetLeaks
from monitor.calibration.benign_updates import BenignUpdate
from monitor.calibration.calibrate import Calibration
from monitor.calibration.params import CalibrationParams
from monitor.sound_inputs import require_plausible, require_sound

SMALL = BenignUpdate(0.1, "random", 0.01, 0.02)
# One row is as long as all others together, and this update has it.
WITH_THE_LONG_ROW = replace(SMALL, change_log_r=2.8, change_log_r_long=-2.9)


def calibration(*updates: BenignUpdate) -> Calibration:
    return Calibration(400, (5.0, 5.01), updates, (), "base", CalibrationParams())


def test_single_updates_may_move_r_far() -> None:
    require_plausible(calibration(*[SMALL] * 9, *[WITH_THE_LONG_ROW] * 3))


def test_a_calibration_by_which_half_of_the_updates_double_r_judges_nothing() -> None:
    with pytest.raises(NotAssessedError, match=r"half of the updates have a change_log_r of 2\.8 or more"):
        require_plausible(calibration(*[SMALL] * 5, *[WITH_THE_LONG_ROW] * 6))


def test_reruns_do_not_differ_by_a_nat() -> None:
    with pytest.raises(NotAssessedError, match="noise_l goes from 4 to 9 nats"):
        require_plausible(replace(calibration(SMALL), noise_l=(4.0, 9.0)))


def find_some_leaks() -> LeakReport:
    listed = (LeakedRow(3, "0" * 32, "test", 1, 0.9), LeakedRow(5, "1" * 32, "test", 2, 0.8))
    return LeakReport(9, 2, 1, {"test": SetLeaks(4, 1, 2)}, listed)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({}, None),
        ({"rows": 8}, "among 8 rows, and 9 are prepared"),
        ({"leaked": 0}, "not those it lists"),
        ({"listed": ()}, "not those it lists"),
        ({"sets": {}}, "not those it lists"),
        ({"asked_only": -1}, "not those it lists"),
    ],
)
def test_counts_of_near_copies_that_are_not_of_the_rows_judge_nothing(
    changes: dict[str, object], cause: str | None
) -> None:
    leaks: LeakReport = replace(find_some_leaks(), **changes)  # type: ignore[arg-type]
    measured = replace(make_evidence(make_rows(0, 9)), leaks=leaks)
    if cause is None:
        require_sound(measured)
        return
    with pytest.raises(NotAssessedError, match=cause):
        require_sound(measured)
