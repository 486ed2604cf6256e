"""Finds the data that a user names: on disk, or as it was at a Git revision, from Git or from DVC."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import DataError, EntropylawError
from corpus.files import dataset_root, file_suffix, find_suffix, is_hub_name, is_pattern, missing_error
from corpus.formats import Reading
from corpus.params import PARAMS_FILE
from corpus.progress import Progress, ignore_progress
from entropylaw.printing import note
from entropylaw.repository.committed_data import NotTrackedError, copy_data
from entropylaw.repository.data_commits import follow_data
from entropylaw.repository.data_trail import PastData
from entropylaw.repository.datasets import KINDS, find_dataset, known_datasets, reading_for
from entropylaw.repository.git import is_shallow, resolve_commit
from entropylaw.repository.past_params import past_reading, past_source, read_past_params

# A revision may itself hold colons, but only in braces, as in `HEAD@{2026-01-31 10:00}`.
_WITH_FILE = re.compile(r"((?:[^:{]|\{[^}]*\})+):(.+)")


@dataclass(frozen=True)
class DataFile:
    """``path`` can be read; ``name`` is what the user called it; ``commit``: of data taken from Git, else None.

    ``reading``: how its rows are read, where params.yaml of its revision says so.
    """

    name: str
    path: Path
    commit: str | None = None
    reading: Reading | None = None

    @property
    def origin(self) -> Path:
        """The data as params.yaml may name it: of a copy from a revision, what was copied."""
        file = split_revision(self.name)[1] if self.commit else None
        return Path(file) if file else self.path

    def rename(self, error: DataError) -> DataError:
        """An error about the data under the name that the user gave: what was read may be a copy."""
        copied, named = dataset_root(self.path).as_posix(), dataset_root(self.name).as_posix()
        where = Path(error.path).as_posix()
        if self.commit is None or not (where == str(self.path) or f"{where}/".startswith(f"{copied}/")):
            return error
        below = where.removeprefix(copied) if where != str(self.path) else ""
        return DataError(f"{named}{below}" if below else self.name, error.cause, error.line, error.unit)


def locate_data(
    argument: str,
    dataset: str,
    folder: Path,
    progress: Progress = ignore_progress,
) -> DataFile:
    """The data that ``argument`` names: a file, a folder, a pattern or a dataset on the Hub; a revision, for the data
    of ``dataset`` in params.yaml there; or ``REVISION:FILE``, with the file, folder or pattern as seen from the
    current folder. A name that is both data and a revision is the data. Data that was renamed since is found under the
    name that it had. What is taken from a revision is copied into ``folder``; ``progress`` counts its MiB.

    Raises EntropylawError when it is neither, and when the data of a revision cannot be had here.
    """
    if is_hub_name(argument) or Path(argument).exists() or (is_pattern(argument) and glob.glob(argument)):
        return DataFile(argument, Path(argument))
    revision, file = split_revision(argument)
    commit = resolve_commit(revision)
    if commit is None:
        raise _unknown(argument, revision if file else None)
    reading: Reading | None
    if file is None:
        data = _dataset_data(dataset, argument, commit)
        file, reading = data.file.as_posix(), data.reading
    else:
        reading = _past_reading(file, commit)
    name = f"{revision}:{file}"
    if is_hub_name(file):
        raise EntropylawError(f"{name}: lies on the Hub, not in this repository; name it as {file}")
    root = dataset_root(file)
    if Path(file).suffix and not is_pattern(file):
        file_suffix(name)
    # The copy keeps its name, whose suffix tells the type.
    try:
        copy = copy_data(name, file, commit, folder, progress)
    except NotTrackedError as error:
        earlier = _earlier_name(file, commit)
        raise error if earlier is None else NotTrackedError(f"{error}; there it is {revision}:{earlier}") from None
    return DataFile(name, copy / Path(file).relative_to(root), commit, reading)


def split_revision(argument: str) -> tuple[str, str | None]:
    """The revision and the file of ``REVISION:FILE``; without a file, the whole and None.

    >>> split_revision("HEAD~1:data/sft.jsonl"), split_revision("v1.0")
    (('HEAD~1', 'data/sft.jsonl'), ('v1.0', None))
    """
    match = _WITH_FILE.fullmatch(argument)
    return (match[1], match[2]) if match else (argument, None)


def _unknown(argument: str, revision: str | None) -> EntropylawError:
    if revision is not None:
        return EntropylawError(
            f"{argument}: no such file, and {revision!r} is no commit of a Git repository here{_hint_at_depth()}"
        )
    if find_suffix(argument) or is_pattern(argument):
        return missing_error(Path(argument))
    return EntropylawError(f"{argument}: neither a data file nor a Git revision{_hint_at_depth()}")


def _hint_at_depth() -> str:
    return "; this clone is shallow: `git fetch --unshallow` gets older commits" if is_shallow() else ""


def _dataset_data(dataset: str, revision: str, commit: str) -> PastData:
    """The data of a dataset of params.yaml at a commit, under the name that it had there."""
    named = past_source(read_past_params(commit), dataset)
    known = known_datasets()
    if not known and named is None:
        raise EntropylawError(f"{revision}: there is no {PARAMS_FILE} to name a data file; write {revision}:FILE")
    if dataset not in known and named is None:
        raise EntropylawError(f"{PARAMS_FILE}: no dataset {dataset!r}; there is {', '.join(known)}")
    if named is not None and is_hub_name(named):
        raise EntropylawError(f"{revision}: its data lies on the Hub, not in this repository; name it as {named}")
    file = known[dataset].file if dataset in known else Path(str(named))
    found = follow_data(dataset, file, reading_for(file, dataset), commit)
    if found is None:
        raise NotTrackedError(
            f"{revision}: neither Git nor DVC has the data of {dataset}, {file.as_posix()}, at {commit[:7]}, nor is an "
            f"earlier name known; write {revision}:FILE{_hint_at_depth()}"
        )
    if found.renames:
        note(f"{revision}: {dataset} was {'; '.join(map(str, found.renames))}")
    return found


def _past_reading(file: str, commit: str) -> Reading | None:
    """How the rows of a file were read at a commit, where params.yaml of that time says it of this file."""
    sections = read_past_params(commit)
    for dataset in KINDS:
        named = past_source(sections, dataset)
        if named is not None and os.path.normpath(named) == os.path.normpath(file):
            return past_reading(sections, dataset)
    return None


def _earlier_name(file: str, commit: str) -> str | None:
    """What a file that is here was called at a commit; None where that is not known."""
    if not (Path(file).exists() or missing_error(Path(file)).cause != "no such file"):
        return None
    try:
        found = follow_data(find_dataset(Path(file)) or "", Path(file), Reading(), commit)
    except EntropylawError:  # what is wrong with the file as it was named is said already
        return None
    return None if found is None or found.file == Path(file) else found.file.as_posix()
