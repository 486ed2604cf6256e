"""Which files a dataset is made of, where a folder, a pattern or a list names it; always in the same order.

A folder's files are those with a data file's suffix, in it or below. Left out are what begins with a dot or an
underscore, and the notes that the library `datasets` and the Hub keep beside their data (`names.NOTES`). Names are in
natural order: `part-2` before `part-10`, whatever the machine's language.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from corpus.errors import DataError
from corpus.files.hub import is_hub_name
from corpus.files.names import is_data_name, is_shown, is_unread_name, natural_key
from corpus.files.not_data import missing_error
from corpus.files.patterns import is_pattern, pattern_root
from corpus.files.shards import require_whole, shard_pattern
from corpus.files.suffixes import file_suffix, find_suffix
from corpus.visible_text import can_be_written

# A file, a folder, a pattern such as data/*.jsonl, a dataset on the Hub, or several of the first three.
Source = str | Path | Sequence[str | Path]

# As `datasets` names the splits of a dataset. Words that are none of these say nothing about a split.
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_WORD = re.compile(r"[a-z]+")
# Enough to see which are meant.
_NAMED = 3


def list_files(source: Source) -> list[Path]:
    """The data files of a dataset, in natural order of their names; a single file is itself.

    Raises DataError for a name without a file, a folder without data, and where it cannot be told which files are
    meant: several splits, the same data twice, or shards of which some are missing.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("part-10.jsonl", "part-2.jsonl", "README.md", ".hidden.jsonl"):
    ...         _ = (Path(folder) / name).write_text("{}")
    ...     [file.name for file in list_files(folder)]
    ['part-2.jsonl', 'part-10.jsonl']
    """
    try:
        files = _list_source(source)
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise DataError(error.filename, f"cannot be read: {error.strerror}") from None
    # The name of a single file stands in no result.
    for file in files if len(files) > 1 else ():
        if not can_be_written(str(file)):
            raise DataError(ascii(str(file)), "a name that is not UTF-8, which no result could hold; rename the file")
    return files


def _list_source(source: Source) -> list[Path]:
    if not isinstance(source, (str, Path)):
        return _list_named(source)
    path = Path(source)
    if path.is_dir():
        return _list_folder(path)
    if is_pattern(source):
        return _list_matches(str(source))
    if find_suffix(path) is None and not os.path.lexists(path):
        raise missing_error(path)
    return [path]


def stamp_files(source: Source) -> tuple[tuple[str, int, int, int], ...] | None:
    """Which files a dataset is made of, and each one's inode, size and time of change: another stamp, other content.

    None where there is none, which reading it reports, and on the Hub.
    """
    if is_hub_name(source):
        return None
    try:
        files = [(file, file.stat()) for file in list_files(source)]
    except (OSError, DataError):
        return None
    return tuple((file.as_posix(), status.st_ino, status.st_size, status.st_mtime_ns) for file, status in files)


def describe_left_out(source: Source) -> str | None:
    """Which files of a folder are not read, although they are neither hidden nor notes; None where all are read."""
    if not isinstance(source, (str, Path)) or not Path(source).is_dir():
        return None
    folder = Path(source)
    left_out = sorted((path for path in _walk(folder, is_unread_name)), key=natural_key)
    if not left_out:
        return None
    return f"{source}: not read, as they are no data files by their names: {_name_some(left_out, folder)}"


def _list_named(sources: Iterable[str | Path]) -> list[Path]:
    files = [file for source in sources for file in list_files(source)]
    if not files:
        raise DataError("dataset", "names no file")
    twice = [file for file, count in Counter(map(os.path.realpath, files)).items() if count > 1]
    if twice:
        raise DataError(os.path.relpath(twice[0]), "is named twice in one dataset")
    return sorted(files, key=natural_key)


def _list_matches(pattern: str) -> list[Path]:
    files = [Path(match) for match in glob.glob(pattern, recursive=True)]
    found = [file for file in files if find_suffix(file) and is_shown(file.name) and not file.is_dir()]
    if not found:
        folder = pattern_root(pattern)
        if not folder.is_dir():
            raise missing_error(folder)
        what = f"matches no data file; {files[0]} is none" if files else "matches no file"
        hint = "; DVC tracks files here: run `dvc pull`" if any(folder.glob("*.dvc")) else ""
        raise DataError(pattern, what + hint)
    files = sorted(found, key=natural_key)
    if "[" not in pattern:  # which picks some of them
        require_whole(pattern, files)
    return files


def _list_folder(folder: Path) -> list[Path]:
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(item.name for item in folder.iterdir() if (item / "state.json").is_file())
        if not splits:
            raise DataError(folder / "dataset_dict.json", "names splits that are not there; save the dataset again")
        raise DataError(
            folder, f"is a saved DatasetDict of the splits {', '.join(splits)}; name one, such as {folder}/{splits[0]}"
        )
    if (folder / "state.json").is_file():
        return _list_saved(folder)
    if (folder / "snapshots").is_dir() and (folder / "blobs").is_dir():
        revisions = sorted(item.name for item in (folder / "snapshots").iterdir())
        named = (
            f"name one of its revisions: {folder}/snapshots/{revisions[-1]}" if revisions else "it holds no revision"
        )
        raise DataError(folder, f"is the Hub's cache of a dataset; {named}")
    files = sorted(_walk(folder), key=natural_key)
    if not files:
        hint = "; DVC tracks files here: run `dvc pull`" if any(folder.rglob("*.dvc")) else ""
        if not hint and not any(folder.iterdir()) and folder.with_name(f"{folder.name}.dvc").is_file():
            hint = f"; DVC tracks it: run `dvc pull {folder.as_posix()}`"
        raise DataError(folder, f"is a folder that holds no data file{hint}")
    _require_one_split(folder, files)
    _require_once(folder, files)
    require_whole(folder, files)
    return files


def _walk(folder: Path, is_wanted: Callable[[str], bool] = is_data_name) -> Iterator[Path]:
    seen: dict[str, str] = {}
    for root, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        # Links may lead back to where they stand, or many ways to one place.
        if (other := seen.setdefault(os.path.realpath(root), root)) != root:
            raise DataError(root, f"is a link to {other}, whose files would be read twice; delete the link")
        # Changed in place, so that nothing below what is hidden is visited.
        folders[:] = sorted(name for name in folders if is_shown(name))
        for name in names:
            if not is_wanted(name):
                continue
            path = Path(root) / name
            if not path.exists():
                raise missing_error(path)
            yield path


def _refuse(error: OSError) -> None:
    """Raise the error of a folder that cannot be listed, which the walk would pass over."""
    raise error


def _list_saved(folder: Path) -> list[Path]:
    """The files of a dataset that `datasets` saved with ``save_to_disk``, as its own notes list them."""
    notes = folder / "state.json"
    try:
        state = json.loads(notes.read_text(encoding="utf-8"))
        names = [Path(item["filename"]) for item in state.get("_data_files", ())]
        if any(name.name != str(name) or "\0" in str(name) for name in names) or len(set(names)) < len(names):
            raise DataError(notes, "names a file twice, or one that is not in its folder; save the dataset again")
        files = [folder / name for name in names]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(notes, "is not what save_to_disk of `datasets` writes; save the dataset again") from None
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise DataError(folder, "was saved with an order of its own; save it after `dataset.flatten_indices()`")
    if not files:
        # Notes that list nothing say nothing: the files speak for themselves.
        files = sorted(_walk(folder), key=natural_key)
        require_whole(folder, files)
    if not files:
        raise DataError(folder, "holds no data file")
    for file in files:
        if not file.exists():
            raise missing_error(file)
    return files


def _require_one_split(folder: Path, files: Sequence[Path]) -> None:
    """Raise DataError where files are for training and others for testing: they are never one dataset."""
    of_split: dict[str, list[Path]] = {}
    for file in files:
        of_split.setdefault(_find_split(file.relative_to(folder)) or "train", []).append(file)
    if len(of_split) > 1:
        listed = "; ".join(f"{split}: {_name_some(names, folder)}" for split, names in sorted(of_split.items()))
        example = _suggest_pattern(of_split.get("train") or files)
        raise DataError(folder, f"holds several splits ({listed}); name one of them, such as '{example}'")


def _find_split(path: Path) -> str | None:
    words = [word for part in path.parts for word in _WORD.findall(part.lower())]
    return next((_SPLITS[word] for word in words if word in _SPLITS), None)


def _suggest_pattern(files: Sequence[Path]) -> str:
    if len(files) == 1:
        return files[0].as_posix()
    suffixes = {file_suffix(file) for file in files}
    words = os.path.commonpath(files)
    return shard_pattern(files[0]) or (f"{words}/*{suffixes.pop()}" if len(suffixes) == 1 else words)


def _require_once(folder: Path, files: Sequence[Path]) -> None:
    """Raise DataError where one file seems to be another in another type: its rows would count twice."""
    seen: dict[str, Path] = {}
    for file in files:
        suffix = file_suffix(file)
        stem = file.as_posix()[: -len(suffix)]
        if stem in seen:
            both = f"{seen[stem].relative_to(folder)} and {file.relative_to(folder)}"
            raise DataError(folder, f"{both} look like the same rows twice; delete one, or name the files by a pattern")
        seen[stem] = file


def _name_some(files: Sequence[Path], folder: Path) -> str:
    names = [file.relative_to(folder).as_posix() for file in files[:_NAMED]]
    return ", ".join([*names, f"{len(files) - _NAMED} more"] if len(files) > _NAMED else names)
