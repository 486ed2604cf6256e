"""The command `entropylaw`, as a script and as `python -m entropylaw`.

Whoever imports this module imports `entropylaw` before it, and so finds our own packages first. Nothing of them may be
imported before main() has looked whether they can be had.
"""

import sys

from entropylaw.own_packages import explain_clash
from entropylaw.standard_streams import open_standard_streams, report_mistake


def main() -> None:
    try:
        open_standard_streams()
        clash = explain_clash()
        if clash:
            sys.stderr.write(f"entropylaw: {clash}\n")
            sys.exit(2)
        _run()
    except Exception:
        sys.exit(report_mistake())


def _run() -> None:
    try:
        from corpus.interrupts import end_like_ctrl_c
        from training.launch import is_worker

        # The launcher of several workers stops them by SIGTERM, also while they wait for each other outside of Python.
        if not is_worker():
            end_like_ctrl_c()
        from entropylaw.cli import main as run

        run()
    except KeyboardInterrupt:  # before the command began, or behind its end
        from corpus.interrupts import interrupt_code

        sys.stderr.write("entropylaw: stopped\n")
        sys.exit(interrupt_code())


if __name__ == "__main__":
    main()
