"""Results as the stages write them, for tests that are about one of their numbers."""

from __future__ import annotations

from typing import Any

from corpus.prepare import PrepareReport
from entropylaw.repository.results import Evaluation
from monitor.gate import GateDecision
from selection.report import SelectionReport


def prepare_report(data_hash: str = "a" * 32, **changes: Any) -> PrepareReport:
    fields: dict[str, Any] = {
        "kind": "conversations",
        "format": "messages",
        "rows_read": 90,
        "rows_kept": 90,
        "data_hash": data_hash,
        "dropped_counts": {},
        "dropped": (),
        "distinct_sources": 1,
        "sources": {"": 90},
    }
    return PrepareReport(**{**fields, **changes})


def selection_report(pool_hash: str, selected_hash: str | None, **changes: Any) -> SelectionReport:
    fields: dict[str, Any] = {
        "method": "zip",
        "budget_rows": 40,
        "budget_tokens": None,
        "pool_hash": pool_hash,
        "selected_hash": selected_hash,
        "pool_sources": {"": 90},
        "sources": {"": 40},
    }
    for side, rows in (("pool", 90), ("selected", 40)):
        fields |= {f"{side}_rows": rows, f"{side}_r": 2.5, f"{side}_r_long": 3.5, f"{side}_tokens": None}
        fields |= {f"{side}_{part}_tokens": None for part in ("mean", "median", "p95")}
    return SelectionReport(**{**fields, **changes})


def approval(data_hash: str, **changes: Any) -> GateDecision:
    fields: dict[str, Any] = {
        "approved": True,
        "exit_code": 0,
        "status": "pass",
        "reason": "x5 is approved: pass",
        "version": "x5",
        "data_hash": data_hash,
        "config_fingerprint": "f" * 16,
        "waivers": (),
    }
    return GateDecision(**{**fields, **changes})


def evaluation(data_hash: str | None, **z: float) -> Evaluation:
    return Evaluation(data_hash, z or {"heldout": -4.92}, {})
