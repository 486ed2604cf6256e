"""Check of the datasets: where each lies, whether its data is here, and what was read of it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from corpus.errors import DataError
from corpus.files import dataset_root, is_hub_name, list_files
from entropylaw.doctor.checkout import Checkout
from entropylaw.doctor.finding import Finding
from entropylaw.repository.tracked_data import find_output

_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def check_data(checkout: Checkout) -> Iterator[Finding]:
    """A line for each dataset. Data that is not here is broken only where something has to be measured on it."""
    for name, dataset in checkout.datasets.items():
        noted = checkout.prepared(name)
        read = f", {noted.rows_kept:,} rows of format {noted.format}" if noted else ""
        subject = f"data {name}"
        if is_hub_name(dataset.path):
            yield Finding(subject, "ok", f"{dataset.path} on the Hub{read}")
            continue
        try:
            files = list_files(dataset.path)
            missing = [file for file in files if not file.exists()]
            if missing:
                raise DataError(missing[0], "no such file")
        except DataError as error:
            yield _explain_missing(subject, dataset.path, error, checkout)
            continue
        size = sum(file.stat().st_size for file in files)
        count = f"{len(files)} files, " if len(files) > 1 else ""
        yield Finding(subject, "ok", f"{dataset.path}: {count}{format_size(size)}, here{read}")


def _explain_missing(subject: str, path: str, error: DataError, checkout: Checkout) -> Finding:
    root = dataset_root(path)
    if find_output(Path(os.path.abspath(root))):
        # A clone that only shows what was measured elsewhere needs no data.
        needed = checkout.is_stale("prepare")
        return Finding(
            subject,
            "broken" if needed else "to do",
            f"{path} is not here; DVC tracks it" + ("" if needed else ", and it was measured already"),
            f"run `dvc pull {shlex.quote(checkout.as_typed(root))}`",
        )
    text, _, remedy = str(error).partition("; ")
    return Finding(subject, "broken", text, remedy or "restore the file, or set datasets in params.yaml to where it is")


def format_size(size: int) -> str:
    """
    >>> format_size(1_234_567), format_size(12)
    ('1.2 MB', '12 bytes')
    """
    for unit, one in _UNITS:
        if size >= one:
            return f"{size / one:.1f} {unit}"
    return f"{size} bytes"
