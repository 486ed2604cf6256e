"""The command `entropylaw`, as a script and as `python -m entropylaw`.

Whoever imports this module imports `entropylaw` before it, and so finds our own packages first. Nothing of them may be
imported before main() has looked whether they can be had.
"""

import sys

from entropylaw.own_packages import explain_clash


def main() -> None:
    clash = explain_clash()
    if clash:
        sys.stderr.write(f"entropylaw: {clash}\n")
        sys.exit(2)
    from entropylaw.cli import main as run

    run()


if __name__ == "__main__":
    main()
