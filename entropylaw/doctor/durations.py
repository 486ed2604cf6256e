"""About how long stages will take: from the rows of the data, and from rates that were measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """Seconds of a stage on two cores: ``fixed``, and ``per_thousand_rows`` of a dataset."""

    fixed: float
    per_thousand_rows: float = 0.0


# Measured on 20,000 rows of 900 characters with the small base model (docs/benchmarks.md, "First verdict: seconds").
RATES: Mapping[str, Rate] = {
    "prepare": Rate(1, 0.1),
    "compression": Rate(1, 0.3),
    "consistency": Rate(1, 0.5),
    "base_model": Rate(50),
    "probe": Rate(18, 0.1),
    "calibration": Rate(150),
    "assess": Rate(3, 0.4),
    "report": Rate(4),
    "gate": Rate(1),
}
# With a pretrained model these take as long as that model needs.
OF_BASE_MODEL = ("base_model", "probe", "calibration")


def estimate_seconds(stages: Iterable[str], rows: Mapping[str, int], is_pretrained: bool) -> tuple[float, list[str]]:
    """Seconds for the stages that there is a rate for, and the names of the others.

    ``rows``: of each dataset.

    >>> estimate_seconds(["prepare@sft", "sft"], {"sft": 20_000}, is_pretrained=False)
    (3.0, ['sft'])
    """
    seconds, unknown = 0.0, []
    for stage in stages:
        name, _, dataset = stage.partition("@")
        if name not in RATES or (is_pretrained and name in OF_BASE_MODEL):
            unknown.append(stage)
            continue
        counted = rows.get(dataset, 0) if dataset else sum(rows.values())
        seconds += RATES[name].fixed + RATES[name].per_thousand_rows * counted / 1000
    return seconds, unknown
