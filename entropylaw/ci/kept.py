"""Keeps base model and calibration from one CI run to the next: `python -m entropylaw.ci.kept save|restore FOLDER`.

A repository whose first results were not committed yet would make them anew in each run, which takes minutes. What is
kept is what the two stages wrote, and what dvc.lock says of them. DVC compares that with the baseline and parameters
at hand as always, so what no longer fits is made again.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from corpus.artifacts import write_text
from corpus.errors import EntropylawError, NotAssessedError, ParamsError
from corpus.params import parse_yaml, read_text
from entropylaw.printing import guard_streams, note, say
from entropylaw.repository import layout
from entropylaw.repository.lockfile import LOCK_FILE

# The stages that take minutes and depend on the baseline alone.
STAGES = ("base_model", "calibration")
OUTPUTS = (layout.BASE_MODEL, layout.CALIBRATION)


def save(folder: Path) -> bool:
    """Copy base model, calibration and their part of dvc.lock into ``folder``; False where they are not made yet."""
    recorded = _read(LOCK_FILE)
    stages = {name: recorded[name] for name in STAGES if name in recorded}
    if len(stages) < len(STAGES) or not all(output.exists() for output in OUTPUTS):
        return False
    shutil.rmtree(folder, ignore_errors=True)
    for output in OUTPUTS:
        _copy(output, folder / output)
    _write(folder / LOCK_FILE, stages)
    return True


def restore(folder: Path) -> bool:
    """Put what is kept into place, unless dvc.lock here has these stages: what was committed counts first.

    A part of what was kept, as a cache that was cut off holds, counts as nothing.
    """
    recorded, kept = _read(LOCK_FILE), _read(folder / LOCK_FILE)
    if not kept or any(name in recorded for name in STAGES):
        return False
    if not all((folder / output).exists() for output in OUTPUTS):
        return False
    for output in OUTPUTS:
        if not output.exists():
            _copy(folder / output, output)
    _write(LOCK_FILE, {**recorded, **kept})
    return True


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def _read(lock: Path) -> dict[str, Any]:
    if not lock.exists():
        return {}
    try:
        stages = parse_yaml(read_text(lock) or "", lock).get("stages")
    except ParamsError as error:
        raise NotAssessedError(f"{error}; run `dvc repro`") from None
    if not isinstance(stages, dict):
        raise NotAssessedError(f"{lock}: not a file of DVC's; run `dvc repro`")
    return stages


def _write(lock: Path, stages: dict[str, Any]) -> None:
    import io

    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.default_flow_style = False
    text = io.StringIO()
    yaml.dump({"schema": "2.0", "stages": stages}, text)
    write_text(lock, text.getvalue())


def main() -> None:
    """The command."""
    guard_streams()
    todo, folder = {"save": save, "restore": restore}[sys.argv[1]], Path(sys.argv[2])
    try:
        done = todo(folder)
    except EntropylawError as error:
        note(f"entropylaw: {error}")
        sys.exit(error.exit_code)
    if done:
        say(f"{sys.argv[1]}d base model and calibration")


if __name__ == "__main__":
    main()
