"""A study in words and tables: Markdown and plain text for people, CSV and JSON for programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from reports.escaping import escape_markdown
from reports.markdown_table import table
from reports.marks import Chart
from reports.numbers import MISSING, format_change, format_count, format_number
from reports.study.runs import ZMeasure
from reports.study.study import UNEQUAL_SHARE, Difference, MethodRow, Study
from reports.text import wrap

# Columns of Table 1 that say how diverse a selection is, beside R.
DIVERSITY = (("R, equal length", "r_equal_length"), ("Self-repetition", "self_repetition"), ("NovelSum", "novelsum"))
# What Z is, as the page of a study says it.
Z_WORDS: dict[ZMeasure, str] = {
    "heldout": "minus the held-out loss in nats per response token",
    "margin": "by how many nats per token the model finds chosen answers of held-out pairs likelier than rejected ones",
    "mt_bench": "the mean grade in MT-bench, from 1 to 10",
}


def describe_study(study: Study) -> list[str]:
    """What the numbers say, in sentences.

    Which methods differ from random beyond noise, whether ZIP does, which were trained on more or fewer tokens than the
    others, and whether the entropy law explains the result.
    """
    best = max(study.methods, key=lambda row: row.z)
    sentences = [f"{best.name} has the best mean Z, {format_number(best.z)}."]
    sentences += _compare_with_random(study) + _describe_zip(study)
    reference = study.random or best
    for row in study.entries:
        more = row.trained_tokens / reference.trained_tokens - 1
        if abs(more) > UNEQUAL_SHARE:
            sentences.append(
                f"{row.name} is not at equal terms: its models were trained on {abs(more):.0%} "
                f"{'more' if more > 0 else 'fewer'} tokens than {reference.name}'s."
            )
    sentences.append(study.law.sentence)
    if study.quality is not None:
        sentences.append(study.quality.sentence)
    return sentences


def _compare_with_random(study: Study) -> list[str]:
    compared = [(row.name, row.versus_random) for row in study.methods if row.versus_random is not None]
    if not compared:
        return ["There is nothing to compare: it takes an entry with method random and one with another method."]
    if any(difference.outcome == "unknown" for _, difference in compared):
        return ["With a single seed nothing can be told from noise: give at least two, better three or more."]

    def list_methods(outcome: str) -> str:
        return "; ".join(f"{name} {describe_difference(part)}" for name, part in compared if part.outcome == outcome)

    sentences = []
    for outcome in ("better", "worse"):
        names = list_methods(outcome)
        sentences.append(
            f"{outcome.capitalize()} than random beyond noise: {names}." if names
            else f"No method is {outcome} than random beyond noise."
        )  # fmt: skip
    if names := list_methods("within noise"):
        sentences.append(f"Not to be told from random: {names}.")
    if len(compared) > 1:
        sentences.append(
            "Each 95% interval is for one method by itself: of twenty methods that equal random, one falls outside."
        )
    return sentences


def _describe_zip(study: Study) -> list[str]:
    """A sentence on ZIP, the paper's own method, for each outcome that one of its rows has."""
    conclusions = {
        "better": "ZIP beats random here ({}).",
        "worse": "ZIP loses to random here ({}).",
        "higher": "ZIP cannot be told from random here ({}); its mean Z is no lower.",
        "lower": "ZIP cannot be told from random here ({}); its mean Z is lower.",
    }
    names: dict[str, list[str]] = {}
    for row in study.methods:
        difference = row.versus_random
        if row.settings.method == "zip" and difference is not None:
            tendency = "lower" if difference.value < 0 else "higher"
            outcome = difference.outcome if difference.outcome in conclusions else tendency
            names.setdefault(outcome, []).append(row.name)
    return [text.format(", ".join(names[outcome])) for outcome, text in conclusions.items() if outcome in names]


def describe_difference(difference: Difference) -> str:
    """The difference with its interval, where that is known.

    >>> describe_difference(Difference(-0.031, -0.05, -0.012)), describe_difference(Difference(0.01, None, None))
    ('−0.031 (−0.050 to −0.012)', '+0.010')
    """
    value = format_change(difference.value)
    if difference.low is None:
        return value
    return f"{value} ({format_change(difference.low)} to {format_change(difference.high)})"


def render_study(
    study: Study, charts: Sequence[Chart], folder: str, made_from: str = "studies/selection/params.yaml"
) -> str:
    """The page of a study as Markdown: Table 1, what it says, and the charts, whose files lie in ``folder``.

    ``made_from``: the file that says what was compared.
    """
    model = "The SFT model is aligned by KTO" if study.dataset == "preferences" else "The base model is fine-tuned"
    seeds = len(study.seeds)
    trained = (
        f"with each of {seeds} seeds; numbers are means, ± one standard deviation" if seeds > 1 else "with one seed"
    )
    blocks = [
        "# Selection methods at equal token budget",
        f"Every method selects {format_count(study.budget_tokens)} tokens, {study.share:.0%} of the pool's, of which a "
        f"row counts at most {format_count(study.row_tokens)}, as many as training reads of it. {model} on them "
        f"{trained}. Z is {Z_WORDS[study.z_measure]}: higher is better. "
        "Best in bold, second best in italics.",
        _table_1(study),
        "\n".join(f"- {escape_markdown(sentence)}" for sentence in describe_study(study)),
    ]
    for chart in charts:
        blocks += [
            f"## {escape_markdown(chart.title)}",
            f"![{escape_markdown(chart.title)}]({folder}/{chart.name}.svg)",
            f"{escape_markdown(chart.description)} Numbers: [{chart.name}.csv]({folder}/{chart.name}.csv).",
        ]
    return "\n\n".join([*blocks, f"Made by `entropylaw study` from {made_from}."]) + "\n"


def _table_1(study: Study) -> str:
    graded = any(row.quality is not None for row in study.methods)
    header = ["Method", "Z", "Z − random (95%)", "Cost, s", "Tokens a row", "Rows", "R", "Long R", "L"]
    ranked = [
        _emphasise([_spread(row) for row in study.methods], [-row.z for row in study.methods]),
        [_versus(row) for row in study.methods],
        _emphasise([_seconds(row) for row in study.methods], [row.seconds for row in study.methods]),
        [f"{row.mean_tokens:.0f}" for row in study.methods],
        [format_count(round(row.rows)) for row in study.methods],
        [format_number(row.r) for row in study.methods],
        [format_number(row.r_long) for row in study.methods],
        [format_number(row.l) for row in study.methods],
    ]
    for title, key in DIVERSITY:
        if any(getattr(row, key) is not None for row in study.methods):
            header.append(title)
            ranked.append([format_number(getattr(row, key)) for row in study.methods])
    if graded:
        header.append("Quality")
        grades = [format_number(row.quality) for row in study.methods]
        ranked.append(_emphasise(grades, [-(row.quality or 0.0) for row in study.methods]))
    if any(row.right_share is not None for row in study.methods):
        header.append("Pairs right")
        ranked.append([MISSING if row.right_share is None else f"{row.right_share:.1%}" for row in study.methods])
    names = [escape_markdown(row.name) for row in study.methods]
    return table(header, zip(names, *ranked, strict=True), "l" + "r" * len(ranked))


def _emphasise(cells: Sequence[str], keys: Sequence[float]) -> list[str]:
    """Cells with the lowest key in bold and with the second lowest in italics; none if all keys are equal."""
    ranks = sorted(set(keys))
    if len(ranks) < 2:
        return list(cells)
    marks = {ranks[0]: "**", ranks[1]: "*"}
    return [f"{marks.get(key, '')}{cell}{marks.get(key, '')}" for cell, key in zip(cells, keys, strict=True)]


def _spread(row: MethodRow) -> str:
    return format_number(row.z) + ("" if row.z_sd is None else f" ± {row.z_sd:.3f}")


def _versus(row: MethodRow) -> str:
    return MISSING if row.versus_random is None else describe_difference(row.versus_random)


def _seconds(row: MethodRow) -> str:
    return f"{row.seconds:.1f}" if row.seconds < 100 else format_count(round(row.seconds))


def render_study_text(study: Study) -> str:
    """Table 1 and what it says, for a terminal of 80 columns."""
    lines = [f"{'METHOD':<21}{'Z':>14}{'Z − random (95%)':>27}{'COST, s':>9}{'TOK/ROW':>9}"]
    for row in study.methods:
        lines.append(
            f"{row.name[:20]:<21}{_spread(row):>14}{_versus(row):>27}{_seconds(row):>9}{row.mean_tokens:>9.0f}"
        )
    return "\n".join([*lines, "", *(line for text in describe_study(study) for line in wrap(text, "- ", "  "))]) + "\n"


def tabulate_study(study: Study) -> str:
    """CSV of every entry, variants included, with all measures unrounded."""
    records = [_to_record(row) for row in study.entries]
    return render_csv(list(records[0]), (list(record.values()) for record in records))


def summarise_study(study: Study) -> dict[str, Any]:
    """The study as a metrics file: every entry's numbers by name, the law, and the sentences."""
    return {
        "share": study.share,
        "budget_tokens": study.budget_tokens,
        "row_tokens": study.row_tokens,
        "seeds": list(study.seeds),
        "methods": {row.name: _to_record(row) for row in study.entries},
        "law": {
            "holds": study.law.holds,
            "selections": study.law.n_points,
            "r_squared_loo": study.law.r_squared_loo,
            "rank_correlation": study.law.rank_correlation,
            **({} if study.quality is None else {"quality": study.quality}),
            "curves": {
                key: {name: getattr(curve, name) for name in ("form", "holds", "r_squared", "r_squared_loo", "p_value")}
                for key, curve in study.curves.items()
            },
        },
        "sentences": describe_study(study),
    }


def _to_record(row: MethodRow) -> dict[str, Any]:
    versus = row.versus_random
    measures = ["seconds", "rows", "mean_tokens", "trained_tokens", "r", "r_long", "l", "quality"]
    measures += [key for _, key in DIVERSITY]
    return {
        "method": row.name,
        "z": row.z,
        "z_sd": row.z_sd,
        "difference": versus.value if versus else None,
        "low": versus.low if versus else None,
        "high": versus.high if versus else None,
        "outcome": versus.outcome if versus else None,
        **{measure: getattr(row, measure) for measure in measures},
        **({} if row.right_share is None else {"right_share": row.right_share}),
    }


def render_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    r"""The table as CSV: numbers with nine significant digits, and an empty cell where there is no value.

    >>> render_csv(("name", "z"), [("zip", -4.9), ("deita", None)])
    'name,z\nzip,-4.9\ndeita,\n'
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([f"{value:.9g}" if isinstance(value, float) else value for value in row])
    return buffer.getvalue()
