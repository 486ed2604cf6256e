"""The Python API, which `entropylaw` itself offers by name: import it from there."""

from corpus.artifacts import write_json
from corpus.errors import DataError, EntropylawError, NotAssessedError, ParamsError
from corpus.prepare import DroppedRow, PrepareParams
from corpus.records import Conversation, HashedRecord, Message, Preference, Record, content_hash
from entropylaw.api.measures import (
    MeasuredDataset,
    build_base_model,
    calibrate_baseline,
    load_base_model,
    measure_compression,
    measure_loss,
    measure_rows,
    read_calibration,
)
from entropylaw.api.records import PreparedRecords, prepare_records, read_records
from entropylaw.api.selecting import select_rows
from entropylaw.api.settings import Settings, read_settings
from entropylaw.api.verdicts import accept_version, assess_version, compare_versions
from monitor.calibration.calibrate import Calibration
from monitor.calibration.params import CalibrationParams
from monitor.history import HistoryEntry, read_history
from monitor.measures.compression import CompressionParams, CompressionProfile
from monitor.measures.consistency import ConsistencyParams, ConsistencyProfile
from monitor.measures.evidence import Evidence
from monitor.rule_params import RuleParams
from monitor.verdict import FlaggedRow, RuleResult, Verdict
from monitor.version_diff import VersionComparison
from selection.methods import SelectionParams
from training.base_model import BaseModelCard
from training.base_model_params import BaseModelParams
from training.probe_run import ProbeParams
from training.probed_model import ProbedModel
from training.second_model import SecondModelParams

__all__ = [
    "BaseModelCard",
    "BaseModelParams",
    "Calibration",
    "CalibrationParams",
    "CompressionParams",
    "CompressionProfile",
    "ConsistencyParams",
    "ConsistencyProfile",
    "Conversation",
    "DataError",
    "DroppedRow",
    "EntropylawError",
    "Evidence",
    "FlaggedRow",
    "HashedRecord",
    "HistoryEntry",
    "MeasuredDataset",
    "Message",
    "NotAssessedError",
    "ParamsError",
    "Preference",
    "PrepareParams",
    "PreparedRecords",
    "ProbeParams",
    "ProbedModel",
    "Record",
    "RuleParams",
    "RuleResult",
    "SecondModelParams",
    "SelectionParams",
    "Settings",
    "Verdict",
    "VersionComparison",
    "accept_version",
    "assess_version",
    "build_base_model",
    "calibrate_baseline",
    "compare_versions",
    "content_hash",
    "load_base_model",
    "measure_compression",
    "measure_loss",
    "measure_rows",
    "prepare_records",
    "read_calibration",
    "read_history",
    "read_records",
    "read_settings",
    "select_rows",
    "write_json",
]
