"""Git, asked in one place: what it knows about the repository in the current folder or in another one."""

from __future__ import annotations

import io
import subprocess  # nosec B404 # Git is a program; lists of words, never a shell
from collections.abc import Iterable
from pathlib import Path

from corpus.errors import EntropylawError


def run_git(*words: str, folder: Path = Path()) -> str:
    """What a Git command prints, stripped; empty where it fails, and the caller then says what that means.

    The user may have set `log.showSignature`; here it is off, since what it prints comes between the answers.

    ``folder``: where Git runs. Raises EntropylawError when Git is not installed.
    """
    try:
        # Names of files may be any bytes; they come back as `os.fsdecode` would have them.
        done = subprocess.run(  # nosec B603 B607 # no shell; whoever sets the PATH chooses their Git
            ["git", "-C", str(folder), "-c", "log.showSignature=false", *words],
            capture_output=True, text=True, errors="surrogateescape", check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise EntropylawError(
            "git: no such command on the PATH; install Git, where this repository keeps its data versions"
        ) from None
    return done.stdout.strip() if done.returncode == 0 else ""


def find_root_above(folder: Path) -> Path | None:
    """The root of the Git repository around a folder, told without starting Git; None where there is none."""
    return next((above for above in (folder, *folder.parents) if (above / ".git").exists()), None)


def require_repository(folder: Path) -> None:
    """Raise EntropylawError unless ``folder`` lies in a DVC repository inside a Git one; it need not be its root."""
    root = run_git("rev-parse", "--show-toplevel", folder=folder)
    if not root:
        raise EntropylawError(f"{folder}: not inside a Git repository; run `git init` there first")
    place = folder.resolve()
    below = [parent for parent in (place, *place.parents) if parent.is_relative_to(Path(root).resolve())]
    if not any((parent / ".dvc").is_dir() for parent in below):
        raise EntropylawError(f"{folder}: not inside a DVC repository; run `dvc init` there first")


def find_root() -> str:
    """The root of the Git repository here; empty where there is none."""
    return run_git("rev-parse", "--show-toplevel")


def find_subfolder(folder: Path = Path()) -> str:
    """Where a folder lies below the root of its Git repository, such as ``teams/chat``; empty for the root itself."""
    return run_git("rev-parse", "--show-prefix", folder=folder).rstrip("/")


def resolve_commit(revision: str) -> str | None:
    """The full id of the commit that a revision names; None where there is no such commit, or no Git repository."""
    if revision.startswith("-"):  # to Git that would be an option
        return None
    return run_git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") or None


def list_main_line(start: str | None = None) -> list[str]:
    """The commits of the main line up to HEAD, oldest first; empty where there is no commit.

    It follows first parents, so a branch counts from its merge on. ``start``: a commit; only what came after it.
    """
    since = [] if start is None else [f"^{start}"]
    return run_git("rev-list", "--first-parent", "--reverse", "HEAD", *since).split()


def list_tags() -> dict[str, str]:
    """One tag for each tagged commit, by commit. Where it has several, the first in the order of version numbers."""
    listed = run_git("for-each-ref", "--sort=version:refname", "refs/tags",
                     "--format=%(refname:strip=2) %(*objectname) %(objectname)")  # fmt: skip
    tags: dict[str, str] = {}
    for line in listed.splitlines():
        # For an annotated tag the second field is its commit; for a plain tag it is empty.
        name, of_annotated, of_plain = line.split(" ")
        tags.setdefault(of_annotated or of_plain, name)
    return tags


def is_shallow() -> bool:
    """Whether this clone leaves out old commits."""
    return run_git("rev-parse", "--is-shallow-repository") == "true"


def has_parent(commit: str) -> bool:
    """Whether a commit has one before it, in this clone or not: a shallow clone takes its oldest for the first."""
    head, _, _ = run_git("cat-file", "commit", commit).partition("\n\n")
    return "\nparent " in head


def list_parents(commit: str) -> list[str]:
    """The commits before a commit that this clone has: two of a merge, none of the first."""
    return run_git("rev-list", "--parents", "-1", commit).split()[1:]


def find_merge_base(one: str, other: str) -> str:
    """The commit at which two branches parted; empty where this clone has none."""
    return run_git("merge-base", one, other)


def is_ignored(path: Path) -> bool:
    """Whether a .gitignore keeps this file out of Git."""
    return bool(run_git("check-ignore", "--no-index", "--", path.name, folder=path.parent))


def list_committed(commit: str, paths: Iterable[str], folder: Path = Path()) -> dict[str, str]:
    """Git's content ids of the files at or below these paths in a commit, by path; as seen from ``folder``."""
    lines = run_git("ls-tree", "-r", "-z", commit, "--", *paths, folder=folder).split("\0")
    entries = [line.partition("\t") for line in lines if line]
    return {path: fields.split()[2] for fields, _, path in entries}


def list_staged(folder: Path = Path()) -> dict[str, str]:
    """Git's content ids of the files at or below ``folder`` as they would be committed now, by path as seen from it."""
    lines = run_git("ls-files", "--stage", "-z", folder=folder).split("\0")
    entries = [line.partition("\t") for line in lines if line]
    return {path: fields.split()[1] for fields, _, path in entries}


def list_earlier_names(path: str) -> list[str]:
    """Names that a file in Git had before, as Git finds them; all as seen from the root of the repository."""
    listed = run_git(
        "log", "--follow", "--first-parent", "--find-renames", "--name-only", "-z", "--format=", "--", path
    )
    return list(dict.fromkeys(name.strip("\n") for name in listed.split("\0") if name.strip("\n")))


def hash_as_git(files: list[str]) -> dict[str, str]:
    """Git's content ids of files as they are here, by path; empty where Git cannot read one of them."""
    ids = run_git("hash-object", "--", *files).split()
    return dict(zip(files, ids, strict=True)) if len(ids) == len(files) else {}


def read_blobs(ids: Iterable[str]) -> dict[str, bytes]:
    """The contents of files by Git's ids; what is not in this clone is left out."""
    asked = list(ids)
    words, given = ["git", "cat-file", "--batch"], "\n".join([*asked, ""]).encode()
    done = subprocess.run(words, input=given, capture_output=True, check=False)  # nosec B603 # our own words, no shell
    answers = io.BytesIO(done.stdout)
    contents = {}
    for blob in asked:
        # Each answer is a line "<id> blob <bytes>", the content and a line break; or the line "<id> missing".
        header = answers.readline().split()
        if len(header) == 3:
            contents[blob] = answers.read(int(header[2]))
            answers.read(1)
    return contents
