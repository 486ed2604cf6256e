"""`entropylaw select` by the methods that ask models or a judge, with small local ones: what is written and refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from judge_server import say as reply
from judge_server import serve_judge
from ruamel.yaml import YAML
from small_models import make_classifier, make_tagger
from typer.testing import CliRunner

from corpus.files import read_rows, write_rows
from corpus.prepare import to_row
from corpus.records import Conversation, HashedRecord
from entropylaw.cli import app
from entropylaw.study.params import read_study_params
from selection.budget import Budget
from selection.qurating import select_qurating
from training.quality_ratings import CRITERIA, rate_quality
from training.row_scores import RowScoreParams

Run = Callable[..., Result]
Row = dict[str, Any]

SHIPPED = Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def call(*arguments: object) -> Result:
        return CliRunner().invoke(app, ["select", *map(str, arguments)])

    return call


@pytest.fixture
def pool(chats: list[HashedRecord], tmp_path: Path) -> Path:
    """Sixteen real conversations."""
    write_rows(tmp_path / "pool.jsonl", [plain(record) for record, _ in chats[300:316]])
    return Path("pool.jsonl")


def plain(record: Any, **labels: object) -> Row:
    assert isinstance(record, Conversation)
    return {"messages": [{"role": m.role, "content": m.content} for m in record.messages], **labels}


def rows_of(path: Path) -> list[Row]:
    return [row for _, row in read_rows(path)]


def is_one_line_error(result: Result, *parts: str) -> bool:
    line = result.stderr
    return result.exit_code == 2 and line.count("\n") == 1 and all(part in line for part in parts)


def costs_in(result: Result) -> list[str]:
    """What was said beforehand; between these lines a slow machine reports its progress."""
    return [line for line in result.stderr.splitlines() if " operations, " in line]


def change_params(folder: Path, **sections: dict[str, Any]) -> None:
    """The params.yaml that comes with the tool, with some keys changed."""
    yaml = YAML()
    params = yaml.load((SHIPPED / "params.yaml").read_text())
    for name, keys in sections.items():
        params[name] |= keys
    with (folder / "params.yaml").open("w") as handle:
        yaml.dump(params, handle)


# --- labels that rows hold already


def test_instag_takes_the_tags_that_rows_hold_and_loads_no_model(
    run: Run, chats: list[HashedRecord], tmp_path: Path
) -> None:
    tags = [["maths"], ["maths", "proof"], "proof", [{"tag": "Poem"}], []]
    rows = [plain(record, tags=names) for (record, _), names in zip(chats[:5], tags, strict=True)]
    write_rows(tmp_path / "pool.jsonl", rows)
    result = run("instag", "pool.jsonl", "--out", "out.jsonl", "--rows", 5, "--tagger", "none")
    assert result.exit_code == 0, result.stderr
    # Two tags; then poem, which is new; in the second round maths and proof. The row without tags is left.
    assert rows_of(tmp_path / "out.jsonl") == [rows[1], rows[3], rows[0], rows[2]]
    assert "fewer than the 5 rows asked for: instag finds no more" in result.stdout


def test_labels_may_stand_in_the_file_that_the_pool_was_prepared_from(
    run: Run, chats: list[HashedRecord], tmp_path: Path
) -> None:
    grades = [4.4, 5, None, 4.5]
    write_rows(tmp_path / "pool.jsonl", [to_row(record, row_hash) for record, row_hash in chats[:3]])
    labelled = [plain(record, grade=grade) for (record, _), grade in zip(chats[:4], grades, strict=True)]
    write_rows(tmp_path / "graded.jsonl", labelled[::-1])
    asked = run("alpagasus", "pool.jsonl", "--out", "out.jsonl", "--rows", 3, "--labels", "graded.jsonl")
    assert is_one_line_error(asked, "no judge is configured: set judge.endpoint and judge.model in params.yaml")
    write_rows(tmp_path / "pool.jsonl", [to_row(record, row_hash) for record, row_hash in chats[:2]])
    result = run("alpagasus", "pool.jsonl", "--out", "out.jsonl", "--rows", 2, "--labels", "graded.jsonl")
    assert result.exit_code == 0, result.stderr
    assert [row["hash"] for row in rows_of(tmp_path / "out.jsonl")] == [chats[1].hash]


def test_a_grade_that_is_no_number_is_refused(run: Run, chats: list[HashedRecord], tmp_path: Path) -> None:
    write_rows(tmp_path / "pool.jsonl", [plain(chats[0].record, grade=5), plain(chats[1].record, grade="good")])
    result = run("alpagasus", "pool.jsonl", "--out", "out.jsonl", "--rows", 1)
    assert is_one_line_error(result, "pool.jsonl", "2", "grade is 'good', and a grade is a number")


def test_alpagasus_asks_the_judge_once_for_each_row_without_a_grade(
    run: Run, chats: list[HashedRecord], tmp_path: Path
) -> None:
    records = [record for record, _ in chats[:4]]
    write_rows(tmp_path / "pool.jsonl", [plain(records[0], grade=5), *map(plain, records[1:])])
    with serve_judge(lambda request: reply("4.5\nIt is accurate.")) as server:
        change_params(tmp_path, judge={"endpoint": server.endpoint, "model": "grader", "requests_per_minute": 60_000})
        result = run("alpagasus", "pool.jsonl", "--out", "out.jsonl", "--rows", 4)
        assert result.exit_code == 0, result.stderr
        assert f"the texts of 3 rows go to {server.endpoint}" in result.stderr
        asked = len(server.received)
        assert asked >= 3
        again = run("alpagasus", "pool.jsonl", "--out", "again.jsonl", "--rows", 4)
        assert again.exit_code == 0 and len(server.received) == asked
    assert len(rows_of(tmp_path / "out.jsonl")) == 4
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "again.jsonl").read_bytes()


# --- models


def test_instag_asks_the_tagger_and_says_what_it_costs(run: Run, pool: Path, base_folder: Path, tmp_path: Path) -> None:
    tagger = make_tagger(base_folder, tmp_path / "tagger", '{"tag": "Rain"}')
    change_params(tmp_path, row_scores={"max_new_tokens": 2, "batch_rows": 4})
    result = run("instag", pool, "--out", "out.jsonl", "--rows", 3, "--tagger", tagger)
    assert result.exit_code == 0, result.stderr
    # All have the same tag: one row a round, in their order.
    assert rows_of(tmp_path / "out.jsonl") == rows_of(tmp_path / "pool.jsonl")[:3]
    (line,) = costs_in(result)
    assert line.startswith(f"pool.jsonl: tags: {tagger} (") and "tokens of 16 rows, writes at most" in line


def test_qurating_draws_by_the_criterion_and_the_seed(
    run: Run, pool: Path, chats: list[HashedRecord], base_folder: Path, tmp_path: Path
) -> None:
    rater = make_classifier(base_folder, tmp_path / "rater", len(CRITERIA))
    ratings = rate_quality([record for record, _ in chats[300:316]], RowScoreParams(rater=str(rater)))
    rows = rows_of(tmp_path / "pool.jsonl")
    selected = {}
    for criterion, values in (("facts_and_trivia", ratings[:, 2]), ("mean", ratings.mean(axis=1))):
        for seed in (0, 1):
            options = ("--criterion", criterion, "--temperature", 1.5, "--seed", seed, "--rater", rater)
            result = run("qurating", pool, "--out", "out.jsonl", "--rows", 5, *options)
            assert result.exit_code == 0, result.stderr
            expected = select_qurating(values, 1.5, Budget(rows=5), np.random.default_rng(seed))
            selected[criterion, seed] = rows_of(tmp_path / "out.jsonl")
            assert selected[criterion, seed] == [rows[i] for i in expected]
    assert selected["mean", 0] != selected["mean", 1]
    (line,) = costs_in(result)
    assert line.startswith(f"pool.jsonl: ratings: {rater} (") and line.endswith("about 1 second here")
    assert is_one_line_error(run("qurating", pool, "--out", "o.jsonl", "--rater", base_folder), "it cannot rate")


def test_cherry_and_mods_select_the_same_rows_again_and_say_each_models_cost(
    run: Run, pool: Path, base_folder: Path, tmp_path: Path
) -> None:
    reward = make_classifier(base_folder, tmp_path / "reward", 1)
    change_params(
        tmp_path,
        row_scores={"max_length": 96, "batch_rows": 4, "max_new_tokens": 4, "reward_model": str(reward)},
        selection={"quality_above": -1e6, "necessity_below": 1e6},
    )
    said = {
        "cherry": ["brief training", "losses, with and without prompts"],
        "mods": ["quality", "brief training", "answers", "necessity"],
    }
    for method, works in said.items():
        for out in ("a.jsonl", "b.jsonl"):
            result = run(method, pool, "--out", out, "--rows", 6, "--model", base_folder, "--seed", 3)
            assert result.exit_code == 0, result.stderr
            lines = costs_in(result)
            assert [line.partition("pool.jsonl: ")[2].partition(":")[0] for line in lines] == works
        assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
        chosen = rows_of(tmp_path / "a.jsonl")
        assert 0 < len(chosen) <= 6 and all(row in rows_of(tmp_path / "pool.jsonl") for row in chosen)
        if method == "mods":  # every row is good, and every answer bad
            assert len({json.dumps(row) for row in chosen}) == 6
    assert not list(tmp_path.glob(".entropylaw/brief-*"))
    strict = run("mods", pool, "--out", "c.jsonl", "--rows", 6, "--model", base_folder, "--quality-above", 1e9)
    assert strict.exit_code == 2 and "lower selection.quality_above" in strict.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("instag", ("--tagger", "models/none"), "models/none: no such folder"),
        ("mods", ("--reward-model", "models/none"), "models/none: no such folder; set row_scores.reward_model"),
        ("cherry", ("--model", "models/none"), "models/none: no such folder"),
        ("qurating", ("--rater", "models/none"), "models/none: no such folder; set row_scores.rater"),
        ("qurating", ("--temperature", "-1"), "temperature must be at least 0"),
        ("alpagasus", (), "no judge is configured"),
    ],
)
@pytest.mark.slow
def test_what_cannot_work_is_refused_in_one_line(
    run: Run, pool: Path, tmp_path: Path, method: str, options: tuple[str, ...], said: str
) -> None:
    result = run(method, pool, "--out", "out.jsonl", "--rows", 3, *options)
    assert is_one_line_error(result, said), result.stderr
    assert not (tmp_path / "out.jsonl").exists()


# --- in a study, and in files of earlier releases


def test_a_study_compares_them_with_settings_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(
        "study:\n  share: 0.25\n  seeds: [0]\n  methods:\n    instag: {method: instag}\n    mods: {method: mods, "
        "seed_share: 0.4}\n    cherry: {method: cherry}\n    alpagasus: {method: alpagasus, lowest_grade: 4}\n"
        "    top: {method: qurating, temperature: 0}\n    drawn: {method: qurating, criterion: mean}\n"
    )
    methods = read_study_params(path).methods
    assert methods["mods"].seed_share == 0.4 and methods["alpagasus"].lowest_grade == 4.0
    assert (methods["top"].temperature, methods["drawn"].temperature) == (0.0, 2.0)
    assert (methods["top"].criterion, methods["drawn"].criterion) == ("educational_value", "mean")


def test_params_of_an_earlier_release_need_no_new_key(run: Run, pool: Path, tmp_path: Path) -> None:
    yaml = YAML()
    params = yaml.load((SHIPPED / "tests/fixtures/release-0.2.0/x2/params.yaml").read_text())
    assert "tagger" not in params["row_scores"] and "temperature" not in params["selection"]
    with (tmp_path / "params.yaml").open("w") as handle:
        yaml.dump({name: params[name] for name in ("row_scores", "selection")}, handle)
        yaml.dump({"prepare": yaml.load((SHIPPED / "params.yaml").read_text())["prepare"]}, handle)
    result = run("random", pool, "--out", "out.jsonl", "--rows", 3)
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("method", ["instag", "mods", "cherry", "alpagasus", "qurating"])
def test_each_explains_itself_with_an_example(run: Run, method: str) -> None:
    result = run(method, "--help")
    assert result.exit_code == 0
    assert f"entropylaw select {method} p" in result.stdout.partition("Example: ")[2]
    for option in ("--out", "--report", "--rows", "--tokens", "--tokenizer", "--seed", "--json"):
        assert option in result.stdout
