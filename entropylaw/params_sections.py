"""The sections of params.yaml: what each is read as."""

from __future__ import annotations

from corpus.prepare import PrepareParams
from entropylaw.release.scores import ReleaseParams
from entropylaw.repository.evaluation_sets import ContaminationParams
from entropylaw.repository.signatures import HistoryParams
from monitor.calibration.params import CalibrationParams
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
from training.probe_run import ProbeParams
from training.row_scores import RowScoreParams
from training.second_model import SecondModelParams
from training.sft import SftParams

# All but `datasets`, which is a mapping of names to sections of their own.
SECTIONS: dict[str, type] = {
    "prepare": PrepareParams,
    "contamination": ContaminationParams,
    "compression": CompressionParams,
    "consistency": ConsistencyParams,
    "base_model": BaseModelParams,
    "probe": ProbeParams,
    "second_model": SecondModelParams,
    "calibration": CalibrationParams,
    "rules": RuleParams,
    "history": HistoryParams,
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
