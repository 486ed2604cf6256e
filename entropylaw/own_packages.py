"""Makes `import training` mean Entropylaw's package, whatever else of that name the Python path holds.

Our packages have names that a data repository may well use for folders of its own, and with `PYTHONPATH=.` or
`python -m entropylaw` that repository comes before us on sys.path. Importing `entropylaw` therefore does two things:

- A finder, first on sys.meta_path, finds these five names beside the package `entropylaw`, and no other name. To put
  that whole folder first on sys.path would let everything that is installed there hide the standard library.
- The folder `stand_ins`, first on sys.path, does the same in child processes. A spawned process gets our sys.path, not
  our finders, and imports by its name what it unpickles. It meets a stand-in of that name, which imports `entropylaw`
  and with it the finder, and then makes way for the package itself.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

NAMES = ("corpus", "selection", "training", "monitor", "reports")

# Where our packages lie: the root of a checkout, or site-packages.
HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STAND_INS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stand_ins")


class OwnPackages:
    """Finds the packages of NAMES in HOME. No subclass of MetaPathFinder: importing that one takes 15 ms."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return PathFinder.find_spec(fullname, [HOME]) if fullname in NAMES else None


def find_own_packages_first() -> None:
    """Make the names of our packages mean ours, in this process and in those it starts."""
    if not any(isinstance(finder, OwnPackages) for finder in sys.meta_path):
        sys.meta_path.insert(0, OwnPackages())
    if sys.path[:1] != [STAND_INS]:
        sys.path[:] = [STAND_INS, *(folder for folder in sys.path if folder != STAND_INS)]


def import_own(name: str) -> None:
    """Replace the stand-in ``name``, which is being imported, by our package."""
    del sys.modules[name]
    importlib.import_module(name)


def explain_clash() -> str | None:
    """Why one of our packages cannot be imported, in one line; None when all can be."""
    for name in NAMES:
        if not os.path.isfile(os.path.join(HOME, name, "__init__.py")):
            return f"the installation is incomplete: {os.path.join(HOME, name)} is missing; install entropylaw again"
        loaded = sys.modules.get(name)
        if loaded is not None and not _is_own(name, loaded):
            return (
                f"another package named {name!r} ({_location(loaded)}) was imported first, and Entropylaw has one of "
                "that name too; run Entropylaw in a process that does not import the other (at start-up Python imports "
                "what sitecustomize.py and .pth files name)"
            )
    return None


def _is_own(name: str, module: ModuleType) -> bool:
    folder = os.path.dirname(getattr(module, "__file__", None) or "")
    return os.path.realpath(folder) == os.path.realpath(os.path.join(HOME, name))


def _location(module: ModuleType) -> str:
    """A package without an __init__.py has folders but no file."""
    return getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), "not from a file")
