"""How large the demo is: as `entropylaw demo` and as `entropylaw demo --fast` run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DemoSize:
    """Rows of each version, of the held-out set, and preference pairs; which versions are trained, not only measured;
    ``params``: what differs from the shipped params.yaml. No threshold differs.
    """

    rows: int
    heldout_rows: int
    pairs: int
    trained: tuple[str, ...]
    params: dict[str, dict[str, Any]]


# ZIP's sizes in proportion to pools of about a thousand rows; the paper's are for 300,000.
SMALL_POOL = {"k1": 200, "k2": 40, "k3": 20}
FULL = DemoSize(
    rows=1600,
    heldout_rows=300,
    pairs=200,
    trained=("x1", "x2", "x3", "x4"),
    params={"probe": {"steps": 32}, "calibration": {"seeds": 4}, "selection": SMALL_POOL, "sft": {"epochs": 1.0}},
)
FAST = DemoSize(
    rows=800,
    heldout_rows=150,
    pairs=0,
    trained=("x4",),
    params={
        "base_model": {"hidden_size": 64, "layers": 2, "steps": 160, "max_length": 128},
        "probe": {"steps": 24, "max_length": 128},
        "calibration": {"seeds": 3},
        "selection": SMALL_POOL,
        "sft": {"epochs": 1.0, "max_length": 128},
        "evaluation": {"max_length": 128},
    },
)
