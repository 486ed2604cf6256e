"""Which versions of the history are points of the entropy law."""

import math
from dataclasses import replace

from monitor.history import HistoryEntry
from monitor.law.results import ACCEPTED, LawPoint
from monitor.rules.scored_versions import HELDOUT, list_scored_versions
from monitor.verdict import Measurements

ENTRY = HistoryEntry(
    number=1, name="v1", data_hash="aa", config_fingerprint="now", status="pass", rows=100, tool_version="1",
    measurements={"sft": Measurements(100, 2.9, 3.6, 4.8, 0.4)}, datasets={}, scores={HELDOUT: -4.9},
)  # fmt: skip


def test_scored_versions_of_this_configuration_are_points_in_the_order_of_the_history() -> None:
    later = replace(ENTRY, number=2, name="v2", data_hash="bb", waived=True, status="risky", scores={HELDOUT: -4.7})
    points = list_scored_versions([ENTRY, later], "now", "cc")
    assert points == [LawPoint(name, 2.9, 3.6, 4.8, z, ACCEPTED) for name, z in (("v1", -4.9), ("v2", -4.7))]


def test_other_configurations_the_version_itself_and_versions_without_a_number_are_no_points() -> None:
    others = [
        replace(ENTRY, config_fingerprint="before"),
        replace(ENTRY, data_hash="cc"),
        replace(ENTRY, scores={"mt_bench": 6.0}),
        replace(ENTRY, measurements={"preferences": ENTRY.measurements["sft"]}),
        replace(ENTRY, measurements={"sft": Measurements(100, 2.9, 3.6, math.nan, 0.4)}),
    ]
    assert list_scored_versions(others, "now", "cc") == []
