"""The check of every pull request, as a file of the team's CI system that `init` writes into their repository."""

from __future__ import annotations

import re
from enum import StrEnum
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

from entropylaw import __version__
from entropylaw.repository.git import run_git


class CiSystem(StrEnum):
    github = "github"
    gitlab = "gitlab"
    none = "none"


# Where each system reads its file, relative to the root of the Git repository, and how it is named in workflows/.
CI_FILES = {
    CiSystem.github: Path(".github/workflows/data-risk.yml"),
    CiSystem.gitlab: Path(".gitlab/data-risk.gitlab-ci.yml"),
}
VERSION_PLACEHOLDER = "__VERSION__"
# The folder of the pipeline, seen from the root of the Git repository, where a CI system runs.
FOLDER_PLACEHOLDER = "__FOLDER__"
HOME_PLACEHOLDER = "__HOME__"


def choose_ci(folder: Path, wanted: CiSystem | None) -> CiSystem:
    """The CI system to write a file for: the wanted one, else GitLab or GitHub by the host that Git pushes to."""
    if wanted is not None:
        return wanted
    host = remote_host(run_git("remote", "get-url", "origin", folder=folder))
    return CiSystem.gitlab if "gitlab" in host else CiSystem.github


def remote_host(url: str) -> str:
    """The host in the address of a Git remote, in lower case; empty for a folder and where there is none.

    >>> remote_host("git@GitLab.example.org:team/data.git"), remote_host("https://github.com/team/gitlab-data")
    ('gitlab.example.org', 'github.com')
    >>> remote_host("../gitlab/data.git")
    ''
    """
    if "://" in url:
        return urlsplit(url).hostname or ""
    # As scp writes it: a colon before any slash.
    host, colon, _ = url.partition(":")
    return host.rpartition("@")[2].lower() if colon and "/" not in host else ""


def render_ci_file(system: CiSystem, folder: str = ".", home: str | None = None) -> str:
    """The system's file as `init` writes it; it installs this version of the tool. KeyError for none.

    ``folder``: of the pipeline, seen from the root of the Git repository. ``home``: the tool's own repository on
    GitHub, as OWNER/NAME; the workflow then uses its action. Without one the file holds the action's steps: it must not
    name a repository that somebody else may own.
    """
    packaged = resources.files("entropylaw") / "workflows" / CI_FILES[system].name
    text = packaged.read_text(encoding="utf-8")
    home = home or find_home()
    if system is CiSystem.github and home:
        action = (resources.files("entropylaw") / "workflows" / "use-action.yml").read_text(encoding="utf-8")
        text = _replace_part(_replace_part(text, "tool", ""), "steps", action.replace(HOME_PLACEHOLDER, home))
    lines = [line for line in text.splitlines(keepends=True) if not line.strip().startswith(("# begin: ", "# end: "))]
    # It stands in single quotes, within which YAML has two for one.
    quoted = folder.replace("'", "''")
    return "".join(lines).replace(VERSION_PLACEHOLDER, __version__).replace(FOLDER_PLACEHOLDER, quoted)


def find_home() -> str | None:
    """The tool's own repository on GitHub, as OWNER/NAME, by the metadata of the installed package."""
    from importlib import metadata

    try:
        urls = metadata.metadata("entropylaw").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return None
    return next((home for url in urls if (home := parse_home(url))), None)


def parse_home(url: str) -> str | None:
    """OWNER/NAME of a repository on GitHub, from a line of a package's metadata; None of any other address.

    >>> parse_home("Repository, https://github.com/team/entropylaw.git"), parse_home("Homepage, https://example.org")
    ('team/entropylaw', None)
    """
    match = re.fullmatch(r"Repository, https://github\.com/([\w.-]+/[\w.-]+?)(\.git)?/?", url)
    return match[1] if match else None


def _replace_part(text: str, name: str, part: str) -> str:
    before, _, rest = text.partition(f"# begin: {name}\n")
    _, _, after = rest.partition(f"# end: {name}\n")
    return before.rstrip(" ") + part + after
