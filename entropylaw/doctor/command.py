"""The command doctor: one screen on what is set up here, what is out of date, and what runs next."""

from __future__ import annotations

import typer

from entropylaw.options import AsJson
from entropylaw.printing import print_json, say


def doctor(json: AsJson = False) -> None:
    """Say what is set up here, what is out of date, what runs next and about how long that takes.

    Exits 0 where all is in order or something only has to run, and 2 where a person must mend something; each such line
    says how. It takes a second, reads no data and changes nothing.

    Example: entropylaw doctor
    """
    from entropylaw.doctor.checkout import Checkout
    from entropylaw.doctor.registry import examine
    from entropylaw.doctor.render import render_findings
    from entropylaw.pipeline_command import started_in

    findings = examine(Checkout(started_in()))
    is_broken = any(finding.state == "broken" for finding in findings)
    if json:
        print_json({"ok": not is_broken, "findings": findings})
    else:
        say(*render_findings(findings))
    raise typer.Exit(2 if is_broken else 0)
