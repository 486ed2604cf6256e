"""Outcomes that are not measured twice: each is kept in a file, under a name of all that it depends on."""

from __future__ import annotations

import hashlib
from pathlib import Path

import corpus
import monitor
import training
from corpus.artifacts import fingerprint, read_result, write_json
from corpus.errors import NotAssessedError
from entropylaw import __version__
from entropylaw.repository.setting import Setting
from monitor.power.outcomes import Outcome
from monitor.power.trials import Trial

KEPT = Path(".entropylaw") / "power"


def kept_folder(setting: Setting, data_hash: str, seed: int, most: int) -> Path:
    """The folder of the outcomes of one version under one setting, tool and choice of rows."""
    judged_by = [setting.configuration, setting.calibration, setting.rules, setting.prepare]
    held_out = sorted(setting.held_out)
    return KEPT / fingerprint([data_hash, *judged_by, held_out, seed, most, __version__, hash_program()])


def hash_program() -> str:
    """BLAKE2b of the program files that make, measure and judge a version: a checkout may change without its number."""
    digest = hashlib.blake2b(digest_size=8)
    for package in (corpus, monitor, training):
        folder = Path(package.__path__[0])
        for file in sorted(folder.rglob("*.py")):
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def find_outcome(folder: Path, trial: Trial) -> Outcome | None:
    """The kept outcome of a trial; None where there is none, or where its file is damaged."""
    try:
        return read_result(_file(folder, trial), Outcome, complete=True)
    except NotAssessedError:
        return None


def keep_outcome(folder: Path, trial: Trial, outcome: Outcome) -> None:
    """Write what came of a trial."""
    write_json(_file(folder, trial), outcome)


def _file(folder: Path, trial: Trial) -> Path:
    words = "".join(c if c.isalnum() else " " for c in f"{trial.dataset} {trial.kind}").split()
    return folder / f"{'-'.join([*words, f'{trial.share:g}'])}.json"
