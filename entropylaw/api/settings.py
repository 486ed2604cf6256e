"""Everything that the functions of the Python API can be told, section by section as in params.yaml."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass, field
from pathlib import Path

from corpus.errors import ParamsError
from corpus.params import PARAMS_FILE, parse_section, read_params
from corpus.prepare import PrepareParams
from monitor.calibration.params import CalibrationParams
from monitor.measures.compression import CompressionParams
from monitor.measures.consistency import ConsistencyParams
from monitor.rule_params import RuleParams
from selection.methods import SelectionParams
from training.base_model_params import BaseModelParams
from training.probe_run import ProbeParams
from training.second_model import SecondModelParams


@dataclass(frozen=True)
class Settings:
    """The sections of params.yaml that the Python API uses. Each has the defaults that `entropylaw init` writes.

    Two versions can be compared only when ``compression``, ``consistency`` and ``probe`` are the same for both.

    >>> from entropylaw import ProbeParams, Settings
    >>> Settings(probe=ProbeParams(steps=16)).probe.batch_rows
    8
    """

    prepare: PrepareParams = field(default_factory=PrepareParams)
    compression: CompressionParams = field(default_factory=CompressionParams)
    consistency: ConsistencyParams = field(default_factory=ConsistencyParams)
    base_model: BaseModelParams = field(default_factory=BaseModelParams)
    probe: ProbeParams = field(default_factory=ProbeParams)
    second_model: SecondModelParams = field(default_factory=SecondModelParams)
    calibration: CalibrationParams = field(default_factory=CalibrationParams)
    rules: RuleParams = field(default_factory=RuleParams)
    selection: SelectionParams = field(default_factory=SelectionParams)


def read_settings(path: str | Path = PARAMS_FILE) -> Settings:
    """The settings of a repository, so that a notebook measures as its pipeline does.

    Raises ParamsError, which names the key, when the file is missing, is not YAML, lacks a section, or has a key that
    is unknown, missing or of another type. Sections that the Python API does not use are not looked at.
    """
    sections = read_params(path)
    types = typing.get_type_hints(Settings)
    values = {}
    for name in (section.name for section in dataclasses.fields(Settings)):
        if name not in sections and getattr(types[name], "OPTIONAL", False):
            continue
        if name not in sections:
            raise ParamsError(f"{path}: missing section {name!r}")
        values[name] = parse_section(types[name], sections[name], f"{path}: {name}")
    return Settings(**values)
