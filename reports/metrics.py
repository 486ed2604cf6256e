"""The verdict as the few numbers that `dvc metrics diff` and `dvc exp show` put side by side."""

from __future__ import annotations

from typing import Any

from monitor.verdict import Verdict


def list_metrics(verdict: Verdict) -> dict[str, Any]:
    """The status, and of each dataset its rows, R, long R, L and C, by names that make short columns.

    DVC shows them as ``status``, ``sft.rows``, ``sft.r``, ``sft.r_long``, ``sft.l`` and ``sft.c``.
    """
    measured = {
        dataset: {"rows": of.rows, "r": of.r, "r_long": of.r_long, "l": of.l, "c": of.c}
        for dataset, of in verdict.measurements.items()
    }
    return {"status": verdict.status, **measured}
