"""All checks of `doctor`, in the order in which a page of them reads well."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from corpus.errors import EntropylawError
from entropylaw.doctor import accepted, ci, data, measured, next_steps, setup, versions
from entropylaw.doctor.checkout import Checkout
from entropylaw.doctor.finding import Finding

Check = Callable[[Checkout], Iterable[Finding]]

# What every repository needs; the first that is broken ends the list, for the others could only repeat it.
GROUND: tuple[tuple[str, Check], ...] = (
    ("repository", setup.check_repository),
    ("pipeline", setup.check_pipeline),
    ("params.yaml", setup.check_params),
    ("dvc.lock", setup.check_lock),
)
# What is said of a pipeline that can run.
OF_PIPELINE: tuple[tuple[str, Check], ...] = (
    ("data", data.check_data),
    ("base model", measured.check_base_model),
    ("second model", measured.check_second_model),
    ("calibration", measured.check_calibration),
    ("verdict", accepted.check_verdict),
    ("history", accepted.check_history),
    ("waivers", accepted.check_waivers),
    ("CI", ci.check_ci),
    ("versions", versions.check_versions),
    ("next", next_steps.check_next),
)


def examine(checkout: Checkout) -> list[Finding]:
    """What all checks say. One that ends in an error says that."""
    findings: list[Finding] = []
    for subject, check in GROUND:
        findings += _run(subject, check, checkout)
        if any(finding.state == "broken" for finding in findings):
            return [*findings, *_run("versions", versions.check_versions, checkout)]
    for subject, check in OF_PIPELINE:
        findings += _run(subject, check, checkout)
    return findings


def _run(subject: str, check: Check, checkout: Checkout) -> list[Finding]:
    try:
        return list(check(checkout))
    except EntropylawError as error:
        text, _, remedy = str(error).rpartition("; ")
        return [Finding(subject, "broken", text or remedy, remedy if text else "")]
