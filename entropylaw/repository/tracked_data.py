"""Tells whether data is still what a stage read: by the hashes that DVC notes of it, without reading gigabytes.

Data that is tracked is known by what its .dvc file says, or the dvc.lock of the stage that makes it, wherever in the
Git repository these lie. Data that DVC does not track is hashed itself: Git keeps it, so it is small.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpus.artifacts import read_result
from corpus.errors import NotAssessedError
from entropylaw.repository.git import find_root_above, run_git
from entropylaw.repository.lockfile import (
    LOCK_FILE,
    PIPELINE_FILE,
    TrackedOutput,
    hash_as_dvc,
    hash_listing,
    read_outputs,
    read_stage_names,
)

# Data of no more bytes is hashed where its size alone would not show an edit: it takes a twentieth of a second.
QUICK_BYTES = 32 * 2**20
REPAIR = "run `dvc add` again"


def is_changed(path: str, md5: str, size: int | None, reread: bool) -> bool:
    """Whether the data at ``path``, a file or a folder, is other data than that of this MD5 and size in bytes.

    What is tracked is compared by its hash. Where the data itself is here too, an edit that DVC was not told of shows
    in its size and, up to QUICK_BYTES or with ``reread``, in its hash.

    Raises NotAssessedError when that cannot be told.
    """
    here, place = Path(path), Path(os.path.abspath(path))
    output = find_output(place)
    if output is None:
        if not here.exists():
            raise NotAssessedError(f"{path}: neither here nor tracked by DVC: run `dvc pull` or `dvc add {path}`")
        return hash_as_dvc(here, reread=reread) != md5
    noted = output.md5 if output.path == place else _look_up_in_folder(output, place)
    if noted == md5:
        return here.exists() and _differs(here, md5, size, reread)
    if noted is not None and output.is_exact:
        return True
    if not here.exists():
        within = Path(os.path.relpath(output.path)).as_posix()
        raise NotAssessedError(f"{path}: is not here, and only the hash of {within} is noted: run `dvc pull {path}`")
    if hash_as_dvc(here) != md5:
        return True
    # What was measured may be here still while a newer version of the folder is noted, as after a `git pull`.
    if output.is_exact and output.path != place and hash_as_dvc(output.path) != output.md5:
        within = Path(os.path.relpath(output.path)).as_posix()
        raise NotAssessedError(f"{path}: {within} is not here as DVC notes it: run `dvc pull {within}`")
    return False


def _differs(here: Path, md5: str, size: int | None, reread: bool) -> bool:
    if here.is_dir():
        if not reread and _has_ignored_files():
            return False
        found = sum(file.stat().st_size for file in here.rglob("*") if file.is_file())
    else:
        found = here.stat().st_size
    if size is not None and found != size:
        return True
    return (reread or found <= QUICK_BYTES) and hash_as_dvc(here) != md5


def _has_ignored_files() -> bool:
    """Whether DVC may leave files of a folder out, so that their sizes do not add up to what it notes."""
    ignored = _find_above(Path.cwd(), ".dvcignore")
    if ignored is None:
        return False
    lines = ignored.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(line.strip() and not line.startswith("#") for line in lines)


def find_output(place: Path) -> TrackedOutput | None:
    """What DVC tracks at this place, or of what holds it: the nearest; None where it tracks neither."""
    above = [place, *place.parents]
    for note in _list_notes(place):
        found = [output for output in _read_note(note, place) if output.path in above]
        if found:
            return max(found, key=lambda output: len(output.path.parts))
    return None


def _list_notes(place: Path) -> Iterator[Path]:
    """The files in which DVC may have noted this place, the likeliest first, each once."""
    root = find_root_above(place.parent) or Path.cwd()
    folders = [folder for folder in place.parents if root == folder or root in folder.parents]
    seen: set[Path] = set()

    def listed() -> Iterator[Path]:
        for path in (place, *folders[:-1]):
            yield path.with_name(f"{path.name}.dvc")
        for folder in folders:
            yield from sorted(folder.glob("*.dvc"))
            yield folder / LOCK_FILE
        # Under another name, or with a `wdir`, in a folder beside.
        for name in run_git("ls-files", "-z", "--", "*.dvc", LOCK_FILE.name, f"*/{LOCK_FILE}", folder=root).split("\0"):
            if name:
                yield root / name

    for note in listed():
        if note not in seen and note.is_file():
            seen.add(note)
            yield note


def _read_note(note: Path, place: Path) -> list[TrackedOutput]:
    """What a note says of a place: nothing in most, which are not parsed for it."""
    try:
        text = note.read_text(encoding="utf-8")
    except (OSError, ValueError):
        raise NotAssessedError(f"{os.path.relpath(note)}: cannot be read; {REPAIR}") from None
    if not any(name in text for name in place.parts[1:]):
        return []
    stages = None
    if note.name == LOCK_FILE.name:
        # DVC keeps what it recorded of stages that are no longer there.
        pipeline = note.with_name(PIPELINE_FILE.name)
        stages = read_stage_names(pipeline, REPAIR) if pipeline.is_file() else set()
    return read_outputs(note, text, REPAIR, stages)


def _look_up_in_folder(output: TrackedOutput, place: Path) -> str | None:
    """The MD5 of a part of a folder that DVC tracks as a whole; None where DVC's list of the folder is not here."""
    dvc = _find_above(output.path.parent, ".dvc")
    if dvc is None:
        return None
    try:
        cached = _find_cache(dvc) / "files" / "md5" / output.md5[:2] / output.md5[2:]
        listing = read_result(cached, list[dict[str, Any]])
        hashes = {str(part["relpath"]): str(part["md5"]) for part in listing}
    except (NotAssessedError, KeyError):
        return None
    within = place.relative_to(output.path).as_posix()
    below = {name.removeprefix(f"{within}/"): md5 for name, md5 in hashes.items() if name.startswith(f"{within}/")}
    return hashes.get(within) or (hash_listing(below) if below else None)


def _find_cache(dvc: Path) -> Path:
    """Where DVC keeps data: in its own folder, or in one that its configuration names, as teams that share one do."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        # The second counts before the first. In both, a path is as seen from DVC's folder.
        parser.read([dvc / "config", dvc / "config.local"], encoding="utf-8")
    except (configparser.Error, ValueError):  # DVC itself will say so
        return dvc / "cache"
    return dvc / parser.get("cache", "dir", fallback="cache").strip("\"'")


def _find_above(folder: Path, name: str) -> Path | None:
    return next((above / name for above in (folder, *folder.parents) if (above / name).exists()), None)
