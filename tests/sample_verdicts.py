"""Made-up verdicts of every status, with the sizes of effects measured on real conversations."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from monitor.history import HistoryEntry
from monitor.law.results import CurveBand, LawCurve, LawPoint, LawSummary
from monitor.rules.registry import list_rules
from monitor.verdict import (
    DatasetChanges,
    FlaggedRow,
    Forecast,
    Measurements,
    NormalRange,
    RowLengths,
    RuleResult,
    SourceRows,
    Verdict,
    Version,
)
from monitor.verdict_consistency import list_asked
from monitor.waivers import Waiver
from training.unread_rows import UnreadRows

FINGERPRINT = "9f3c2a7be1d04586"
SHARE = "share of the rows"
STATUSES = ("baseline", "pass", "warn", "risky", "not_assessed")


def data_hash(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC834:032x}"[-32:]


# x1 carries the redundancy of a careless export; x2 to x4 lower it; x5 raises R and L.
SFT = {
    "x1": Measurements(1600, 3.021, 4.872, 5.004, 0.389),
    "x2": Measurements(1604, 2.968, 4.391, 5.009, 0.393, 161, 157, 1443, 12, 3),
    "x3": Measurements(1598, 2.913, 4.012, 5.011, 0.396, 154, 160, 1444, 9, 3),
    "x4": Measurements(1600, 2.868, 3.640, 5.013, 0.398, 160, 158, 1440, 4, 2, read_share=0.251),
    "x5": Measurements(
        1760, 2.914, 3.946, 5.306, 0.361, 160, 0, 1600, 163, 21, 18.4, 0.253, UnreadRows(600, 480, 12, 3, 0)
    ),
    "x6": Measurements(1760, 2.865, 3.628, 5.019, 0.399, 160, 0, 1600, 5, 2, read_share=0.249),
}
PREFERENCES = {
    "x1": Measurements(466, 2.611, 3.120, 0.498, 0.352),
    "x2": Measurements(470, 2.609, 3.101, 0.497, 0.353, 24, 20, 446, 2, 0),
    "x3": Measurements(468, 2.607, 3.094, 0.499, 0.351, 20, 22, 448, 2, 0),
    "x4": Measurements(471, 2.604, 3.088, 0.498, 0.354, 25, 22, 446, 1, 0),
    "x5": Measurements(471, 2.604, 3.088, 0.498, 0.354, 0, 0, 471, 1, 0),
    "x6": Measurements(480, 2.606, 3.091, 0.499, 0.353, 9, 0, 471, 1, 0),
}
HELDOUT = {"x1": -5.061, "x2": -4.992, "x3": -4.948, "x4": -4.911}


def history(length: int = 4) -> list[HistoryEntry]:
    return [
        HistoryEntry(
            number=i,
            name=f"x{i}",
            data_hash=data_hash(i),
            config_fingerprint=FINGERPRINT,
            status="baseline" if i == 1 else "pass",
            rows=SFT[f"x{i}"].rows + PREFERENCES[f"x{i}"].rows,
            measurements={"sft": SFT[f"x{i}"], "preferences": PREFERENCES[f"x{i}"]},
            datasets={},
            scores={"heldout": HELDOUT[f"x{i}"]},
            tool_version="0.1.0",
        )
        for i in range(1, length + 1)
    ]


def long_history(length: int) -> list[HistoryEntry]:
    """A slowly improving series with a gap in Z at every fifth and a waived version at every ninth version."""
    entries = []
    for i in range(1, length + 1):
        waived = i % 9 == 0
        step = 1 / i + 0.02 * ((i * 7) % 5) + 0.2 * waived
        sft = Measurements(1600 + i, 2.86 + 0.1 * step, 3.6 + step, 5.0 + 0.1 * step, 0.4 - 0.02 * step, 160, 158, 1440)
        entries.append(
            HistoryEntry(
                number=i,
                name=f"2031-w{i:02d}",
                data_hash=data_hash(1000 + i),
                config_fingerprint=FINGERPRINT,
                status="risky" if waived else "pass",
                waived=waived,
                rows=sft.rows,
                measurements={"sft": sft},
                datasets={},
                scores={} if i % 5 == 0 else {"heldout": -4.9 - 0.15 * step},
                tool_version="0.1.0",
            )
        )
    return entries


def waiver(rule: str, of: int = 5, expires: str = "2031-03-31") -> Waiver:
    return Waiver(rule, data_hash(of), "The re-scrape is meant: it has the new names.", "ada@example.org", expires)


def law() -> LawSummary:
    subsets = [
        ("random, draw 1", 2.866, 3.641, 5.012, -4.905),
        ("random, draw 2", 2.861, 3.623, 5.017, -4.899),
        ("random, draw 3", 2.870, 3.659, 5.009, -4.918),
        ("a quarter duplicated", 2.864, 4.835, 4.994, -4.934),
        ("half duplicated", 2.859, 7.031, 4.971, -4.973),
        ("three quarters duplicated", 2.852, 13.452, 4.829, -5.181),
        ("ZIP", 2.763, 3.221, 5.071, -4.977),
        ("a quarter garbled", 2.601, 3.128, 5.318, -4.931),
    ]
    return LawSummary(
        sentence="The entropy law holds on your data: Z falls with long R and falls with L; left-out runs are "
        "predicted with R² 0.88 (8 runs).",
        holds=True,
        n_points=len(subsets),
        points=tuple(LawPoint(*subset) for subset in subsets),
        curves={
            "r": _curve(
                "Over R alone, the law does not hold on your data: the best of 4 forms is linear (R² 0.00), left-out "
                "runs are predicted worse than by their mean, and chance fits as well in 97.2% of shuffles (8 runs).",
                False,
                [2.601 + 0.006725 * i for i in range(41)],
                [-4.965] * 41,
            ),
            "r_long": _curve(
                "Over long R alone, the law holds on your data: Z falls (quadratic, R² 0.95), left-out runs are "
                "predicted with R² 0.83, and chance fits as well in 0.2% of shuffles (8 runs).",
                True,
                [3.128 + 0.2581 * i for i in range(41)],
                [-4.92 - 0.00016 * i * i for i in range(41)],
            ),
            "l": _curve(
                "Over L alone, the law does not hold on your data: the best of 4 forms is linear (R² 0.34), left-out "
                "runs are predicted worse than by their mean, and chance fits as well in 14.8% of shuffles (8 runs).",
                False,
                [4.829 + 0.012225 * i for i in range(41)],
                [-5.05 + 0.0045 * i for i in range(41)],
            ),
        },
    )


def _curve(sentence: str, holds: bool, x: list[float], z: list[float]) -> LawCurve:
    spread = [0.02 + 0.0001 * (i - 20) ** 2 for i in range(41)]
    band = CurveBand(
        x=tuple(x),
        z=tuple(z),
        low=tuple(value - s for value, s in zip(z, spread, strict=True)),
        high=tuple(value + s for value, s in zip(z, spread, strict=True)),
        run_low=tuple(value - s - 0.04 for value, s in zip(z, spread, strict=True)),
        run_high=tuple(value + s + 0.04 for value, s in zip(z, spread, strict=True)),
    )
    return LawCurve(8, holds, sentence, band=band)


EDGES = (91, 128, 181, 256, 362, 512, 724, 1024)


def changes() -> dict[str, DatasetChanges]:
    """Of x5 since x4, as in SFT and PREFERENCES."""
    sft = DatasetChanges(
        sources=(
            SourceRows("rescrape-2019", 160, 160, 0, 0),
            SourceRows("support-forum", 1100, 0, 1100, 0),
            SourceRows("", 500, 0, 500, None),
        ),
        lengths=RowLengths(
            EDGES,
            {"kept": (64, 176, 320, 448, 352, 176, 64), "added": (4, 12, 20, 24, 36, 44, 20)},
            {"kept": 301.5, "added": 402.0},
        ),
        normal={
            "r": NormalRange(2.856, 2.88),
            "r_long": NormalRange(3.614, 3.666),
            "l": NormalRange(4.984, 5.042),
            "c": NormalRange(0.392, 0.404),
        },
    )
    preferences = DatasetChanges(
        sources=(SourceRows("ratings", 471, 0, 471, 0),),
        lengths=RowLengths(EDGES[:4], {"kept": (71, 300, 100), "added": (0, 0, 0)}, {"kept": 150.0, "added": None}),
        normal={"r": NormalRange(2.602, 2.606), "r_long": NormalRange(3.084, 3.092)},
    )
    return {"sft": sft, "preferences": preferences}


PREFERENCES_AND_SFT = ("sft", "preferences")


def sample_verdict(status: str) -> Verdict:
    """A verdict of the given status: on x1 for a baseline, else on x5, compared with x4."""
    return {
        "baseline": _baseline,
        "pass": _pass,
        "warn": _warn,
        "risky": _risky,
        "not_assessed": _not_assessed,
    }[status]()


def _complete(rules: tuple[RuleResult, ...], datasets: Iterable[str]) -> tuple[RuleResult, ...]:
    """The results, and of each dataset the rules that they leave out, which were skipped."""
    known = {(rule.dataset, rule.id) for rule in rules}
    others = (
        RuleResult(rule, dataset, "skipped", "No rows were added.")
        for dataset in datasets
        for rule in list_asked(dataset, list_rules())
    )
    return (*rules, *(rule for rule in others if (rule.dataset, rule.id) not in known))


def _verdict(status: str, summary: str, rules: tuple[RuleResult, ...], **parts: Any) -> Verdict:
    if "parent_measurements" not in parts or parts["parent_measurements"]:
        rules = _complete(rules, parts.get("parent_measurements", PREFERENCES_AND_SFT))
    return Verdict(
        **{
            "status": status,
            "summary": summary,
            "version": Version("x5", data_hash(5), 2231),
            "parent": Version("x4", data_hash(4), 2071),
            "rules": rules,
            "measurements": {"sft": SFT["x5"], "preferences": PREFERENCES["x5"]},
            "parent_measurements": {"sft": SFT["x4"], "preferences": PREFERENCES["x4"]},
            "forecast": None,
            "law": law(),
            "rows": (),
            "config_fingerprint": FINGERPRINT,
            "tool_version": "0.1.0",
            "changes": changes(),
            **parts,
        }
    )


def of_conversations(verdict: Verdict) -> Verdict:
    """The verdict on a version that has no preferences any more."""
    measurements = {"sft": verdict.measurements["sft"]}
    rules = tuple(rule for rule in verdict.rules if rule.dataset == "sft")
    version = replace(verdict.version, rows=measurements["sft"].rows)
    return replace(verdict, version=version, measurements=measurements, rules=rules)


def answer(verdict: Verdict, result: RuleResult) -> Verdict:
    """The verdict with this result in the place of that of the same rule and dataset."""
    same = [(rule.id, rule.dataset) == (result.id, result.dataset) for rule in verdict.rules]
    return replace(verdict, rules=tuple(result if s else rule for s, rule in zip(same, verdict.rules, strict=True)))


def _baseline() -> Verdict:
    return _verdict(
        "baseline",
        "First version: measured, nothing to compare it with yet.",
        (),
        version=Version("x1", data_hash(1), 2066),
        parent=None,
        measurements={"sft": SFT["x1"], "preferences": PREFERENCES["x1"]},
        parent_measurements={},
        law=LawSummary(None, "No entropy law has been fitted for this configuration yet.", 0, (), {}),
        changes={
            "sft": DatasetChanges(
                (SourceRows("support-forum", 1600, None, None, None),),
                RowLengths(EDGES[:5], {"all": (100, 700, 600, 200)}, {"all": 188.0}),
            )
        },
    )


def _pass() -> Verdict:
    usual = "An honest batch may differ as much."
    return _verdict(
        "pass",
        "No rule found more than benign updates do, against x4.",
        (
            RuleResult(
                "redundancy",
                "sft",
                "pass",
                "Once the kept rows are known, the added rows compress to 2.1% more bytes than as much text of kept "
                "rows does; this lowers R by 0.33%, where honest batches of this size raise it by less than 0.71%.",
                -0.0033,
                0.0071,
                0.981,
                "relative change of R",
            ),
            RuleResult(
                "loss",
                "sft",
                "pass",
                "On average, the 58 added rows compared have a higher loss than 53% of the kept rows most like them "
                f"(50% is usual). Their mean loss is 5.081 nats per token, that of the rows like them 5.013. {usual}",
                0.006,
                0.01,
                0.41,
                "nats",
            ),
            RuleResult(
                "level",
                "sft",
                "pass",
                "L went from 5.013 to 5.019 nats per token. Reruns and benign updates of this size stay below +0.041 "
                "(t 0.3).",
                0.006,
                0.041,
                0.384,
                "nats",
            ),
            RuleResult("agreement", "sft", "pass", f"The answers fit. {usual}", 0.001, -0.005, 0.87, "cosine"),
            RuleResult(
                "both_rise",
                "sft",
                "pass",
                "Long R went from 3.640 to 3.628 and L from 5.013 to 5.019: they do not both rise.",
                -0.22,
                1.0,
                0.981,
                "times the risky threshold",
            ),
            RuleResult("forecast", "sft", "pass", "Z is predicted to change by +0.007.", 0.007, -0.02, 0.94, "Z"),
            *_quiet("copies", "damage", "style", "phrases", "novelty", "coverage"),
            RuleResult("edits", "sft", "skipped", "No rows were edited."),
            RuleResult("drift", "sft", "pass", "Nothing has added up since the anchor x1.", 0.0, 0.01, 1.0, SHARE),
            RuleResult(
                "redundancy", "preferences", "pass", "R rose by 0.1%.", 0.001, 0.005, 0.77, "relative change of R"
            ),
            RuleResult(
                "loss", "preferences", "skipped", "Only 3 of the added rows have a loss and kept rows like them."
            ),
        ),
        version=Version("x5", data_hash(6), 2240),
        measurements={"sft": SFT["x6"], "preferences": PREFERENCES["x6"]},
        forecast=Forecast("heldout", -4.904, -4.962, -4.846),
    )


def _quiet(*rules: str) -> tuple[RuleResult, ...]:
    return tuple(
        RuleResult(rule, "sft", "pass", "An honest batch may differ as much.", 0.0, 0.01, 1.0, SHARE) for rule in rules
    )


def _warn() -> Verdict:
    verdict = _pass()
    findings = (
        RuleResult(
            "agreement",
            "sft",
            "warn",
            "On average, the 158 added rows compared agree less with their prompts than 61% of the kept rows most like "
            "them (50% is usual). Their mean cosine is 0.316, that of the rows like them 0.398: C moves by -0.007.",
            -0.007,
            -0.005,
            0.0061,
            "cosine",
        ),
        RuleResult(
            "edits",
            "sft",
            "warn",
            "120 rows were edited: answers 61% shorter (97% of them); answers with fewer line breaks (88% of them).",
            0.066,
            0.01,
            1e-9,
            SHARE,
        ),
        RuleResult(
            "novelty",
            "sft",
            "warn",
            "Of the 160 added rows read, 40 come from a source that the parent did not have. It concerns about 2.3% of "
            "the version. There are no older rows to compare them with; 2 of the new rows share their answer with "
            "another row, and the answers of 3 break off. If they are wanted, accept the version: the next rows of "
            "this kind are then compared with these.",
            0.023,
            0.01,
            0.0,
            SHARE,
        ),
        RuleResult(
            "drift",
            "sft",
            "warn",
            "Small steps have added up since the anchor x1 (3 versions were accepted in between, 480 rows are new). Of "
            "all these rows, rule `damage` says: 71 of the 480 added rows compared (14.8%, against 2.4% of the kept "
            "rows) have shorter answers than any of the 40 kept rows most like them. It concerns about 3.5% of the "
            "version. If they are wanted, confirm the version with `entropylaw accept --anchor`.",
            0.035,
            0.01,
            0.0004,
            SHARE,
        ),
    )
    found = {(rule.id, rule.dataset): rule for rule in findings}
    return replace(
        verdict,
        status="warn",
        summary="Worth a look, against x4: agreement, edits, novelty and drift in sft.",
        rules=tuple(found.get((rule.id, rule.dataset), rule) for rule in verdict.rules),
        measurements={**verdict.measurements, "sft": replace(SFT["x6"], c=0.391)},
        rows=tuple(
            FlaggedRow(1604 + 7 * i, data_hash(400 + i), "support-forum", "sft", "agreement", 0.02 + 0.03 * i, "cosine")
            for i in range(3)
        ),
    )


def _risky() -> Verdict:
    source, ratio = "rescrape-2019", "raw / compressed bytes"
    findings = (
        RuleResult(
            "redundancy",
            "sft",
            "risky",
            "Once the kept rows are known, the added rows compress to 78.2% fewer bytes than as much text of kept "
            "rows does; this raises R by 8.40%, where honest batches of this size raise it by less than 0.71%. The "
            "added rows repeat what the data already says, or each other.",
            0.084,
            0.0071,
            0.00004,
            "relative change of R",
        ),
        RuleResult(
            "loss",
            "sft",
            "risky",
            "On average, the 37 added rows compared have a higher loss than 97% of the kept rows most like them (50% "
            "is usual). Their mean loss is 8.236 nats per token, that of the rows like them 5.013: L moves by +0.293.",
            0.293,
            0.01,
            0.0003,
            "nats",
        ),
        RuleResult("agreement", "sft", "warn", "C moves by -0.037.", -0.037, -0.005, 0.0081, "cosine"),
        RuleResult(
            "both_rise",
            "sft",
            "risky",
            "Long R went from 3.640 to 3.946 and L from 5.013 to 5.306 nats: both rise, as in the "
            "paper's x5, the sign of repetitive and inconsistent data.",
            5.6,
            1.0,
            0.0003,
            "times the risky threshold",
        ),
        RuleResult("forecast", "sft", "pass", "Z is predicted to change by -0.041.", -0.041, -0.02, 0.12, "Z"),
        *_quiet("copies", "damage", "style", "phrases", "novelty", "coverage"),
        RuleResult("edits", "sft", "skipped", "No rows were edited."),
        RuleResult(
            "drift", "sft", "skipped", "The parent x4 is the anchor itself: no version was accepted in between."
        ),
    )
    untouched = tuple(
        RuleResult(rule, "preferences", "skipped", "No rows were added.") for rule in ("loss", "agreement", "both_rise")
    )
    rows = [
        *(FlaggedRow(1601 + i, data_hash(100 + i), source, "sft", "redundancy", 58.0 - i, ratio) for i in range(26)),
        *(
            FlaggedRow(1640 + 3 * i, data_hash(200 + i), source, "sft", "loss", 9.4 - 0.1 * i, "nats per token")
            for i in range(14)
        ),
        *(
            FlaggedRow(1601 + 3 * i, data_hash(300 + i), source, "sft", "both_rise", 9.4 - 0.2 * i, "nats per token")
            for i in range(8)
        ),
    ]
    return _verdict(
        "risky",
        "Stopped, against x4: redundancy, loss and both rise in sft.",
        (*findings, *untouched),
        forecast=Forecast("heldout", -4.952, -5.021, -4.883),
        rows=tuple(rows),
    )


def _not_assessed() -> Verdict:
    few = "Fewer than 10 different rows of the parent are left to compare the added rows with."
    return _verdict(
        "not_assessed",
        "Could not be assessed, against x4: loss and both rise in sft.",
        (
            RuleResult("redundancy", "sft", "pass", "R fell by 0.3%.", -0.0033, 0.0071, 0.981, "relative change of R"),
            RuleResult("loss", "sft", "not_assessed", few, unit="nats"),
            RuleResult("both_rise", "sft", "not_assessed", f"Needs both R and L of the added rows. {few}"),
        ),
        measurements={"sft": replace(SFT["x6"], l=float("nan"))},
        parent_measurements={"sft": SFT["x4"]},
        changes={"sft": changes()["sft"]},
        law=LawSummary(None, "Too few points: 2 training runs were measured and the law needs 8.", 2, (), {}),
    )


def written_verdict(status: str) -> Verdict:
    """The sample as a stage may write it: every measure is a number. What is not one is for the reports to show."""
    verdict = sample_verdict(status)
    measured = {
        name: replace(part, l=5.0) if math.isnan(part.l) else part for name, part in verdict.measurements.items()
    }
    return replace(verdict, measurements=measured)
