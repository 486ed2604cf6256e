"""What the demo says of its versions: one line each, the table at the end, and where it did not go as it should."""

from __future__ import annotations

from typing import Any


def describe_version(row: dict[str, Any], previous: dict[str, Any] | None) -> str:
    def number(key: str) -> str:
        change = f" ({row[key] - previous[key]:+.3f})" if previous else ""
        return f"{row[key]:.3f}{change}"

    text = f"{row['name']}: {row['status']}; R {number('r')}, long R {number('r_long')}, L {number('l')}"
    return text if row["z"] is None else f"{text}, Z {row['z']:.4f}"


def format_table(rows: list[dict[str, Any]]) -> list[str]:
    """The table of Figure 5: what was known before training, and the performance that followed."""
    lines = [
        f"{'version':<9} {'rows':>5} {'added':>6} {'removed':>8} "
        f"{'R':>7} {'long R':>7} {'L':>7} {'C':>7} {'Z':>9}  verdict",
        "-" * 84,
    ]
    for row in rows:
        changes = [f"{'' if row[key] is None else row[key]:>{width}}" for key, width in (("added", 6), ("removed", 8))]
        numbers = " ".join(f"{row[key]:7.3f}" for key in ("r", "r_long", "l", "c"))
        z = f"{'-':>9}" if row["z"] is None else f"{row['z']:9.4f}"
        note = " (Z in hindsight)" if row["status"] == "risky" and row["z"] is not None else ""
        lines.append(f"{row['name']:<9} {row['rows']:>5} {' '.join(changes)} {numbers} {z}  {row['status']}{note}")
    return lines


def list_deviations(rows: list[dict[str, Any]]) -> list[str]:
    """Where the demo's outcome differs from the paper's Figure 5; said, never hidden."""
    by_name = {row["name"]: row for row in rows}
    expected = {"x1": "baseline", "x2": "pass", "x3": "pass", "x4": "pass", "benign": "pass", "x5": "risky"}
    wrong = [
        f"{name} is {by_name[name]['status']}, not {status}"
        for name, status in expected.items()
        if by_name[name]["status"] != status
    ]
    if by_name["repaired"]["status"] not in ("pass", "warn"):
        wrong.append(f"x5 is still {by_name['repaired']['status']} after its repair")
    if by_name["x5"]["trained"]:
        wrong.append("x5 was trained on before its waiver")
    if by_name["x5"]["z"] >= by_name["x4"]["z"]:
        wrong.append(f"Z of x5 ({by_name['x5']['z']:.4f}) is not below Z of x4 ({by_name['x4']['z']:.4f})")
    return wrong
