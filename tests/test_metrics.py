"""The numbers that `dvc metrics diff` and `dvc exp show` put side by side."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML
from sample_verdicts import STATUSES, sample_verdict

from corpus.artifacts import to_json
from reports.metrics import list_metrics

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("status", STATUSES)
def test_the_metrics_are_the_verdicts_status_and_its_measures(status: str) -> None:
    verdict = sample_verdict(status)
    metrics = list_metrics(verdict)
    assert metrics.pop("status") == status
    assert set(metrics) == set(verdict.measurements)
    for dataset, measured in verdict.measurements.items():
        assert metrics[dataset] == {
            "rows": measured.rows, "r": measured.r, "r_long": measured.r_long, "l": measured.l, "c": measured.c,
        }  # fmt: skip
    # A measure that could not be taken is null, and DVC shows a dash.
    assert "NaN" not in to_json(metrics)


def test_the_table_of_metrics_holds_the_verdict_and_z_alone() -> None:
    """A stage's own numbers are outputs: as metrics they made a table of sixty columns."""
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    metrics = {
        path: name
        for name, stage in stages.items()
        for entry in stage.get("do", stage).get("metrics", ())
        for path in entry
    }
    assert metrics == {"results/metrics.json": "assess", "results/evaluation.json": "evaluate"}
    # In Git, so that two commits can be compared without a remote.
    assert all(entry[path] == {"cache": False} for stage in stages.values() for entry in stage.get("metrics", ())
               for path in entry)  # fmt: skip
