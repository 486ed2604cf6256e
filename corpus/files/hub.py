"""Datasets on the Hugging Face Hub, by names such as hf://owner/name@revision, through the library `datasets`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from corpus.errors import BadRow, DataError
from corpus.files.row import TOO_LONG, BadRows, NumberedRows

HUB_PREFIX = "hf://"
# Rows that are taken from the table at once.
_BATCH_ROWS = 256
_NAME = re.compile(
    r"hf:/{1,2}(?:datasets/)?(?P<repository>/?[^@#/][^@#]*?)(?:@(?P<revision>[^/#]+))?(?:/(?P<config>[^@#]+))?(?:#(?P<split>.+))?"
)
_SHAPE = "hf://OWNER/NAME@REVISION, with /CONFIG and #SPLIT where it has several"


@dataclass(frozen=True)
class HubDataset:
    """``repository``: its id on the Hub, or a local folder of that name, which `datasets` takes first.
    ``revision``: a commit, a tag or a branch. ``config`` may be left out where it has one; ``split`` is train unless
    another is named.
    """

    repository: str
    revision: str
    config: str | None = None
    split: str = "train"


def is_hub_name(source: object) -> bool:
    """Whether a name is that of a dataset on the Hub. As a `Path`, it has lost one of its slashes.

    >>> is_hub_name("hf://owner/name@v1"), is_hub_name("data/sft.jsonl")
    (True, False)
    """
    return str(source).startswith(("hf://", "hf:/"))


def hub_name(source: object) -> str:
    """The name with both its slashes.

    >>> from pathlib import Path
    >>> hub_name(Path("hf://owner/name@v1"))
    'hf://owner/name@v1'
    """
    return (
        HUB_PREFIX + str(source).removeprefix("hf:").lstrip("/")
        if not str(source).startswith("hf:///")
        else str(source)
    )


def parse_hub_name(source: object) -> HubDataset:
    """The dataset that a name stands for. Raises DataError for a name of another shape, or without a revision.

    >>> parse_hub_name("hf://owner/name@v1.0/math#test")
    HubDataset(repository='owner/name', revision='v1.0', config='math', split='test')
    """
    name = _NAME.fullmatch(str(source))
    if name is None:
        raise DataError(source, f"not the name of a dataset on the Hub; expected {_SHAPE}")
    if name["revision"] is None:
        raise DataError(
            source,
            "names no revision, so that other rows could come tomorrow; "
            f"add the commit that is meant, such as {hub_name(source)}@0123abc",
        )
    return HubDataset(name["repository"], name["revision"], name["config"], name["split"] or "train")


def read_hub(source: object, max_row_bytes: int, bad_rows: BadRows | None) -> NumberedRows:
    """The rows of a dataset on the Hub by their positions. `datasets` keeps what it fetched in its own cache.

    Raises DataError where it cannot be had: no such dataset, revision, configuration or split, or no way to the Hub.
    """
    wanted = parse_hub_name(source)
    import datasets

    was_shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        data = datasets.load_dataset(
            wanted.repository, wanted.config, split=wanted.split, revision=wanted.revision
        ).with_format("arrow")
    except Exception as error:  # the Hub, the network and every kind of file have errors of their own
        # What the library says first is that something failed; what failed is its cause.
        first = error.__cause__ or error
        cause = (str(first).strip().splitlines() or [""])[0]
        raise DataError(source, f"cannot be had from the Hub ({type(first).__name__}: {cause})") from None
    finally:
        if was_shown:
            datasets.enable_progress_bars()
    number = 0
    # As Arrow tables: images and sound stay as they are stored.
    for batch in data.iter(_BATCH_ROWS):
        for index in range(batch.num_rows):
            part = batch.slice(index, 1)
            number += 1
            if batch.nbytes > max_row_bytes and part.nbytes > max_row_bytes:
                bad = BadRow(number, TOO_LONG, f"longer than {max_row_bytes:,} bytes")
                if bad_rows is None:
                    raise DataError(source, bad.detail, number, "row")
                bad_rows(bad)
                continue
            [row] = part.to_pylist()
            yield number, row
    return number
