"""Says of a data file that is not here where it is: in DVC, or under another name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from corpus.errors import DataError, EntropylawError


@contextlib.contextmanager
def explain_missing_data() -> Iterator[None]:
    """Add to an error about a file that is not there what Git and DVC know of it."""
    try:
        yield
    except DataError as error:
        if error.cause != "no such file" or Path(error.path).exists():
            raise
        remedy = find_remedy(Path(error.path))
        raise DataError(error.path, f"{error.cause}; {remedy}") if remedy else error from None


def find_remedy(path: Path) -> str | None:
    """What to do about data that is not here; None where neither Git nor DVC knows it."""
    from entropylaw.repository.git import find_root
    from entropylaw.repository.renames import find_later_name
    from entropylaw.repository.tracked_data import find_output

    if not find_root():
        return None
    try:
        # Its .dvc file may have another name and lie elsewhere; or a stage makes it.
        if find_output(path.absolute()):
            return f"DVC tracks it: run `dvc pull {path.as_posix()}`"
        later = find_later_name(path.as_posix())
    except EntropylawError:
        return None
    return None if later is None else f"renamed to {later}; name that, also in params.yaml"
