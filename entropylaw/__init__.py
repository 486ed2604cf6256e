"""Tells whether a new version of fine-tuning data is safe to train on, before anyone trains on it.

The names in ``__all__`` are the Python API (docs/python.md). All other names of this package, and the packages beside
it, are private and may change in any release. Importing `entropylaw` loads only what finds our own packages; the first
use of a name loads the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from entropylaw.own_packages import explain_clash, find_own_packages_first

find_own_packages_first()

if TYPE_CHECKING:
    from entropylaw.api import (
        BaseModelCard,
        BaseModelParams,
        Calibration,
        CalibrationParams,
        CompressionParams,
        CompressionProfile,
        ConsistencyParams,
        ConsistencyProfile,
        Conversation,
        DataError,
        DroppedRow,
        EntropylawError,
        Evidence,
        FlaggedRow,
        HashedRecord,
        HistoryEntry,
        MeasuredDataset,
        Message,
        NotAssessedError,
        ParamsError,
        Preference,
        PreparedRecords,
        PrepareParams,
        ProbedModel,
        ProbeParams,
        Record,
        RuleParams,
        RuleResult,
        SecondModelParams,
        SelectionParams,
        Settings,
        Verdict,
        VersionComparison,
        accept_version,
        assess_version,
        build_base_model,
        calibrate_baseline,
        compare_versions,
        content_hash,
        load_base_model,
        measure_compression,
        measure_loss,
        measure_rows,
        prepare_records,
        read_calibration,
        read_history,
        read_records,
        read_settings,
        select_rows,
        write_json,
    )
    from entropylaw.version import __version__

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
    "__version__",
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

if not TYPE_CHECKING:  # so that a type checker still tells a name that does not exist

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'entropylaw' has no attribute {name!r}")
        clash = explain_clash()
        if clash:
            raise ImportError(f"entropylaw: {clash}")
        value = getattr(import_module("entropylaw.version" if name == "__version__" else "entropylaw.api"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return list(__all__)
