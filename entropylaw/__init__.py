"""The command line of Entropylaw."""

from importlib.metadata import PackageNotFoundError, version

from entropylaw.own_packages import find_own_packages_first

find_own_packages_first()

try:
    __version__ = version("entropylaw")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"
