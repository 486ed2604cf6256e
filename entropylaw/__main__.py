"""`python -m entropylaw` is the command `entropylaw`."""

from entropylaw.cli import main

main()
