"""What every version of a repository is measured and judged by, read at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import NotAssessedError
from corpus.formats import Reading
from corpus.params import read_section
from corpus.prepare import PrepareParams
from entropylaw.repository import layout
from entropylaw.repository.datasets import read_datasets, reading_for
from entropylaw.repository.missing_outputs import require_here
from entropylaw.repository.results import load_calibration
from entropylaw.repository.rows import held_out_hashes
from monitor.calibration.calibrate import Calibration
from monitor.measures.compression import CompressionParams
from monitor.measures.consistency import ConsistencyParams
from monitor.measures.evidence import Configuration
from monitor.rule_params import RuleParams


@dataclass(frozen=True)
class Setting:
    """Everything that the present version is measured and judged by; past versions are measured and judged alike."""

    datasets: Mapping[str, Path]
    prepare: PrepareParams
    held_out: frozenset[str]
    configuration: Configuration
    calibration: Calibration
    rules: RuleParams
    readings: Mapping[str, Reading]


def load_setting() -> Setting:
    """Read what past versions are measured and judged by.

    Raises EntropylawError naming the command to run when the base model, the calibration or a file is missing.
    """
    from training.base_model import read_card
    from training.probe_run import ProbeParams

    datasets = {name: dataset.file for name, dataset in read_datasets().items()}
    require_here(layout.BASE_MODEL, "base_model")
    identity = read_card(layout.BASE_MODEL).identity
    calibration = load_calibration()
    if calibration.base_identity != identity:
        raise NotAssessedError(
            f"{layout.CALIBRATION}: made with another base model than {layout.BASE_MODEL}; run `dvc repro calibration`"
        )
    return Setting(
        datasets,
        read_section(PrepareParams, "prepare"),
        held_out_hashes(layout.HELDOUT),
        Configuration(
            read_section(CompressionParams, "compression"),
            read_section(ConsistencyParams, "consistency"),
            read_section(ProbeParams, "probe"),
            identity,
        ),
        calibration,
        read_section(RuleParams, "rules"),
        {name: reading_for(file, name) for name, file in datasets.items()},
    )
