"""What `entropylaw power` found, as long as it is about the gate that is here."""

from __future__ import annotations

from corpus.artifacts import fingerprint, read_result
from corpus.params import read_section
from entropylaw.repository import layout
from entropylaw.repository.results import load_calibration
from monitor.calibration.calibrate import Calibration
from monitor.power.outcomes import PowerResult
from monitor.rule_params import RuleParams
from monitor.verdict import Verdict


def fingerprint_gate(calibration: Calibration, rules: RuleParams) -> str:
    """Of what a version is judged by, beside the configuration that it is measured with."""
    return fingerprint([calibration, rules])


def load_power(verdict: Verdict) -> PowerResult | None:
    """The result of `entropylaw power`; None where there is none, or where it is about another gate than the verdict:
    another configuration, calibration, version of the tool, or other thresholds.

    Raises NotAssessedError where the file is damaged.
    """
    if not layout.POWER.exists() or not layout.CALIBRATION.exists():
        return None
    result = read_result(layout.POWER, PowerResult, "entropylaw power")
    here = fingerprint_gate(load_calibration(), read_section(RuleParams, "rules"))
    measured = (result.config_fingerprint, result.gate_fingerprint, result.tool_version)
    return result if measured == (verdict.config_fingerprint, here, verdict.tool_version) else None
