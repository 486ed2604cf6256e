"""What must hold before anything rests on a verdict: one list of checks for `check`, `gate`, `accept` and `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from corpus.errors import NotAssessedError
from entropylaw.repository import layout
from entropylaw.repository.history_guard import Base
from entropylaw.repository.recompute import require_recomputed
from entropylaw.repository.signatures import require_signatures
from entropylaw.repository.verify_results import require_current, verify_results
from monitor.history import read_history
from monitor.verdict import Verdict


def require_trustworthy(
    since: Base | None,
    verdict: Verdict,
    path: Path = layout.VERDICT,
    again: Literal["never", "once", "always"] = "once",
    is_ordered: bool = False,
    unsigned: str | None = None,
) -> None:
    """Raise NotAssessedError, naming the file, unless the ``verdict`` in ``path`` is of what is here.

    - ``since``: what ``require_history`` found the history whole against.
    - ``again``: when the version is judged again: ``once`` where this machine did not make the verdict, and ``always``
      also to read all data and results that are here, and the approval.
    - ``is_ordered``: DVC has just run the stages before this one, so what they read is not compared.
    - ``unsigned``: the data hash of a version whose own entry needs no signature, because it is to be signed now.
    """
    require_signatures(since, unsigned)
    if again == "always":
        verify_results(path, verdict.version.data_hash)
    elif not is_ordered:
        require_current(path, verdict.version.data_hash)
    require_recomputed(path, verdict, read_history(layout.HISTORY))
    if again == "never":
        return
    # Only these two take time to import.
    from entropylaw.repository.approval import find_untrue_approval
    from entropylaw.repository.reassess import require_judged, require_same_verdict

    if again == "once":
        require_judged(verdict)
        return
    if problem := find_untrue_approval():
        raise NotAssessedError(problem)
    require_same_verdict(path, verdict)
