"""Check of what runs the tool without being asked: a CI file, and a pre-commit hook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from entropylaw.doctor.checkout import Checkout
from entropylaw.doctor.finding import Finding

# Where GitHub, GitLab and others look for their files.
CI_PATTERNS = (
    ".github/workflows/*.y*ml",
    ".gitlab-ci.yml",
    ".gitlab/*.yml",
    ".gitlab/**/*.yml",
    "Jenkinsfile",
    ".circleci/config.yml",
    "azure-pipelines.yml",
    "bitbucket-pipelines.yml",
)
# Where pre-commit has its hooks.
PRE_COMMIT = ".pre-commit-config.yaml"


def check_ci(checkout: Checkout) -> Iterator[Finding]:
    """Whether pull requests are checked. A hook is welcome and not needed."""
    root = checkout.git_root or Path()
    files = sorted({file for pattern in CI_PATTERNS for file in root.glob(pattern) if _names_us(file)})
    hook = "a pre-commit hook" if _names_us(root / PRE_COMMIT) else "no pre-commit hook"
    if files:
        yield Finding("CI", "ok", f"{files[0].relative_to(root).as_posix()}; {hook}")
    else:
        yield Finding(
            "CI",
            "to do",
            f"no CI file runs entropylaw, so no pull request is checked; {hook}",
            "run `entropylaw init`, which writes one for GitHub or GitLab and changes nothing that is there",
        )


def _names_us(file: Path) -> bool:
    try:
        return "entropylaw" in file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
