"""The page of `doctor` as lines of text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from entropylaw.doctor.finding import Finding

# A page that fits a terminal, a log and an issue.
WIDTH = 110


def render_findings(findings: Sequence[Finding]) -> list[str]:
    """A line for each finding, its remedy below it, and a sentence on the whole.

    >>> print("\\n".join(render_findings([Finding("data sft", "broken", "chats is not here", "run `dvc pull`")])))
    BROKEN  data sft  chats is not here
                      -> run `dvc pull`
    <BLANKLINE>
    1 thing to mend.
    """
    width = max(len(finding.subject) for finding in findings)
    states = max(len(finding.state) for finding in findings)
    margin = " " * (states + width + 4)
    lines = []
    for finding in findings:
        state = finding.state.upper() if finding.state == "broken" else finding.state
        start = f"{state:<{states}}  {finding.subject:<{width}}  "
        lines += textwrap.wrap(finding.text, WIDTH, initial_indent=start, subsequent_indent=margin) or [start.rstrip()]
        if finding.remedy:
            lines.append(f"{margin}-> {finding.remedy}")
    return [*lines, "", summarise(findings)]


def summarise(findings: Sequence[Finding]) -> str:
    """
    >>> summarise([Finding("CI", "ok", "")])
    'All is in order.'
    """
    broken, to_do = (sum(finding.state == state for finding in findings) for state in ("broken", "to do"))
    if broken:
        return f"{broken} thing{'s' if broken > 1 else ''} to mend."
    return f"Nothing is broken; {to_do} to do." if to_do else "All is in order."
