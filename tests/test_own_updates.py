"""What is usual on data that the calibration was not made on: the rule's rates with it, and its power."""

import math
from dataclasses import replace

import pytest

from corpus.records import HashedRecord, canonical_text
from monitor.calibration.benign_updates import BenignUpdate
from monitor.calibration.calibrate import Calibration
from monitor.calibration.own_updates import MAX_ROWS, measure_own_updates
from monitor.calibration.params import CalibrationParams
from monitor.measures.compression import CompressionParams
from monitor.verdict import Measurements

pytestmark = pytest.mark.slow

Rows = list[HashedRecord]
COMPRESSION = CompressionParams()
PARAMS = CalibrationParams()
# Of data whose rows are so long that nothing moves their R.
CALIBRATION = Calibration(
    400,
    (),
    (BenignUpdate(0.1, "random", 1e-4, 1e-4),) * 12,
    (),
    "",
    PARAMS,
)


def measure(rows: Rows) -> Measurements:
    texts = [canonical_text(record).encode() for record, _ in rows]
    return Measurements(len(rows), COMPRESSION.codec().ratio(texts), COMPRESSION.long_codec().ratio(texts), 5.0, 0.3)


def test_growth_is_the_slope_of_ln_r_between_half_of_the_rows_and_all(chats: Rows) -> None:
    own = measure_own_updates(chats[:400], COMPRESSION, PARAMS)
    assert own is not None and len(own.updates) == 12
    halves = [measure([chats[i] for i in range(start, 400, 2)]) for start in (0, 1)]
    slope = math.log(measure(chats[:400]).r_long / (sum(half.r_long for half in halves) / 2)) / math.log(2)
    assert own.growth_long == pytest.approx(slope, abs=0.02) and own.growth_long > 0.01


def test_the_same_data_gives_the_same_numbers_and_too_little_none(chats: Rows) -> None:
    assert measure_own_updates(chats[:150], COMPRESSION, PARAMS) == measure_own_updates(
        chats[:150], COMPRESSION, PARAMS
    )
    assert measure_own_updates(chats[:99], COMPRESSION, PARAMS) is None


def test_the_cost_does_not_grow_with_the_data(chats: Rows) -> None:
    many = [(record, f"{i:032x}") for i, (record, _) in enumerate(chats[:100] * (MAX_ROWS // 100 + 5))]
    own = measure_own_updates(many, CompressionParams(level=1, long_level=1), PARAMS)
    assert own is not None
    # 5% of MAX_ROWS, less the rows held back.
    assert own.updates[0].share == pytest.approx(95 / (MAX_ROWS - 95))


def test_the_datas_own_updates_are_made_with_the_parameters_of_the_calibration(chats: Rows) -> None:
    usual = measure_own_updates(chats[:150], COMPRESSION, PARAMS)
    changes: list[dict[str, object]] = [{"topics": 3}, {"seed": 1}, {"updates": 6}, {"update_shares": (0.3,)}]
    for change in changes:
        other = measure_own_updates(chats[:150], COMPRESSION, replace(PARAMS, **change))  # type: ignore[arg-type]
        assert usual is not None and other is not None and other.updates != usual.updates
