"""The checks of a release: each passes, fails, or could not be made, and says why."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from corpus.artifacts import hash_folder
from corpus.errors import EntropylawError, NotAssessedError, ParamsError
from entropylaw.release.scores import ReleaseParams, find_score_problems
from entropylaw.repository import layout

CheckId = Literal["release", "verdict", "waivers", "data", "selection", "models", "scores", "lock", "tag"]
CheckStatus = Literal["passed", "failed", "unchecked"]
# The problems found, and what is said where there are none.
Finding = tuple[list[str], str]

# As training.model_card writes them.
_CARD_ROWS = re.compile(r"^\| Rows \| .*\(hash `([0-9a-f]{32})`\) \|$", re.M)
_CARD_VERDICT = re.compile(r"^\| Verdict on the data version \| .*\(version `([0-9a-f]{32})`\) \|$", re.M)


@dataclass(frozen=True)
class Check:
    """``reason``: what was found, in one sentence, and for a failed check what to do."""

    id: CheckId
    status: CheckStatus
    reason: str


def make_check(check: CheckId, find: Callable[[], Finding]) -> list[Check]:
    """One failed check for each problem found; one that passed where there is none, or that could not be made.

    A params.yaml or waivers.yaml that cannot be read is a mistake of its own: its ParamsError is raised.
    """
    try:
        problems, passed = find()
    except ParamsError:
        raise
    except EntropylawError as error:
        return [Check(check, "unchecked", str(error))]
    return [Check(check, "failed", problem) for problem in problems] or [Check(check, "passed", passed)]


def check_results(release: Mapping[str, Any], params: ReleaseParams, today: datetime.date) -> list[Check]:
    """Every check that the results, the history and the models in the current folder allow.

    ``release``: the content of results/release.json.
    """
    return [
        *make_check("verdict", find_verdict_problems),
        *make_check("waivers", lambda: find_waiver_problems(release, today)),
        *make_check("data", lambda: find_data_problems(release)),
        *make_check("selection", lambda: find_selection_problems(release)),
        *make_check("models", lambda: find_model_problems(release)),
        *make_check("scores", lambda: find_score_problems(release, params.tolerance)),
    ]


def find_verdict_problems() -> Finding:
    """Whether the verdict is one that a model may be released on, and the approval is of this verdict."""
    from entropylaw.repository.approval import find_forgery
    from entropylaw.repository.results import load_approval, load_verdict

    verdict = load_verdict()
    name = verdict.version.name
    if verdict.status == "not_assessed":
        raise NotAssessedError(f"{layout.VERDICT}: {name} could not be assessed; {verdict.summary}")
    approval = load_approval()
    if problem := find_forgery(approval, verdict, approval.waivers):
        return [f"{layout.APPROVAL}: {problem}; run `dvc repro`"], ""
    return [], f"{name} is {verdict.status} and was approved for training"


def find_waiver_problems(release: Mapping[str, Any], today: datetime.date) -> Finding:
    """Whether every risky rule is waived for this data today, by the waivers that the release was approved under."""
    from entropylaw.repository.results import load_verdict, load_waivers
    from monitor.gate import decide_gate
    from monitor.waivers import valid_waivers

    waivers = load_waivers()
    decision = decide_gate(load_verdict(), waivers, today)
    if decision.exit_code == 3:
        raise NotAssessedError(decision.reason)
    valid = [asdict(waiver) for waiver in valid_waivers(waivers, release["data_hash"], today)]
    lost = [waiver["rule"] for waiver in release["waivers"] if waiver not in valid]
    if not decision.approved:
        return [decision.reason], ""
    if lost:
        rules = ", ".join(lost)
        return [
            f"{layout.WAIVERS}: the waiver of {rules} that the release was approved under does not hold today; "
            "run `dvc repro`"
        ], ""
    named = [f"{waiver['rule']} (by {waiver['owner']}, until {waiver['expires']})" for waiver in release["waivers"]]
    return [], f"valid: {', '.join(named)}" if named else "none needed"


def find_data_problems(release: Mapping[str, Any]) -> Finding:
    """Whether verdict, approval, scores and release are all of the data that was prepared."""
    from entropylaw.repository.results import load_approval, load_evaluation, load_prepare_report, load_verdict
    from monitor.measures.evidence import version_hash

    prepared = {name: load_prepare_report(name).data_hash for name in release["datasets"]}
    version = version_hash(prepared)
    told = {
        layout.VERDICT: load_verdict().version.data_hash,
        layout.APPROVAL: load_approval().data_hash,
        layout.EVALUATION: load_evaluation().data_hash,
        layout.RELEASE_JSON: release["data_hash"],
    }
    problems = [
        f"{path}: is of data {str(digest)[:12]}, and the data prepared is {version[:12]}; run `dvc repro`"
        for path, digest in told.items()
        if digest != version
    ]
    return problems, f"verdict, approval and scores are of {version}"


def find_selection_problems(release: Mapping[str, Any]) -> Finding:
    """Whether the rows trained on were selected from the rows that were prepared."""
    from entropylaw.repository.results import load_prepare_report, load_selection

    problems, passed = [], []
    for dataset, described in release["datasets"].items():
        selection = load_selection(dataset)
        path = layout.result(dataset, "selection.json")
        if selection.pool_hash != load_prepare_report(dataset).data_hash:
            problems.append(f"{path}: selected from other rows than those prepared; run `dvc repro`")
        if selection.selected_hash != described["selected_hash"]:
            problems.append(f"{path}: is another selection than the release's; run `dvc repro`")
        passed.append(f"{dataset}: {selection.selected_rows:,} of {selection.pool_rows:,} rows")
    return problems, "; ".join(passed)


def find_model_problems(release: Mapping[str, Any]) -> Finding:
    """Whether the models that are here are the release's, and by their cards were trained on its selection."""
    problems, here, absent = [], [], []
    for dataset, rows in release["datasets"].items():
        folder = layout.trained_model(dataset)
        model = release["models"].get(folder.name)
        if model is None:
            problems.append(f"{layout.RELEASE_JSON}: names no model of {dataset}; run `dvc repro release`")
            continue
        if not folder.is_dir():
            absent.append(folder.as_posix())
            continue
        here.append(folder.as_posix())
        if hash_folder(folder) != model["hash"]:
            problems.append(f"{folder}: is another model than the release's; run `dvc checkout {folder}`")
            continue
        problem = _find_card_problem(folder, rows["selected_hash"], release["data_hash"])
        if problem:
            problems.append(problem)
    told = [f"{', '.join(here)}: of this selection and verdict"] if here else []
    told += [f"{', '.join(absent)}: not pulled, so only dvc.lock speaks for it"] if absent else []
    return problems, "; ".join(told)


def _find_card_problem(folder: Path, rows_hash: str, data_hash: str) -> str | None:
    card = folder / "README.md"
    try:
        text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return f"{card}: no model card that can be read; train the model again with `dvc repro`"
    if _CARD_ROWS.findall(text) != [rows_hash]:
        return f"{card}: the model was trained on other rows than those selected; run `dvc repro`"
    if _CARD_VERDICT.findall(text) != [data_hash]:
        return f"{card}: the model was not trained behind the gate on this version; run `dvc repro`"
    return None
