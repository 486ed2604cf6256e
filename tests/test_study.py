"""The selection study: what its table says, what its figures show, and the whole of it as a pipeline."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import Rows
from hypothesis import given
from hypothesis import strategies as st
from judge_server import say, serve_judge
from ruamel.yaml import YAML
from scipy import stats
from typer.main import get_command
from typer.testing import CliRunner

from corpus.artifacts import write_json, write_text
from corpus.errors import EntropylawError, NotAssessedError, ParamsError
from corpus.files import write_rows
from corpus.params import read_params
from corpus.prepare import to_row
from corpus.records import canonical_text
from entropylaw.cli import app
from entropylaw.demo.chitchat import ChatLog, to_conversation
from entropylaw.repository.shipped_files import shipped_text
from entropylaw.study.files import SELECTION
from entropylaw.study.params import StudyParams, read_study_params
from entropylaw.study.results import load_study
from entropylaw.study.run import run_method
from monitor.law.entropy_law import fit_entropy_law
from monitor.law.forms import fit_form, predict_form
from reports.study.figures import draw_study
from reports.study.law import list_law_points
from reports.study.lengths_figure import bin_lengths, share_by_bin
from reports.study.runs import MeasuredSelection, MethodResult, StudyRun
from reports.study.scatter_figure import NAME_HEIGHT, spread_labels
from reports.study.study import Study, build_study, compare_means, find_variants, list_variants
from reports.study.table import describe_study, render_study, render_study_text, summarise_study, tabulate_study
from selection.methods import Method, SelectionParams

REPOSITORY = Path(__file__).resolve().parent.parent
SVG = "{http://www.w3.org/2000/svg}"
SIZES: dict[str, Any] = {"window": "codec", "k1": 1000, "k2": 100, "k3": 50}


def result(
    name: str, z: Sequence[float], method: Method = "zip", long_r: float = 3.2, loss: float = 5.0, **changes: Any
) -> MethodResult:
    """A made-up entry with a run for each Z; random's runs select other rows each, the others' the same."""
    settings = SelectionParams(
        method, **{key: changes.pop(key) for key in list(changes) if hasattr(SelectionParams, key)}
    )
    runs = []
    for seed, value in enumerate(z):
        shift = 0.01 * seed if method == "random" else 0.0
        identity = f"{name} {seed}" if method == "random" else name
        own = {"rows": 100, "r": 2.8, "r_long": long_r + shift, "l": loss, "seconds": 1.5, "quality": None, **changes}
        trained_tokens = own.pop("trained_tokens", 20_000)
        runs.append(StudyRun(seed, value, trained_tokens, MeasuredSelection(identity, **own)))
    return MethodResult(name, replace(settings, share=0.25), 20_100, 256, tuple(runs))


def study(*results: MethodResult) -> Study:
    return build_study(results, {one.name: {150: 40, 210: 50, 600: 10} for one in results})


def lost() -> list[MethodResult]:
    """A study in which ZIP loses and the longer the rows the worse."""
    noise = np.array([-0.004, 0.001, 0.003])
    return [
        result("random", -4.90 + noise, "random", 3.64, 5.00, seconds=0.01),
        result("cluster", -4.89 + 2 * noise, "cluster", 3.60, 5.02, seconds=3.0),
        result("perplexity", -4.96 + noise, "perplexity", 3.30, 5.30, seconds=40.0),
        result("superfiltering", -5.02 + noise, "superfiltering", 3.50, 5.21, seconds=80.0),
        result("superfiltering-loss", -5.01 + noise, "superfiltering-loss", 3.52, 5.18, seconds=80.0),
        result("zip", -4.95 + noise, long_r=3.22, loss=5.07, **SIZES),
        result("zip-global", -4.93 + noise, long_r=3.19, loss=5.08, **{**SIZES, "window": "global"}),
        *[
            result(
                f"zip-{key}-{value}",
                -4.95 + 0.0001 * place + noise,
                long_r=3.1 + 0.03 * place**2,
                loss=5.1 - 0.02 * place,
                **{**SIZES, key: value},
            )
            for place, (key, value) in enumerate([("k1", 200), ("k1", 4000), ("k2", 50), ("k2", 500), ("k3", 100)])
        ],
    ]  # fmt: skip


# What is compared.


# Thousandths: scipy, the oracle, warns of its rounding where values are nearly the same.
scores = st.lists(st.integers(-6000, -4000).map(lambda z: z / 1000), min_size=2, max_size=6, unique=True)


@given(scores, scores)
def test_the_interval_is_welchs(here: list[float], there: list[float]) -> None:
    difference = compare_means(here, there)
    expected = stats.ttest_ind(here, there, equal_var=False).confidence_interval(0.95)
    assert difference.value == pytest.approx(np.mean(here) - np.mean(there), abs=1e-12)
    assert (difference.low, difference.high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-9)


def test_with_one_run_on_a_side_there_is_no_interval_and_no_outcome() -> None:
    assert compare_means([-4.0], [-5.0, -5.1]).outcome == "unknown"
    assert compare_means([-4.0, -4.1], [-5.0]).outcome == "unknown"


def test_table_1_holds_the_entries_that_are_no_variants_in_their_order() -> None:
    built = study(*lost())
    assert [row.name for row in built.methods] == [one.name for one in lost()[:7]]
    assert {base: len(rows) for base, rows in built.variants.items()} == {"zip": 5}


def test_variants_differ_from_their_base_in_one_size_alone() -> None:
    base = SelectionParams(**SIZES)
    entries = {
        "random": SelectionParams("random"),
        "random-k1": SelectionParams("random", k1=999),
        "zip": base,
        "narrow": replace(base, k2=60),
        "global": replace(base, window="global"),
        "global-narrow": replace(base, window="global", k2=60),
        "both": replace(base, k1=2000, k2=60),
        "both-k3": replace(base, k1=2000, k2=60, k3=10),
    }
    assert find_variants(entries) == {"narrow": "zip", "global-narrow": "global", "both-k3": "both"}


def test_variants_are_listed_by_their_size_with_the_base_among_them() -> None:
    built = study(*lost())
    base = next(row for row in built.methods if row.name == "zip")
    assert [row.name for row in list_variants(built, base, "k1")] == ["zip-k1-200", "zip", "zip-k1-4000"]
    assert [row.name for row in list_variants(built, base, "k3")] == ["zip", "zip-k3-100"]


def test_selecting_the_same_rows_twice_is_one_point_of_the_law() -> None:
    results = [result("random", [-4.9, -4.8], "random"), result("zip", [-5.0, -5.2])]
    same = MethodResult("again", *[getattr(results[1], field.name) for field in fields(MethodResult)][1:])
    points = list_law_points([*results, same])
    assert [(point.name, point.z) for point in points] == [
        ("random", -4.9),
        ("random", -4.8),
        ("zip", pytest.approx(-5.1)),
    ]


def test_a_curve_over_one_measure_is_fitted_on_each_selection_once() -> None:
    built = study(*lost())
    points = list_law_points(lost())
    assert {key: curve.n_points for key, curve in built.curves.items()} == dict.fromkeys(("r", "r_long", "l"), 14)
    line = np.polynomial.Polynomial.fit([p.l for p in points], [p.z for p in points], 1)
    linear = fit_form("linear", [p.l for p in points], [p.z for p in points])
    assert predict_form(linear, [5.1]) == pytest.approx(line(5.1))
    assert built.curves["l"].aicc["linear"] == pytest.approx(linear.aicc)


# What is said.


def test_a_zip_that_loses_is_said_to_lose() -> None:
    sentences = describe_study(study(*lost()))
    assert "ZIP loses to random here (zip, zip-global)." in sentences
    worse = next(sentence for sentence in sentences if sentence.startswith("Worse than random"))
    assert "zip −0.050 (" in worse and "superfiltering −0.120 (" in worse and "cluster" not in worse
    assert "No method is better than random beyond noise." in sentences


@pytest.mark.parametrize(
    ("zip_z", "conclusion"),
    [
        ((-4.80, -4.81, -4.82), "ZIP beats random here (zip)."),
        ((-4.90, -4.92, -4.85), "ZIP cannot be told from random here (zip); its mean Z is no lower."),
        ((-4.90, -4.92, -4.94), "ZIP cannot be told from random here (zip); its mean Z is lower."),
        ((-4.98, -4.99, -5.00), "ZIP loses to random here (zip)."),
    ],
)
def test_what_is_said_of_zip_follows_its_interval(zip_z: Sequence[float], conclusion: str) -> None:
    built = study(result("random", (-4.89, -4.90, -4.91), "random"), result("zip", zip_z))
    assert [sentence for sentence in describe_study(built) if sentence.startswith("ZIP")] == [conclusion]


def test_a_single_seed_lets_nothing_be_told_from_noise() -> None:
    sentences = describe_study(study(result("random", [-4.9], "random"), result("zip", [-5.9])))
    assert any(sentence.startswith("With a single seed") for sentence in sentences)
    assert not any("beyond noise" in sentence or "loses" in sentence for sentence in sentences)


def test_without_random_nothing_is_compared() -> None:
    built = study(result("zip", [-4.9, -4.8]), result("perplexity", [-4.9, -4.7], "perplexity"))
    assert built.random is None and all(row.versus_random is None for row in built.methods)
    assert any(sentence.startswith("There is nothing to compare") for sentence in describe_study(built))


def test_a_method_trained_on_fewer_tokens_is_not_at_equal_terms() -> None:
    built = study(
        result("random", [-4.9, -4.8], "random"),
        result("deita", [-4.9, -4.8], "deita", trained_tokens=15_000),
        result("zip", [-4.9, -4.8], trained_tokens=20_900),
    )
    unequal = [sentence for sentence in describe_study(built) if "equal terms" in sentence]
    assert len(unequal) == 1 and unequal[0].startswith("deita") and "25% fewer tokens than random's" in unequal[0]


def test_the_best_is_bold_and_the_second_best_italic() -> None:
    page = render_study(study(*lost()), [], "plots")
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:] for line in page.splitlines() if line[:1] == "|"}
    assert [name for name, row in cells.items() if row[0].startswith("**")] == ["cluster"]
    assert [name for name, row in cells.items() if re.match(r"\*[^*]", row[0])] == ["random"]
    assert [name for name, row in cells.items() if row[2].startswith("**")] == ["random"]
    assert cells["zip"][0] == "−4.950 ± 0.004" and "Quality" not in page and "zip-k1-200" not in page


def test_quality_is_a_column_where_a_judge_has_graded() -> None:
    built = study(
        result("random", [-4.9], "random", quality=3.25),
        result("zip", [-4.8], quality=4.5),
        result("zap", [-4.7], k1=9999),
    )
    page = render_study(replace(built, methods=(*built.methods, *built.variants["zip"])), [], "plots")
    rows = [line.split(" | ")[-1].strip(" |") for line in page.splitlines() if line[:1] == "|"]
    assert [rows[0], *rows[2:]] == ["Quality", "*3.250*", "**4.500**", "–"]


def test_the_text_fits_a_terminal_and_names_every_method() -> None:
    text = render_study_text(study(*lost()))
    assert max(map(len, text.splitlines())) <= 80
    assert all(any(line.startswith(one.name) for line in text.splitlines()) for one in lost()[:7])


def test_table_csv_holds_every_entry_unrounded() -> None:
    lines = list(csv.DictReader(io.StringIO(tabulate_study(study(*lost())))))
    assert [line["method"] for line in lines] == [one.name for one in lost()]
    zip_line = next(line for line in lines if line["method"] == "zip")
    z = [run.z for run in lost()[5].runs]
    assert float(zip_line["z"]) == pytest.approx(np.mean(z), rel=1e-8)
    assert float(zip_line["z_sd"]) == pytest.approx(np.std(z, ddof=1), rel=1e-8)
    assert zip_line["outcome"] == "worse" and lines[0]["outcome"] == ""
    assert float(zip_line["mean_tokens"]) == (150 * 40 + 210 * 50 + 600 * 10) / 100


def test_the_metrics_name_every_entry_and_carry_the_sentences() -> None:
    built = study(*lost())
    summary = summarise_study(built)
    assert list(summary["methods"]) == [one.name for one in lost()]
    assert summary["sentences"] == describe_study(built) and summary["law"]["selections"] == 14
    law = fit_entropy_law(list_law_points(lost()))
    assert -1 <= law.rank_correlation == summary["law"]["rank_correlation"] <= 1
    assert law.sentence in summary["sentences"]
    curves = summary["law"]["curves"]
    assert {key: curve["holds"] for key, curve in curves.items()} == {"r": None, "r_long": False, "l": False}
    assert curves["l"]["form"] == built.curves["l"].form


# What is drawn.


@pytest.mark.slow
def test_figures_are_well_formed_and_the_same_bytes_each_time() -> None:
    figures = draw_study(study(*lost()))
    assert figures == draw_study(study(*lost()))
    names = [figure.chart.name for figure in figures]
    assert names == ["token-lengths", "z-against-r", "z-against-r-long", "z-against-l", "sizes-zip"]
    for figure in figures:
        root = ElementTree.fromstring(figure.chart.svg)
        assert root.find(f"{SVG}title").text == figure.chart.title
        assert root.find(f"{SVG}desc").text == figure.chart.description
        assert figure.csv.count("\n") > 3


def test_every_method_of_the_table_is_named_in_every_comparing_figure() -> None:
    for figure in draw_study(study(*lost()))[:4]:
        words = "\n".join(text.text for text in ElementTree.fromstring(figure.chart.svg).iter(f"{SVG}text"))
        assert all(one.name in words for one in lost()[:7])
        assert "zip-k1-200" not in words


@pytest.mark.slow
def test_the_numbers_behind_a_figure_are_those_of_the_study() -> None:
    built = study(*lost())
    figures = {figure.chart.name: list(csv.DictReader(io.StringIO(figure.csv))) for figure in draw_study(built)}
    for name, key in (("z-against-r", "r"), ("z-against-r-long", "r_long"), ("z-against-l", "l")):
        drawn = {
            line["method"]: (float(line[key]), float(line["z"])) for line in figures[name] if line["kind"] != "law"
        }
        assert drawn == {row.name: (pytest.approx(getattr(row, key)), pytest.approx(row.z)) for row in built.entries}
    sizes = [(line["parameter"], int(line["value"])) for line in figures["sizes-zip"]]
    assert sizes == [
        ("k1", 200), ("k1", 1000), ("k1", 4000), ("k2", 50), ("k2", 100), ("k2", 500), ("k3", 50), ("k3", 100),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_curve_is_drawn_where_it_was_fitted_and_dashed_where_it_does_not_hold() -> None:
    built = study(*lost())
    charts = {figure.chart.name: figure.chart for figure in draw_study(built)}
    assert "FillBetween" in charts["z-against-l"].svg and "FillBetween" not in charts["z-against-r"].svg
    assert all(
        built.curves[key].sentence in charts[f"z-against-{key.replace('_', '-')}"].description for key in built.curves
    )
    held = study(
        *[replace(one, runs=tuple(replace(run, z=-0.4 * run.selected.l) for run in one.runs)) for one in lost()]
    )
    assert held.curves["l"].holds and not built.curves["l"].holds
    drawn = {figure.chart.name: figure.chart.svg for figure in draw_study(held)}
    assert "dasharray" in charts["z-against-l"].svg and "dasharray" not in drawn["z-against-l"]
    few = draw_study(study(*lost()[:3]))
    assert not any("FillBetween" in figure.chart.svg for figure in few)


@pytest.mark.slow
def test_the_numbers_of_a_curve_are_beside_its_figure() -> None:
    built = study(*lost())
    band = built.curves["l"].band
    csv_text = next(figure.csv for figure in draw_study(built) if figure.chart.name == "z-against-l")
    lines = [line for line in csv.DictReader(io.StringIO(csv_text)) if line["kind"] == "law"]
    for column, values in (("l", band.x), ("z", band.z), ("z_low", band.low), ("run_high", band.run_high)):
        assert [float(line[column]) for line in lines] == pytest.approx(list(values), rel=1e-8)


def test_without_variants_no_sizes_are_drawn() -> None:
    assert [figure.chart.name for figure in draw_study(study(*lost()[:7]))][-1] == "z-against-l"


def test_a_study_of_one_method_with_rows_of_one_length_is_drawn() -> None:
    one = result("zip", [-4.9])
    figures = draw_study(build_study([one], {"zip": {7: 3}}))
    assert len(figures) == 4


@given(st.dictionaries(st.integers(0, 5000), st.integers(1, 50), min_size=1))
def test_every_selected_row_falls_into_one_bin_of_lengths(lengths: dict[int, int]) -> None:
    edges = bin_lengths(list(lengths))
    shares = share_by_bin(lengths, edges)
    total = sum(lengths.values())
    expected = [
        sum(rows for tokens, rows in lengths.items() if low <= max(tokens, edges[0]) < high) / total
        for low, high in pairwise(edges)
    ]
    assert shares.tolist() == pytest.approx(expected) and sum(shares) == pytest.approx(1)


@given(st.lists(st.floats(0, 230), min_size=1, max_size=16))
def test_names_beside_the_marks_never_overlap_and_keep_their_order(wanted: list[float]) -> None:
    placed = spread_labels(wanted, NAME_HEIGHT, 230.0)
    ordered = sorted(placed)
    assert all(b - a >= NAME_HEIGHT - 1e-9 for a, b in pairwise(ordered))
    assert ordered[0] >= -1e-9 and ordered[-1] <= 230
    assert all(placed[i] < placed[j] for i in range(len(wanted)) for j in range(len(wanted)) if wanted[i] < wanted[j])


# What is read.


def write_params(folder: Path, text: str) -> Path:
    path = folder / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_entry_overrides_the_papers_defaults(tmp_path: Path) -> None:
    path = write_params(tmp_path, "study: {share: 0.5, seeds: [3], methods: {a: {method: zip, k1: 500}}}")
    assert read_study_params(path) == StudyParams(0.5, (3,), {"a": SelectionParams("zip", k1=500)})


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("other: {}", "study: expected a section"),
        ("study: {share: 0.5, seeds: [0]}", "study.methods: missing key"),
        ("study: {share: 0.5, seeds: [0], methods: {}}", "at least one"),
        ("study: {share: 0.5, seeds: [0], methods: [zip]}", "study.methods: expected names"),
        ("study: {share: 0.5, seeds: [0], methods: {a: zip}}", "methods.a: expected settings"),
        ("study: {share: 0.5, seeds: [0], methods: {a: {k1: 5}}}", "methods.a.method: missing key"),
        ("study: {share: 0.5, seeds: [0], methods: {a: {method: zap}}}", "methods.a.method: expected one of"),
        ("study: {share: 0.5, seeds: [0], methods: {a: {method: zip, k9: 5}}}", "methods.a.k9: unknown key"),
        ("study: {share: 0.5, seeds: [0], methods: {a: {method: zip, k1: many}}}", "methods.a.k1: expected int"),
        ("study: {share: 0.5, seeds: [0], methods: {a: {method: zip, k1: 5}}}", "methods.a: expected 1 <= k3"),
        ("study: {share: 0.5, seeds: [0], methods: {a: {method: zip, tokens: 5}}}", "set study.share"),
        ("study: {share: 0.5, seeds: [0], methods: {a: {method: random, seed: 5}}}", "set study.seeds"),
        ("study: {share: 0.5, seeds: [0], methods: {a.b: {method: zip}}}", "'a.b' must be of letters"),
        ("study: {share: 0.5, seeds: [0], methods: {a: {method: zip}, b: {method: zip}}}", "a and b are the same"),
        ("study: {share: 1.5, seeds: [0], methods: {a: {method: zip}}}", "share must lie"),
        ("study: {share: 0.5, seeds: [], methods: {a: {method: zip}}}", "seeds must be"),
        ("study: {share: 0.5, seeds: [1, 1], methods: {a: {method: zip}}}", "seeds must be"),
        ("study: {share: 0.5, seeds: [0], methods: {a: {method: zip}}, judge: 1}", "study.judge: unknown key"),
    ],
)
def test_wrong_study_params_are_named_by_file_and_key(tmp_path: Path, text: str, cause: str) -> None:
    path = write_params(tmp_path, text)
    with pytest.raises(ParamsError) as caught:
        read_study_params(path)
    assert cause in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_the_shipped_study_reads_and_compares_the_papers_methods() -> None:
    shipped = read_study_params(REPOSITORY / "studies" / "selection" / "params.yaml")
    variants = find_variants(shipped.methods)
    table = [settings.method for name, settings in shipped.methods.items() if name not in variants]
    assert [method for method in table if method not in ("length", "k-centre", "novelsum")] == [
        "random", "cluster", "perplexity", "superfiltering", "superfiltering-loss", "zip", "zip"
    ]  # fmt: skip
    assert {"length", "k-centre", "novelsum"} < set(table)
    assert len(shipped.seeds) >= 3 and set(variants.values()) == {"zip"}


def test_the_stages_call_commands_that_exist_and_depend_on_sections_that_exist() -> None:
    pipeline = YAML(typ="safe").load((REPOSITORY / "studies" / "selection" / "dvc.yaml").read_text())
    sections = read_params(REPOSITORY / "params.yaml")
    stages = [pipeline["stages"]["run"]["do"], pipeline["stages"]["report"]]
    for stage in stages:
        program, *words = shlex.split(stage["cmd"])
        command: Any = get_command(app)
        while words and hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        assert program == "entropylaw" and not hasattr(command, "commands")
        assert len(words) == len([parameter for parameter in command.params if parameter.param_type_name == "argument"])
        assert stage["wdir"] == "../.."
        for item in stage["params"]:
            assert isinstance(item, dict) or item in sections, item
    outs = [next(iter(out)) for out in stages[0]["outs"]]
    assert outs == [SELECTION.result("${key}").as_posix(), SELECTION.lengths("${key}").as_posix()]


def test_an_installed_tool_carries_the_study() -> None:
    wheel = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    for name in ("studies/selection/dvc.yaml", "studies/selection/params.yaml"):
        assert wheel["force-include"][name] == f"entropylaw/pipeline/{name}"
        assert shipped_text(name) == (REPOSITORY / name).read_text(encoding="utf-8")


def save(results: Sequence[MethodResult]) -> StudyParams:
    for one in results:
        write_json(SELECTION.result(one.name), one)
        write_text(SELECTION.lengths(one.name), "tokens,rows\n150,60\n210,40\n")
    return StudyParams(0.25, (0, 1, 2), {one.name: one.settings for one in results})


def test_a_study_is_read_back_as_it_was_written(in_tmp_path: Path) -> None:
    params = save(lost())
    assert describe_study(load_study(params)) == describe_study(study(*lost()))


def test_runs_of_an_earlier_release_are_read_without_what_was_added(in_tmp_path: Path) -> None:
    params = save(lost())
    for name in params.methods:
        document = json.loads(SELECTION.result(name).read_text())
        for key in SelectionParams.ADDED:
            document["settings"].pop(key, None)
        assert "novelsum" not in document["runs"][0]["selected"] and "right_share" not in document["runs"][0]
        SELECTION.result(name).write_text(json.dumps(document))
    assert describe_study(load_study(params)) == describe_study(study(*lost()))


def test_diversity_is_a_column_where_it_was_measured() -> None:
    page = render_study(study(result("random", [-4.9], "random", novelsum=1.25), result("zip", [-4.8])), [], "plots")
    rows = [line.split(" | ")[-1].strip(" |") for line in page.splitlines() if line[:1] == "|"]
    assert [rows[0], *rows[2:]] == ["NovelSum", "1.250", "–"]


@pytest.mark.parametrize(
    ("break_it", "cause"),
    [
        (lambda file, params: file.unlink(), "no such file; run `entropylaw study` first"),
        (lambda file, params: file.write_text('{"name": "zip"}'), "missing key; run `dvc repro --force"),
        (lambda file, params: params.methods.update(zip=SelectionParams(k1=2000)), "made with other settings"),
        (lambda file, params: SELECTION.lengths("zip").unlink(), "no such file; run `entropylaw study` first"),
        (lambda file, params: SELECTION.lengths("zip").write_text("tokens,rows\n5,many\n"), "damaged"),
        (lambda file, params: SELECTION.lengths("zip").write_text("tokens,rows\n"), "damaged"),
    ],
)
def test_results_that_are_missing_damaged_or_stale_are_not_reported(
    in_tmp_path: Path, break_it: Callable[[Path, StudyParams], None], cause: str
) -> None:
    params = save(lost())
    break_it(SELECTION.result("zip"), params)
    with pytest.raises(EntropylawError, match=re.escape(cause)):
        load_study(params)


def test_runs_on_different_pools_are_not_compared(in_tmp_path: Path) -> None:
    params = save([*lost()[:-1], replace(lost()[-1], budget_tokens=999)])
    with pytest.raises(EntropylawError, match="different pools"):
        load_study(params)


@pytest.mark.parametrize("words", [["study"], ["study", "run"], ["study", "report"]])
def test_study_commands_have_an_example_in_their_help(words: list[str]) -> None:
    shown = CliRunner().invoke(app, [*words, "--help"])
    assert shown.exit_code == 0 and f"Example: entropylaw {' '.join(words)}" in shown.stdout


def test_outside_a_repository_the_study_says_what_to_run(in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(in_tmp_path.parent))
    done = CliRunner().invoke(app, ["study"])
    assert done.exit_code == 2 and "git init" in done.stderr and not list(in_tmp_path.iterdir())


# What is run.

TINY = {
    "base_model": {"vocabulary": 400, "hidden_size": 32, "layers": 1, "heads": 2, "max_length": 96, "steps": 40},
    "probe": {"steps": 8, "max_length": 96, "skipped_steps": 2},
    "sft": {"epochs": 1.0, "max_length": 96},
    "evaluation": {"rows": 20, "max_length": 96},
}


def write_tiny_params(folder: Path, **more: dict[str, Any]) -> None:
    yaml = YAML()
    params = yaml.load(shipped_text("params.yaml"))
    for section, changes in {**TINY, **more}.items():
        params[section].update(changes)
    with (folder / "params.yaml").open("w") as handle:
        yaml.dump(params, handle)


@pytest.fixture
def repository(in_tmp_path: Path, chats: Rows, base_folder: Path) -> Rows:
    """What the stages before the study leave behind; the pool's rows."""
    pool, held_out = chats[300:420], chats[420:440]
    write_rows("data/prepared/sft.jsonl", (to_row(*row) for row in pool))
    write_rows("data/heldout.jsonl", (to_row(*row) for row in held_out))
    shutil.copytree(base_folder, "models/base")
    write_tiny_params(in_tmp_path)
    return pool


@pytest.mark.long
def test_every_seed_draws_other_rows_at_random_and_zip_selects_once(repository: Rows) -> None:
    from tokenizers import Tokenizer

    params = StudyParams(
        0.4, (0, 1), {"random": SelectionParams("random"), "zip": SelectionParams(k1=60, k2=20, k3=10)}
    )
    tokenizer = Tokenizer.from_file("models/base/tokenizer.json")
    counts = [len(tokenizer.encode(canonical_text(record)).ids) for record, _ in repository]
    random, random_lengths = run_method("random", params)
    zipped, zip_lengths = run_method("zip", params)
    for one, lengths in ((random, random_lengths), (zipped, zip_lengths)):
        assert one.budget_tokens == int(0.4 * sum(min(count, 96) for count in counts)) and one.row_tokens == 96
        assert [run.seed for run in one.runs] == [0, 1]
        assert sum(lengths.values()) == sum(run.selected.rows for run in one.runs) and set(lengths) <= set(counts)
        for run in one.runs:
            assert run.z < 0 < run.selected.l and run.selected.quality is None
            # Training reads what the budget paid for, up to the chat template's own tokens and a row that did not fit.
            assert run.trained_tokens == pytest.approx(one.budget_tokens, rel=0.1)
    assert len({run.selected.identity for run in random.runs}) == 2
    assert len({run.selected for run in zipped.runs}) == 1 and zipped.runs[0].z != zipped.runs[1].z
    assert not list(Path(".entropylaw").glob("study-*"))


def test_a_configured_judge_grades_the_selection(
    repository: Rows, in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serve_judge(lambda request: say("Grade: [[3.5]]")) as server:
        write_tiny_params(
            in_tmp_path,
            judge={"endpoint": server.endpoint, "model": "grader", "requests_per_minute": 6_000_000},
            probe={"batch_rows": 2, "steps": 2, "skipped_steps": 0},
        )
        graded, _ = run_method("random", StudyParams(0.1, (0,), {"random": SelectionParams("random")}))
    assert server.received and graded.runs[0].selected.quality == 3.5


def test_a_budget_that_pays_for_no_row_is_an_error(repository: Rows) -> None:
    with pytest.raises(EntropylawError, match=r"pays for no row; raise study\.share"):
        run_method("random", StudyParams(0.0001, (0,), {"random": SelectionParams("random")}))


def test_training_that_diverges_is_not_assessed(repository: Rows, in_tmp_path: Path) -> None:
    write_tiny_params(in_tmp_path, sft={"learning_rate": 1e30, "max_length": 96})
    with pytest.raises(NotAssessedError, match=r"lower sft\.learning_rate"):
        run_method("random", StudyParams(0.4, (0,), {"random": SelectionParams("random")}))


@pytest.mark.slow
@pytest.mark.long
def test_the_study_runs_as_a_pipeline_and_a_second_time_does_nothing(tmp_path: Path, chat_logs: list[ChatLog]) -> None:
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}

    def call(*command: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    logs = [log for log in chat_logs if 200 < sum(map(len, log.turns)) < 1500]
    write_rows(tmp_path / "data" / "sft.jsonl", [to_conversation(log) for log in logs[:80]])
    call("git", "init", "--quiet")
    call("dvc", "init", "--quiet")
    call("entropylaw", "init", "--dataset", "sft=data/sft.jsonl")
    write_tiny_params(tmp_path, datasets={})
    (tmp_path / "studies" / "selection").mkdir(parents=True)
    methods = "{random: {method: random}, zip: {method: zip, k1: 40, k2: 20, k3: 5}}"
    chosen = f"study: {{share: 0.5, seeds: [0], methods: {methods}}}\n"
    (tmp_path / "studies" / "selection" / "params.yaml").write_text(chosen)

    # By its full name alone, as from a tool's own environment that is not on the path.
    environment["PATH"] = os.environ["PATH"]
    first = call(f"{scripts}/entropylaw", "study")
    assert re.search(r"^random +−\d", first.stdout, re.M) and re.search(r"^zip +−\d", first.stdout, re.M)
    assert "Running stage" in first.stderr and "Running stage" not in first.stdout
    results = tmp_path / "studies" / "selection"
    for name in ("runs/zip.json", "runs/random_tokens.csv", "results/table.csv", "results/table.md"):
        assert (results / name).stat().st_size > 0, name
    linked = re.findall(r"\((plots/[^)]+)\)", (results / "results" / "table.md").read_text())
    assert len(linked) == 8 and all((results / "results" / name).exists() for name in linked)
    assert (results / "params.yaml").read_text() == chosen
    assert not list((tmp_path / "models").glob("s*")), "the study's models are deleted"

    before = {path: path.stat().st_mtime_ns for path in results.rglob("*")}
    second = call(f"{scripts}/entropylaw", "study", "--json")
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*")} == before
    assert json.loads(second.stdout) == json.loads((results / "results" / "table.json").read_text())
    assert set(json.loads(second.stdout)["methods"]) == {"random", "zip"}
