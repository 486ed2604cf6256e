"""What DVC keeps or makes in a repository, asked of DVC itself: it alone knows all its files, `wdir` and imports."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.errors import EntropylawError
from entropylaw.repository.dvc_locks import drop_torn_rwlock
from entropylaw.repository.pipeline_folder import is_pipeline


@dataclass(frozen=True)
class DvcOutput:
    """A file or folder that DVC keeps. ``file``: the .dvc file or dvc.yaml that says so. All paths are absolute."""

    path: Path
    file: Path
    is_made: bool

    def describe(self) -> str:
        """
        >>> DvcOutput(Path("/r/data"), Path("/r/data.dvc"), False).describe()
        'tracked by DVC as a whole (data.dvc)'
        """
        return (
            f"made by a stage of {self.file.name}" if self.is_made else f"tracked by DVC as a whole ({self.file.name})"
        )


@dataclass(frozen=True)
class DvcRepository:
    """``root``: the folder that holds .dvc. ``pipelines``: every dvc.yaml with stages; ``own``: those that are ours.
    ``read``: what the stages of all others read.
    """

    root: Path
    outputs: tuple[DvcOutput, ...]
    pipelines: tuple[Path, ...]
    own: tuple[Path, ...]
    read: frozenset[Path] = frozenset()

    def find_owner(self, path: Path) -> DvcOutput | None:
        """The output that a file or folder is, or lies in."""
        above = {path, *path.parents}
        return next((output for output in self.outputs if output.path in above), None)

    def list_below(self, folder: Path) -> Iterator[DvcOutput]:
        """The outputs inside a folder."""
        return (output for output in self.outputs if folder in output.path.parents)


def read_dvc(folder: Path) -> DvcRepository:
    """The DVC repository that a folder belongs to. Raises EntropylawError, with DVC's own words, where it has none or
    cannot read it.
    """
    with _open(folder) as repo:
        stages = list(repo.index.stages)
        outputs = tuple(
            DvcOutput(Path(out.fs_path), Path(stage.path), not stage.is_data_source)
            for stage in stages
            for out in stage.outs
            if out.is_in_repo
        )
        root = Path(repo.root_dir)
        # A stage of a dvc.yaml has a name; what a .dvc file tracks has none. A clone inside this one is not ours to
        # read, even if it is one of this tool.
        named = [stage for stage in stages if getattr(stage, "name", None) and not _is_in_clone(Path(stage.path), root)]
        pipelines = tuple(dict.fromkeys(Path(stage.path) for stage in named))
        own = tuple(path for path in pipelines if is_pipeline(path.parent))
        others = [stage for stage in named if Path(stage.path) not in own]
        read = frozenset(Path(dep.fs_path) for stage in others for dep in stage.deps)
        return DvcRepository(root, outputs, pipelines, own, read)


def _is_in_clone(file: Path, root: Path) -> bool:
    between = file.relative_to(root).parents
    return any((root / folder / ".git").exists() for folder in between if folder != Path())


def add_to_dvc(folder: Path, paths: Iterable[Path]) -> None:
    """Have DVC track files and folders, all at once; without any, only have it read the pipelines that are there.

    Raises EntropylawError, with DVC's own words, where it refuses.
    """
    targets = [str(path) for path in paths]
    with _open(folder) as repo:
        repo.scm_context.quiet = True
        drop_torn_rwlock(Path(repo.tmp_dir))
        if targets:
            repo.add(targets)
        else:
            repo.check_graph(stages=[])


def unlink_from_cache(folder: Path, paths: Iterable[Path]) -> None:
    """Put plain files in the place of the links that DVC may have made of data that it was to track."""
    with _open(folder) as repo:
        for path in paths:
            repo.unprotect(str(path))


@contextmanager
def _open(folder: Path) -> Iterator[Any]:
    # Slow to import: only where it is asked.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    log = logging.getLogger("dvc")
    level = log.level
    try:
        # Resolved, so that all paths are comparable: DVC keeps a link in the name of its root.
        with warnings.catch_warnings(), Repo(str(folder.resolve())) as repo:
            # Of DVC about its libraries: of no use to who runs `init`.
            warnings.simplefilter("ignore")
            log.setLevel(logging.ERROR)
            yield repo
    # Not every refusal is one of DVC's own: a .gitignore that is not UTF-8 is a ValueError.
    except (DvcException, OSError, ValueError) as error:
        shown = os.path.relpath(folder)
        raise EntropylawError(f"{shown}: DVC refuses: {' '.join(_messages(error))}") from None
    finally:
        log.setLevel(level)


def _messages(error: BaseException) -> Iterator[str]:
    """What an error says, and what each says that it came from."""
    seen: set[str] = set()
    current: BaseException | None = error
    while current is not None:
        if (text := str(current).strip()) and text not in seen:
            seen.add(text)
            yield text if text.endswith(".") else f"{text}."
        current = current.__cause__
