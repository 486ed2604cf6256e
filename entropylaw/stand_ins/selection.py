"""Stands in for the package `selection` in a process that was given only sys.path; see entropylaw/own_packages.py."""

from entropylaw.own_packages import import_own

import_own(__name__)
