"""Signatures of accepted versions, so that a protected branch takes only those that a known key has signed.

They are SSH signatures, made by the same program and key with which Git signs commits: `x3-….json.sig` lies beside its
entry. A signature of the commit itself would be lost when a pull request is squashed or rebased.
"""

from __future__ import annotations

import re
import subprocess  # nosec B404 # ssh-keygen is a program; lists of words, never a shell
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from corpus.artifacts import write_text
from corpus.errors import EntropylawError, NotAssessedError, ParamsError
from corpus.params import PARAMS_FILE, parse_section, parse_yaml
from entropylaw.repository import layout
from entropylaw.repository.git import hash_as_git, list_committed, read_blobs, resolve_commit, run_git
from entropylaw.repository.history_guard import Base, list_entries, read_facts

# What the signature is for: one of a commit or of a mail is none of a version.
NAMESPACE = "entropylaw-history"
SUFFIX = ".sig"
SET_UP = "`git config gpg.format ssh && git config user.signingkey ~/.ssh/id_ed25519.pub`"
# So many unsigned versions are named.
NAMED = 5


@dataclass(frozen=True)
class HistoryParams:
    """The section ``history`` of params.yaml. ``signers``: the file of those who may sign accepted versions, in the
    format of `ssh-keygen`'s ALLOWED SIGNERS; None where versions need no signature.
    """

    signers: str | None = None


def signature_of(entry: Path) -> Path:
    """
    >>> signature_of(Path("history/x3.json")).as_posix()
    'history/x3.json.sig'
    """
    return entry.with_name(entry.name + SUFFIX)


def find_key() -> str:
    """The SSH key that Git is told to sign with. Raises EntropylawError where there is none."""
    key = run_git("config", "--get", "user.signingkey")
    if run_git("config", "--get", "gpg.format") != "ssh" or not key:
        raise EntropylawError(f"--sign: Git has no SSH key to sign with; name one with {SET_UP}")
    return key


def sign_entry(entry: Path, key: str) -> Path:
    """Write the signature of an entry beside it. ``key``: the path of an SSH key, or ``key::`` and a public key that an
    agent holds. Raises EntropylawError where ssh-keygen cannot.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(key).expanduser()
        if key.startswith("key::") or re.match(r"(ssh|ecdsa|sk)-\S+ ", key):
            path = Path(folder) / "key.pub"
            path.write_text(key.removeprefix("key::") + "\n", encoding="utf-8")
        done = _run_ssh_keygen("sign", "-n", NAMESPACE, "-f", str(path), content=entry.read_bytes())
    if done.returncode != 0:
        raise EntropylawError(
            f"--sign: ssh-keygen cannot sign with {key}: {_say(done)}; name another key with {SET_UP}"
        )
    write_text(signature_of(entry), done.stdout.decode())
    return signature_of(entry)


def require_signatures(since: Base | None, but: str | None = None) -> None:
    """Raise NotAssessedError, naming the files, where signatures are asked for and an entry has none that is good.

    ``since``: what this branch is compared with. Who may sign, and whether signatures are asked for, is read there, so
    that nobody admits themselves. Entries that are the same there were checked when they came.

    ``but``: the data hash of a version whose entry needs no signature.
    """
    entries = sorted(layout.HISTORY.glob("*.json"))
    signers, where = find_signers(since)
    if signers is None or not entries:
        return
    known = set(list_entries(since.commit).values()) if since else set()
    ids = hash_as_git([entry.as_posix() for entry in entries])
    new = [entry for entry in entries if ids.get(entry.as_posix()) not in known]
    new = [entry for entry in new if but is None or read_facts(entry.read_bytes()).get("data_hash") != but]
    problems = {entry: problem for entry in new if (problem := find_problem(entry, signers))}
    if problems:
        named = "; ".join(f"{entry.name} {problem}" for entry, problem in list(problems.items())[:NAMED])
        more = f" and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise NotAssessedError(
            f"{layout.HISTORY}: {named}{more}; {where} asks for signatures: have the version accepted where the key "
            "is, with `entropylaw accept --sign`"
        )


def find_signers(since: Base | None) -> tuple[str | None, str]:
    """Who may sign: the text of the file that params.yaml names, and where that stands. None: no signature is needed.

    Raises NotAssessedError where the file that is named is not there.
    """
    # Where the target branch asks for no signatures yet, what is committed here counts before what is not.
    head = resolve_commit("HEAD")
    for base in filter(None, (since, Base(head, head, "HEAD") if head else None)):
        there = _read_committed(base.commit, [PARAMS_FILE])
        if file := _read_key(there.get(PARAMS_FILE, ""), PARAMS_FILE):
            where = f"{PARAMS_FILE} of {base.name} ({base.commit[:7]})"
            text = _read_committed(base.commit, [file]).get(file)
            if text is None:
                raise NotAssessedError(
                    f"{where}: history.signers names {file}, and no such file is there; add it first"
                )
            return text, where
    path = Path(PARAMS_FILE)
    file = _read_key(path.read_text(encoding="utf-8", errors="replace"), PARAMS_FILE) if path.is_file() else None
    if file is None:
        return None, ""
    if not Path(file).is_file():
        raise NotAssessedError(f"{PARAMS_FILE}: history.signers names {file}, and there is no such file")
    return Path(file).read_text(encoding="utf-8", errors="replace"), PARAMS_FILE


def find_problem(entry: Path, signers: str) -> str | None:
    """What is wrong with the signature of an entry; None where one of the ``signers`` made it, of this very content."""
    signature = signature_of(entry)
    if not signature.is_file():
        return "has no signature"
    with tempfile.TemporaryDirectory() as folder:
        allowed = Path(folder) / "allowed_signers"
        allowed.write_text(signers, encoding="utf-8")
        asked = ("-s", str(signature), "-f", str(allowed))
        found = _run_ssh_keygen("find-principals", *asked)
        for principal in found.stdout.decode(errors="replace").splitlines():
            words = ("verify", "-n", NAMESPACE, "-I", principal, *asked)
            if _run_ssh_keygen(*words, content=entry.read_bytes()).returncode == 0:
                return None
    return "is signed by nobody who may sign, or was changed since"


def _read_key(text: str, where: str) -> str | None:
    """The key history.signers. Older files have no such section, and most have no signers."""
    if "signers" not in text:
        return None
    section = parse_yaml(text, where).get("history")
    if section is None:
        return None
    signers = parse_section(HistoryParams, section, f"{where}: history").signers
    if signers is not None and (not signers or Path(signers).is_absolute() or ".." in Path(signers).parts):
        raise ParamsError(f"{where}: history.signers: expected a file in this repository, found {signers!r}")
    return None if signers is None else Path(signers).as_posix()


def _read_committed(commit: str, paths: list[str]) -> Mapping[str, str]:
    """The text of files in a commit, by path as seen from here."""
    blobs = {path: blob for path, blob in list_committed(commit, paths).items() if path in paths}
    contents = read_blobs(blobs.values()) if blobs else {}
    return {path: contents[blob].decode("utf-8", errors="replace") for path, blob in blobs.items() if blob in contents}


def _run_ssh_keygen(*words: str, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # nosec B603 B607 # no shell; whoever sets the PATH chooses their ssh-keygen
            ["ssh-keygen", "-Y", *words], input=content, capture_output=True, check=False
        )
    except OSError:
        raise NotAssessedError(
            "ssh-keygen: no such command on the PATH; install OpenSSH 8.2 or later, by which versions are signed"
        ) from None


def _say(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"
