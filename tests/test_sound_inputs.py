"""A calibration that is wide for a good reason, and one that is too wide to judge by."""

from dataclasses import replace

import pytest

from corpus.errors import NotAssessedError
from monitor.calibration.benign_updates import BenignUpdate
from monitor.calibration.calibrate import Calibration
from monitor.calibration.params import CalibrationParams
from monitor.sound_inputs import require_plausible

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
