"""Finds the earlier name of data that was renamed between two commits, in Git or in DVC."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from corpus.files import find_suffix
from entropylaw.repository.git import find_root, list_committed, list_staged, run_git


def find_earlier_name(path: str, older: str, newer: str | None) -> str | None:
    """Where the data that lies at ``path`` at the commit ``newer`` (None: in the working tree) lay at ``older``.

    Both paths are as seen from the current folder. None where it is not known to have been there.
    """
    root = find_root()
    place = os.path.relpath(path, root).replace(os.sep, "/")
    before, after = (_list_contents(root, place, commit) for commit in (older, newer))
    found = match_earlier(place, before, after) or _ask_git(place, older, newer)
    return None if found is None else os.path.relpath(Path(root, found)).replace(os.sep, "/")


def find_later_name(path: str) -> str | None:
    """Where the data that lay at ``path`` when a commit last had it lies now; None where that is not known."""
    root = find_root()
    place = os.path.relpath(path, root).replace(os.sep, "/")
    # Under DVC it is the .dvc file that a commit took away.
    ended = run_git("log", "-1", "--format=%H", "--diff-filter=DR", "--no-renames", "--", path, f"{path}.dvc")
    last = run_git("rev-parse", "--verify", "--quiet", f"{ended}~1" if ended else "HEAD")
    if not root or not last:
        return None
    found = match_earlier(place, _list_contents(root, place, None), _list_contents(root, place, last))
    return None if found is None else os.path.relpath(Path(root, found)).replace(os.sep, "/")


def match_earlier(place: str, before: Mapping[str, str], after: Mapping[str, str]) -> str | None:
    """The earlier path of what lies at ``place``, from the hashes of all contents by path, before and after.

    The same content under a name that is gone was renamed; so was the only file that is gone where the only new one of
    its kind is at ``place``.

    >>> match_earlier("data/b.jsonl", {"data/a.jsonl": "1"}, {"data/b.jsonl": "1"})
    'data/a.jsonl'

    Of a folder, what was renamed may be the folder or one above it:

    >>> match_earlier("new/part", {"old": "1.dir"}, {"new": "1.dir"})
    'old/part'
    >>> match_earlier("new", {"old/1.jsonl": "1", "old/2.jsonl": "2"}, {"new/1.jsonl": "3", "new/2.jsonl": "2"})
    'old'
    """
    gone = {path: content for path, content in before.items() if path not in after}
    owner = next(
        (str(part) for part in (PurePosixPath(place), *PurePosixPath(place).parents) if str(part) in after), ""
    )
    if owner:
        earlier = _match_file(owner, gone, before, after)
        return None if earlier is None else earlier + place.removeprefix(owner)
    # A folder whose files are kept one by one: those that did not change say where it was.
    places = {
        path.removesuffix(below)
        for new, content in after.items()
        if new.startswith(f"{place}/")
        for path, old in gone.items()
        if old == content and path.endswith(below := new.removeprefix(place))
    }
    return places.pop() if len(places) == 1 else None


def _match_file(place: str, gone: Mapping[str, str], before: Mapping[str, str], after: Mapping[str, str]) -> str | None:
    same = [path for path, content in gone.items() if content == after[place]]
    if len(same) == 1:
        return same[0]
    if same:  # copies of one file: the one that kept its name was moved
        named = [path for path in same if PurePosixPath(path).name == PurePosixPath(place).name]
        return named[0] if len(named) == 1 else None
    suffix = PurePosixPath(place).suffix
    alike = [path for path in gone if PurePosixPath(path).suffix == suffix]
    fresh = [path for path in after if path not in before and PurePosixPath(path).suffix == suffix]
    return alike[0] if len(alike) == 1 and fresh == [place] else None


def _ask_git(place: str, older: str, newer: str | None) -> str | None:
    """The earlier path of a file in Git that was renamed and edited, as far as Git finds the two similar."""
    fields = run_git("diff", "--name-status", "--find-renames", "--diff-filter=R", "-z",
                     older, *([] if newer is None else [newer])).split("\0")  # fmt: skip
    renamed = {new: old for _, old, new in zip(fields[::3], fields[1::3], fields[2::3], strict=False)}
    if place in renamed:
        return renamed[place]
    below = {new.removeprefix(place): old for new, old in renamed.items() if new.startswith(f"{place}/")}
    folders = {old.removesuffix(name) for name, old in below.items() if old.endswith(name)}
    return folders.pop() if len(folders) == 1 else None


def _list_contents(root: str, place: str, commit: str | None) -> dict[str, str]:
    """Hashes of all data files and folders that Git and DVC keep, by their path below Git's root.

    Of the folder in DVC that ``place`` lies in, and of one that has its name at this commit, the files are listed too.
    """
    listed = list_staged(Path(root)) if commit is None else list_committed(commit, ["."], Path(root))
    contents = {path: content for path, content in listed.items() if find_suffix(path) is not None}
    outs = _list_outs(root, place, commit)
    for path, (content, folder) in outs.items():
        contents[path] = content
        if folder and place.startswith(f"{path}/"):
            contents |= _list_folder(root, path, commit)
    return contents


def _list_outs(root: str, place: str, commit: str | None) -> dict[str, tuple[str, bool]]:
    """What DVC keeps, in the repository that ``place`` lies in: by path its hash, and whether it is a folder."""
    from dvc.exceptions import DvcException
    from dvc.fs import GitFileSystem
    from dvc.repo import Repo
    from dvc.scm import Git

    home = next((folder for folder in Path(root, place).parents if (folder / ".dvc").is_dir()), None)
    if home is None:
        return {}
    scm = Git(root)
    try:
        if commit is None:
            repo, base = Repo(str(home)), Path(root)
        else:
            # As in Git's own view of a commit, the root is that of the Git repository.
            base = Path("/")
            inside = base / home.relative_to(root)
            repo = Repo(str(inside), fs=GitFileSystem(scm=scm, rev=commit), scm=scm)
        with repo:
            return {
                os.path.relpath(out.fs_path, base).replace(os.sep, "/"): (out.hash_info.value, out.is_dir_checksum)
                for out in repo.index.outs
                if out.is_in_repo and out.hash_info
            }
    except (DvcException, OSError):  # at that commit DVC was not set up, or one of its files is damaged
        return {}
    finally:
        scm.close()


def _list_folder(root: str, folder: str, commit: str | None) -> dict[str, str]:
    """Hashes of the files in a folder that DVC keeps, by path; empty where its list is not here."""
    from dvc.api import DVCFileSystem
    from dvc_data.index import DataIndexDirError

    files: Any = DVCFileSystem(root, rev=commit, subrepos=True)
    try:
        return {path: info["md5"] for path, info in files.find(folder, detail=True).items() if "md5" in info}
    except (DataIndexDirError, OSError):
        return {}
    finally:
        files.close()
