"""Which version of Entropylaw this is."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("entropylaw")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"
