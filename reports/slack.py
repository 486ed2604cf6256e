"""The verdict as a message for Slack, in its Block Kit, to be posted to an incoming webhook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reports.escaping import escape_invisible, log_json
from reports.numbers import format_change, format_count, format_number
from reports.report_data import ReportData
from reports.words import ALARMS, NOTES

# What Slack takes: of a header, of the text of a section, and blocks in a message.
# https://docs.slack.dev/reference/block-kit/blocks
HEADER_CHARACTERS, SECTION_CHARACTERS, MOST_BLOCKS = 150, 3000, 50
# A channel is no report: so many alarms, and the rest by number.
MOST_ALARMS = 5


def render_slack(data: ReportData) -> str:
    """A JSON object with ``text``, for notifications, and ``blocks``. Of rows only numbers and sources are shown."""
    headline = f"{data.words.icon} {data.words.word}: {data.headline}"
    blocks = [_header(headline), _section(_escape(data.summary)), *_list_alarms(data), *_list_measures(data)]
    if data.notes:
        blocks.append(_section("\n".join([f"*{NOTES}*", *(f"• {_escape(note)}" for note in data.notes)])))
    blocks.append(_section("\n".join(["*Next*", *_list_steps(data)])))
    return log_json({"text": _cut(_escape(headline), SECTION_CHARACTERS), "blocks": blocks[:MOST_BLOCKS]})


def _list_alarms(data: ReportData) -> Iterator[dict[str, Any]]:
    alarms = [rule for rule in data.rules if rule.status in ALARMS]
    for rule in alarms[:MOST_ALARMS]:
        waived = ", waived" if rule.waiver else ""
        title = f"{rule.words.icon} *{rule.title}* ({_escape(rule.dataset)}): {rule.words.word.lower()}{waived}"
        yield _section(f"{title}\n{_escape(rule.reason)}")
    if rest := alarms[MOST_ALARMS:]:
        yield _section(f"And {len(rest)} more: {', '.join(rule.title for rule in rest)}")


def _list_measures(data: ReportData) -> Iterator[dict[str, Any]]:
    for dataset in data.datasets:
        numbers = [f"{format_count(dataset.measurements.rows)} rows"]
        for change in dataset.changes:
            moved = f" ({format_change(change.change)})" if data.parent else ""
            numbers.append(f"{change.measure.symbol} {format_number(change.value)}{moved}")
        yield _section(f"*{_escape(dataset.name)}*: {'; '.join(numbers)}")


def _list_steps(data: ReportData) -> Iterator[str]:
    for number, step in enumerate(data.steps, start=1):
        commands = "".join(f"\n    `{command}`" for command in step.commands)
        yield f"{number}. {_escape(step.text)}{commands}"


def _header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": _cut(escape_invisible(text), HEADER_CHARACTERS)}}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, SECTION_CHARACTERS)}}


def _escape(text: str) -> str:
    """Text in which Slack finds no link, no mention and no mark: `<!channel>` would call everybody."""
    shown = escape_invisible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A zero-width space behind a mark keeps it from opening bold, italic, struck or code text.
    return "".join(f"{c}\u200b" if c in "*_~`" else c for c in shown)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
