"""The checks of a release: each passes, fails, or could not be made, and says why."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from corpus.artifacts import hash_folder, read_json
from corpus.errors import EntropylawError, NotAssessedError, ParamsError
from entropylaw.repository import layout

if TYPE_CHECKING:
    from monitor.history import HistoryEntry

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


@dataclass(frozen=True)
class Tolerance:
    """How far Z may fall below the last accepted version's, by benchmark and in its own units; None: not compared.

    ``heldout``: nats per token, the size of fall that a forecast is warned of. ``mt_bench``: of the grades from 1 to
    10, about one standard error of 160 grades. ``lm_eval``: of each task's metric, mostly a share of right answers.
    """

    heldout: float | None = 0.02
    mt_bench: float | None = 0.2
    lm_eval: float | None = 0.02

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and value < 0:
                raise ValueError(f"{name} must not be negative, found {value}")

    def of(self, benchmark: str) -> float | None:
        """
        >>> Tolerance().of("lm_eval/hellaswag"), Tolerance().of("measured-elsewhere")
        (0.02, None)
        """
        family = benchmark.partition("/")[0]
        return getattr(self, family) if family in {field.name for field in dataclasses.fields(self)} else None


@dataclass(frozen=True)
class ReleaseParams:
    tolerance: Tolerance = Tolerance()


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
    except (AttributeError, KeyError, TypeError, ValueError):  # a file of another shape than this version writes
        reason = f"{layout.RESULTS}, dvc.lock: of another version of the tool, or damaged; run `dvc repro --force`"
        return [Check(check, "unchecked", reason)]
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
    from entropylaw.repository.results import load_verdict

    verdict = load_verdict()
    name = verdict.version.name
    if verdict.status == "not_assessed":
        raise NotAssessedError(f"{layout.VERDICT}: {name} could not be assessed; {verdict.summary}")
    approval = read_json(layout.APPROVAL, "dvc repro gate")
    found = (approval["approved"], approval["status"], approval["data_hash"], approval["config_fingerprint"])
    if found != (True, verdict.status, verdict.version.data_hash, verdict.config_fingerprint):
        return [f"{layout.APPROVAL}: does not approve the verdict in {layout.VERDICT}; run `dvc repro`"], ""
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
    from entropylaw.repository.results import load_verdict
    from monitor.measures.evidence import version_hash

    prepared = {name: _read_result(name, "prepare")["data_hash"] for name in release["datasets"]}
    version = version_hash(prepared)
    told = {
        layout.VERDICT: load_verdict().version.data_hash,
        layout.APPROVAL: read_json(layout.APPROVAL, "dvc repro gate")["data_hash"],
        layout.EVALUATION: read_json(layout.EVALUATION, "dvc repro evaluate")["data_hash"],
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
    problems, passed = [], []
    for dataset, described in release["datasets"].items():
        selection = _read_result(dataset, "selection")
        path = layout.result(dataset, "selection.json")
        if selection["pool_hash"] != _read_result(dataset, "prepare")["data_hash"]:
            problems.append(f"{path}: selected from other rows than those prepared; run `dvc repro`")
        if selection["selected_hash"] != described["selected_hash"]:
            problems.append(f"{path}: is another selection than the release's; run `dvc repro`")
        passed.append(f"{dataset}: {selection['selected_rows']:,} of {selection['pool_rows']:,} rows")
    return problems, "; ".join(passed)


def find_model_problems(release: Mapping[str, Any]) -> Finding:
    """Whether the models that are here are the release's, and by their cards were trained on its selection."""
    problems, here, absent = [], [], []
    for dataset, rows in release["datasets"].items():
        folder = layout.trained_model(dataset)
        model = release["models"][folder.name]
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


def find_score_problems(release: Mapping[str, Any], tolerance: Tolerance) -> Finding:
    """Whether Z is nowhere below the last accepted version's, nor below the anchor's, by more than the tolerance."""
    from monitor.history import read_history

    history = read_history(layout.HISTORY)
    before = last_scored(history, release["config_fingerprint"], release["data_hash"])
    if before is None:
        return [], "no earlier version with this configuration has a score"
    anchored = anchor_scores(history, before, release["data_hash"])
    problems, passed = [], []
    # A benchmark that the last accepted version no longer had was given up then.
    for benchmark in dict.fromkeys((*before.scores, *(name for name in anchored if name in release["scores"]))):
        allowed = tolerance.of(benchmark)
        if allowed is None:
            continue
        if benchmark not in release["scores"]:
            setting = f"release.tolerance.{benchmark.partition('/')[0]}"
            problems.append(
                f"{layout.EVALUATION}: {before.name} has a score on {benchmark} and this release has none; set "
                f"`evaluation` in params.yaml as it was, or {setting} to null"
            )
            continue
        value = release["scores"][benchmark]
        if benchmark in before.scores:
            reference = ScoreReference(before.scores[benchmark], f"{before.name}, the last accepted version", "")
            fell, line = compare_score(benchmark, value, reference, allowed)
            (problems if fell else passed).append(line)
            if fell:
                continue
        if benchmark in anchored:
            fell, line = compare_score(benchmark, value, anchored[benchmark], allowed)
            (problems if fell else passed).append(line)
    return problems, "; ".join(passed) or f"no benchmark of {before.name} is compared"


@dataclass(frozen=True)
class ScoreReference:
    """A Z to hold a release against: its ``value``, ``whose`` it is, and what a person may do beside the usual."""

    value: float
    whose: str
    remedy: str


def compare_score(benchmark: str, value: float, reference: ScoreReference, allowed: float) -> tuple[bool, str]:
    """Whether Z fell by more than is ``allowed``, and the sentence that says so."""
    from reports.numbers import format_change, format_number

    # Both are kept to nine digits; a fall of exactly the tolerance is one that is tolerated.
    fall = round(reference.value - value, 9)
    line = f"{benchmark} {format_number(value)} against {format_number(reference.value)} of {reference.whose}"
    line += f" ({format_change(-fall)}, tolerance {allowed:g})"
    if fall <= allowed:
        return False, line
    remedy = f"find out why, {reference.remedy}or raise release.tolerance in params.yaml"
    return True, f"{layout.EVALUATION}: {line}; {remedy}"


def anchor_scores(history: Sequence[HistoryEntry], before: HistoryEntry, data_hash: str) -> dict[str, ScoreReference]:
    """By benchmark, the Z of the anchor; where it has none, of the first version since that has one.

    Each release may fall a little below the one before it, so small falls add up; these do not move. Empty where the
    release itself is an anchor: a person confirmed it. ``before``: what the release is compared with anyway.
    """
    from monitor.history import accepted_since, anchor_of

    fingerprint = before.config_fingerprint
    own = [entry for entry in history if (entry.data_hash, entry.config_fingerprint) == (data_hash, fingerprint)]
    anchor = anchor_of(history, fingerprint, data_hash)
    if anchor is None or any(entry.is_confirmed for entry in own):
        return {}
    found: dict[str, ScoreReference] = {}
    remedy = "confirm the version with `entropylaw accept --anchor` if so much less is accepted, "
    for entry in (anchor, *accepted_since(anchor, history, data_hash)):
        if entry is before:
            break
        whose = "the anchor" if entry is anchor else f"the first one scored since the anchor {anchor.name}"
        for benchmark, value in entry.scores.items():
            found.setdefault(benchmark, ScoreReference(value, f"{entry.name}, {whose}", remedy))
    return found


def last_scored(history: Sequence[HistoryEntry], config_fingerprint: str, data_hash: str) -> HistoryEntry | None:
    """The last accepted version with a score, of other data and measured alike; none released under a waiver."""
    from monitor.history import comparable

    scored = [entry for entry in comparable(history, config_fingerprint, data_hash) if entry.scores]
    return scored[-1] if scored else None


def _read_result(dataset: str, stage: Literal["prepare", "selection"]) -> Any:
    made_by = "dvc repro prepare" if stage == "prepare" else "dvc repro select"
    return read_json(layout.result(dataset, f"{stage}.json"), made_by)
