"""Check of what `dvc repro` would run now, and about how long it would take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from corpus.errors import DataError
from corpus.files import is_hub_name, list_files
from entropylaw.doctor.checkout import Checkout
from entropylaw.doctor.durations import estimate_seconds
from entropylaw.doctor.finding import Finding
from monitor.calibration.cost import describe_duration

# Of data that was never read, a row is taken for so many bytes: conversations have 500 to 2,000.
BYTES_PER_ROW = 1_000


def check_next(checkout: Checkout) -> Iterator[Finding]:
    """The stages that have to run, the first of them with its reason."""
    stale = checkout.stale
    if not stale:
        yield Finding("next", "ok", f"nothing to run: all {len(checkout.declared)} stages are up to date")
        return
    names = list(stale)
    which = "all stages" if len(names) == len(checkout.declared) else _name_some(names)
    pretrained = bool((checkout.params.get("base_model") or {}).get("pretrained"))
    seconds, unknown = estimate_seconds(
        names, {name: _count_rows(name, checkout) for name in checkout.datasets}, pretrained
    )
    duration = f"{describe_duration(seconds)} on two cores" if seconds else ""
    others = f"as long as your model needs for {_name_some(unknown)}" if unknown else ""
    time = " and ".join(filter(None, (duration, others)))
    yield Finding(
        "next", "to do", f"{which}, because of {names[0]}: {stale[names[0]]}; {time}", f"run `{checkout.repro}`"
    )


def _name_some(names: list[str]) -> str:
    """
    >>> _name_some(["prepare@sft", "assess"]), _name_some(["prepare@sft", "assess", "report", "gate"])
    ('prepare@sft and assess', '4 stages, prepare@sft to gate')
    """
    return " and ".join(names) if len(names) <= 2 else f"{len(names)} stages, {names[0]} to {names[-1]}"


def _count_rows(dataset: str, checkout: Checkout) -> int:
    """The rows of a dataset when it was last read, else about how many it has by its size."""
    if noted := checkout.prepared(dataset):
        return noted.rows_kept
    path = checkout.datasets[dataset].path
    if is_hub_name(path):
        return 0
    try:
        return sum(Path(file).stat().st_size for file in list_files(path)) // BYTES_PER_ROW
    except (DataError, OSError):
        return 0
