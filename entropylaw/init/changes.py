"""The files that `init` is about to write: shown as a dry run, or written together or not at all."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import EntropylawError
from entropylaw.init.dvc_outputs import add_to_dvc, unlink_from_cache


@dataclass(frozen=True)
class FileChange:
    """One file as it is to be. ``before``: as it is, None where it is not there."""

    path: Path
    content: bytes
    before: bytes | None

    def describe(self) -> Iterator[str]:
        """What a dry run says of it: one line for a new file, a unified diff for one that changes."""
        name = Path(os.path.relpath(self.path)).as_posix()
        if self.before is None:
            yield f"would write {name} ({len(self.content.splitlines())} lines)"
            return
        yield f"would change {name}"
        old, new = (text.decode("utf-8", "replace").splitlines() for text in (self.before, self.content))
        yield from difflib.unified_diff(old, new, f"a/{name}", f"b/{name}", lineterm="")


def plan_change(path: Path, content: bytes) -> list[FileChange]:
    """The change that a file needs to have this content; none where it has it."""
    before = path.read_bytes() if path.exists() else None
    return [] if before == content else [FileChange(path, content, before)]


def require_unchanged(changes: Sequence[FileChange]) -> None:
    """Raise EntropylawError where somebody else wrote one of the files after the changes were planned."""
    for change in changes:
        if change.before != (change.path.read_bytes() if change.path.exists() else None):
            raise EntropylawError(f"{change.path}: changed meanwhile; run the command again")


def write_changes(changes: Sequence[FileChange], track: Sequence[Path], folder: Path) -> None:
    """Write all files and have DVC track ``track``, or leave everything as it was and raise what went wrong.

    ``folder``: anywhere in the DVC repository.
    """
    with contextlib.ExitStack() as undo:
        # The .gitignore first: other files hold training text, and a kill may come in between.
        for change in sorted(changes, key=lambda change: change.path.name != ".gitignore"):
            # A link is followed: somebody has the file elsewhere.
            target = change.path.resolve()
            _note_folders(target.parent, undo.callback)
            undo.callback(_restore, target, change.before)
            _replace(target, change.content)
        new = {change.path for change in changes}
        undo.callback(_unlink_links, folder, [path for path in track if path not in new])
        for path in track:
            # DVC writes these two beside what it tracks.
            for beside in (path.with_name(f"{path.name}.dvc"), path.with_name(".gitignore")):
                undo.callback(_restore, beside, beside.read_bytes() if beside.exists() else None)
        # Also where nothing is to be tracked: DVC has to be able to read the pipelines as they are now.
        add_to_dvc(folder, track)
        undo.pop_all()


def _restore(path: Path, before: bytes | None) -> None:
    if before is None:
        path.unlink(missing_ok=True)
    elif path.read_bytes() != before:
        _replace(path, before)


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole; one that is there keeps what its owner allowed."""
    from corpus.artifacts import atomic_writer

    mode = path.stat().st_mode if path.exists() else None
    with atomic_writer(path, "wb") as handle:
        handle.write(content)
    if mode is not None:
        path.chmod(mode)


def _note_folders(folder: Path, callback: Callable[..., object]) -> None:
    """Have the folders that are not there yet removed again."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        callback(_remove_folder, path)


def _remove_folder(path: Path) -> None:
    # Something else may have been put into it meanwhile.
    with contextlib.suppress(OSError):
        path.rmdir()


def _unlink_links(folder: Path, paths: Sequence[Path]) -> None:
    # What went wrong is to be said, not that its consequences could not be undone as well.
    with contextlib.suppress(Exception):
        unlink_from_cache(folder, paths)
