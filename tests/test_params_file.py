"""The shipped params.yaml and the dataclasses that read it say the same."""

import dataclasses

import pytest

from corpus.params import parse_section, read_params
from corpus.prepare import PrepareParams
from entropylaw.init.command import shipped_text
from entropylaw.release.checks import ReleaseParams
from monitor.calibration.calibrate import CalibrationParams
from monitor.measures.compression import CompressionParams
from monitor.measures.consistency import ConsistencyParams
from monitor.rule_params import RuleParams
from reports.report_params import ReportParams
from selection.methods import SelectionParams
from training.base_model_params import BaseModelParams
from training.evaluation_params import EvaluationParams
from training.judge_params import JudgeParams
from training.kto import KtoParams
from training.launch import LaunchParams
from training.probe import ProbeParams
from training.row_scores import RowScoreParams
from training.sft import SftParams

SECTIONS = {
    "prepare": PrepareParams,
    "compression": CompressionParams,
    "consistency": ConsistencyParams,
    "base_model": BaseModelParams,
    "probe": ProbeParams,
    "calibration": CalibrationParams,
    "rules": RuleParams,
    "report": ReportParams,
    "row_scores": RowScoreParams,
    "selection": SelectionParams,
    "sft": SftParams,
    "kto": KtoParams,
    "launch": LaunchParams,
    "evaluation": EvaluationParams,
    "release": ReleaseParams,
    "judge": JudgeParams,
}


@pytest.fixture
def shipped(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(shipped_text("params.yaml"), encoding="utf-8")
    return read_params(path)


def test_every_section_is_read_by_one_dataclass(shipped):
    assert set(shipped) == {"datasets", *SECTIONS}


@pytest.mark.parametrize("name", SECTIONS)
def test_the_shipped_values_are_the_defaults_of_the_code(shipped, name):
    section = parse_section(SECTIONS[name], shipped[name], name)
    assert section == SECTIONS[name]()
    assert list(shipped[name]) == [field.name for field in dataclasses.fields(SECTIONS[name])]
