"""GitLab's code-quality report: an entry for every rule that raised an alarm, and for each of its first rows."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from reports.escaping import escape_log, log_json
from reports.numbers import format_number
from reports.report_data import ReportData
from reports.rule_view import RuleView
from reports.words import NOTES

# GitLab has info, minor, major, critical and blocker; here a blocker is what keeps the gate closed.
SEVERITIES = {"risky": "blocker", "not_assessed": "blocker", "warn": "major"}
WAIVED = "info"
# A row is one step less severe than the rule that names it.
ROW_SEVERITIES = {"blocker": "critical", "major": "minor", WAIVED: WAIVED}
# The file an entry points at when no data file is known.
VERDICT_FILE = "results/verdict.json"


@dataclass(frozen=True)
class _Finding:
    """An entry of the report. ``identity``: by it GitLab finds the entry again on another branch. ``line``: from 1."""

    check: str
    identity: tuple[str, ...]
    severity: str
    text: str
    path: str
    line: int = 1


def render_gitlab(data: ReportData) -> str:
    """The JSON array that GitLab reads as `artifacts:reports:codequality`; empty where nothing is wrong.

    A merge request shows the entries whose fingerprints the target branch does not have. The fingerprint of a rule
    belongs to one data version; that of a row depends on its content, so that a row known before is not shown as new.
    """
    entries = []
    seen: Counter[tuple[str, ...]] = Counter()
    for finding in _list_findings(data):
        # Of equal fingerprints GitLab keeps the first entry only, so exact copies of a row are numbered.
        identity = fingerprint(*finding.identity, str(seen[finding.identity]))
        seen[finding.identity] += 1
        entries.append(
            {
                "description": escape_description(finding.text),
                "check_name": f"entropylaw.{finding.check}",
                "fingerprint": identity,
                "severity": finding.severity,
                "location": {"path": finding.path, "lines": {"begin": finding.line}},
            }
        )
    return log_json(entries)


def _list_findings(data: ReportData) -> Iterator[_Finding]:
    version = data.version.data_hash
    if data.status in SEVERITIES and not any(rule.status == data.status for rule in data.rules):
        # No rule has the verdict's own status: without this entry an empty report would read as success.
        text = f"{data.words.word}: {data.headline}. {data.summary}"
        yield _Finding(data.status, (version, "verdict"), SEVERITIES[data.status], text, VERDICT_FILE)
    for note in data.notes:
        yield _Finding(
            "changed", (version, "changed", note), SEVERITIES["warn"], f"{NOTES}. {note}", note.partition(":")[0]
        )
    for rule in data.rules:
        if rule.status not in SEVERITIES:
            continue
        first_file = next((row.file for row in rule.first_rows if row.file), None)
        path = first_file or data.files.get(rule.dataset, VERDICT_FILE)
        severity = WAIVED if rule.waiver else SEVERITIES[rule.status]
        yield _Finding(rule.id, (version, rule.id, rule.dataset), severity, _describe_rule(rule), path)
        for row in rule.first_rows:
            source = f" from {row.source}" if row.source else ""
            score = f"{format_number(row.score)} {row.unit}".strip()
            yield _Finding(
                rule.id,
                ("row", rule.id, rule.dataset, row.hash),
                ROW_SEVERITIES[severity],
                f"{rule.title} ({rule.dataset}): row {row.name}{source}, {score}. {rule.advice}",
                row.file or path,
                # Files of other types have no lines to open.
                (row.file_row or row.row) if (row.file or path).lower().endswith((".jsonl", ".ndjson")) else 1,
            )


def _describe_rule(rule: RuleView) -> str:
    text = f"{rule.words.word}: {rule.title} ({rule.dataset}). {rule.reason}"
    if rule.rows:
        text += f" Listed: {len(rule.first_rows)} of {rule.rows_total} rows behind it."
    return text + (f" Waived by {rule.waiver.owner} {rule.waiver.note}." if rule.waiver else "")


def escape_description(text: str) -> str:
    """A line in which GitLab's widgets find no tag and none of their style marks, even if they read markup.

    >>> escape_description("<b>%{danger_start} 1 < 2")
    '< b>% {danger_start} 1 < 2'
    """
    return re.sub(r"<(?=\S)|%(?=\{)", lambda found: found[0] + " ", escape_log(text))


def fingerprint(*parts: str) -> str:
    """128-bit BLAKE2b of texts, as 32 hex digits. They are hashed as JSON, which tells where one ends."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
