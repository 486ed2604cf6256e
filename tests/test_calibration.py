"""Calibration: what is normal, measured on data whose truth is known."""

import contextlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from corpus.artifacts import to_json, write_json
from corpus.errors import DamagedResultError, NotAssessedError
from corpus.files import write_rows
from corpus.prepare import to_row
from corpus.records import Conversation, HashedRecord, Message, Preference, canonical_text, content_hash
from corpus.shapes import parse_shape
from entropylaw.cli import app
from entropylaw.init.recipes import apply_recipe
from entropylaw.repository.results import load_calibration
from entropylaw.repository.shipped_files import shipped_text
from monitor.calibration.calibrate import Calibration, calibrate
from monitor.calibration.cost import CalibrationCost, time_step
from monitor.calibration.kept_runs import find_run, finish_runs
from monitor.calibration.law_runs import (
    LawSubset,
    LawTraining,
    draw_law_subsets,
    plan_law_runs,
    run_law_point,
    scramble_words,
    split_for_law,
)
from monitor.calibration.noise_runs import NoiseRun, gather_rows, plan_noise_runs
from monitor.calibration.params import CalibrationParams
from monitor.calibration.run_processes import MAX_PROCESSES, MIN_TOKENS, count_processes, finish_in_processes
from monitor.law.curves import fit_law_curves
from monitor.law.entropy_law import fit_entropy_law
from monitor.law.results import CLEAN
from monitor.measures.compression import CompressionParams
from training.base_model import load_base_model
from training.probe_run import ProbeParams
from training.probed_model import ProbedModel, load_probed_model
from training.threads import limit_threads

Rows = list[HashedRecord]
COMPRESSION = CompressionParams()
PROBE = ProbeParams(steps=12, batch_rows=2, rows=150, max_length=48, skipped_steps=1)
PARAMS = CalibrationParams(seeds=3, update_shares=(0.1, 0.2), updates=2, topics=6, heldout_rows=12)
# Three probes of 12 steps; the first reads 150 rows, the work of 25 steps, the others 24, the work of four. Then
# fourteen runs of 24 and, for being scored on 12 rows, the work of two more.
FIRST_PROBE, PROBE_STEPS, LAW_STEPS = 37, 16, 26
ALL_STEPS = FIRST_PROBE + 2 * PROBE_STEPS + 14 * LAW_STEPS


@pytest.fixture(scope="module")
def rows(chats: Rows) -> Rows:
    return chats[:360]


@pytest.fixture(scope="module")
def calibration(rows: Rows, base_folder: Path) -> Calibration:
    return calibrate(rows, str(base_folder), PROBE, COMPRESSION, PARAMS)


def test_scrambling_keeps_the_words_of_an_answer_and_everything_else() -> None:
    rng = np.random.default_rng(0)
    answer = "one two three four five six seven eight"
    talk = Conversation((Message("user", "Count to eight now"), Message("assistant", answer)), "numbers", 7)
    scrambled = scramble_words(talk, rng)
    assert isinstance(scrambled, Conversation)
    assert (scrambled.source, scrambled.row, scrambled.messages[0]) == ("numbers", 7, talk.messages[0])
    assert scrambled.messages[1].content != answer
    assert sorted(scrambled.messages[1].content.split()) == sorted(answer.split())
    pair = Preference(talk.messages[:1], talk.messages[1:], talk.messages[1:], row=3)
    both = scramble_words(pair, rng)
    assert isinstance(both, Preference)
    assert (both.prompt, both.row) == (pair.prompt, 3)
    assert answer not in (both.chosen[0].content, both.rejected[0].content)


@pytest.mark.slow
def test_the_laws_subsets_are_ordered_by_the_codec_that_the_user_set(chats: Rows) -> None:
    # Long rows: of a short one every level finds the same repetitions.
    texts = ["\n".join(canonical_text(record) for record, _ in chats[i : i + 20]) for i in range(0, 1200, 20)]
    records = [Conversation((Message("user", "Go on."), Message("assistant", text))) for text in texts]
    rows = [HashedRecord(record, content_hash(record)) for record in records]

    def order(level: int) -> list[str]:
        drawn = draw_law_subsets(rows, len(rows), CompressionParams(level=level), np.random.default_rng(0))
        return [row.hash for row in next(subset.rows for subset in drawn if subset.name == "least compressible")]

    assert sorted(order(1)) == sorted(order(9)) and order(1) != order(9)


def test_the_fourteen_subsets_have_one_size_and_differ_as_their_names_say(chats: Rows) -> None:
    drawn = draw_law_subsets(chats[:120], 80, COMPRESSION, np.random.default_rng(0))
    subsets = {subset.name: subset.rows for subset in drawn}
    assert len(subsets) == 14
    assert Counter(subset.family for subset in drawn) == {
        "clean": 7, "repeated": 4, "scrambled": 2, "scrambled and repeated": 1
    }  # fmt: skip
    assert {len(rows) for rows in subsets.values()} == {80}
    assert all(content_hash(record) == row_hash for rows in subsets.values() for record, row_hash in rows)
    distinct = {name: len({row_hash for _, row_hash in rows}) for name, rows in subsets.items()}
    assert [distinct[f"1/{k} distinct"] for k in (2, 4, 8)] == [40, 20, 10]
    known = {row_hash for _, row_hash in chats[:120]}
    foreign = {name: sum(row_hash not in known for _, row_hash in rows) for name, rows in subsets.items()}
    # An answer of one word cannot be scrambled.
    assert foreign["random 1"] == 0 < 12 <= foreign["25% scrambled"] <= 20 < 32 <= foreign["50% scrambled"] <= 40
    draws = [frozenset(row_hash for _, row_hash in subsets[f"random {k}"]) for k in (1, 2, 3)]
    assert len(set(draws)) == 3
    codec = COMPRESSION.codec()

    def mean_ratio(name: str) -> float:
        return float(np.mean([codec.ratio([canonical_text(record).encode()]) for record, _ in subsets[name]]))

    # Of few distinct rows the mean length may be any.
    clean = {subset.name: subset.rows for subset in drawn if subset.family == CLEAN}
    lengths = {name: np.mean([len(canonical_text(record)) for record, _ in rows]) for name, rows in clean.items()}
    assert min(lengths, key=lambda name: lengths[name]) == "shortest"
    assert max(lengths, key=lambda name: lengths[name]) == "longest"
    assert mean_ratio("least compressible") < mean_ratio("random 1") < mean_ratio("most compressible")


def test_calibration_measures_noise_updates_and_fourteen_runs(calibration: Calibration) -> None:
    assert calibration.rows == 360
    assert len(set(calibration.noise_l)) == 3
    assert np.ptp(calibration.noise_l) < 0.5
    assert len(calibration.updates) == 2 * 2
    # A fifth of the rows moves a mean loss by less than the losses of two rows differ, an agreement by less still.
    assert all(0 < abs(update.change_l or 0) < 0.4 for update in calibration.updates)
    assert all(0 < abs(update.change_c or 0) < 0.05 for update in calibration.updates)
    points = {point.name: point for point in calibration.points}
    assert len(points) == 14
    assert (points["shortest"].family, points["1/8 distinct"].family) == ("clean", "repeated")
    assert points["1/8 distinct"].r_long > 3 * points["random 1"].r_long
    assert points["50% scrambled"].l > points["random 1"].l
    assert all(-8 < point.z < 0 for point in calibration.points)


def test_the_curves_are_those_of_the_calibrations_own_points(calibration: Calibration) -> None:
    again = fit_law_curves(calibration.points, np.random.default_rng(PARAMS.seed))
    assert to_json(calibration.curves) == to_json(again)
    assert [curve.n_points for curve in calibration.curves.values()] == [14] * 3


def test_a_baseline_that_repeats_itself_is_calibrated_on_its_distinct_rows(
    calibration: Calibration, rows: Rows, base_folder: Path
) -> None:
    seen: list[tuple[int, int]] = []
    again = calibrate(
        rows + rows[:100],
        str(base_folder),
        PROBE,
        COMPRESSION,
        replace(PARAMS, law_runs=False),
        lambda done, total: seen.append((done, total)),
    )
    no_curves = fit_law_curves((), np.random.default_rng(0))
    without_law = replace(calibration, points=(), curves=no_curves, params=replace(PARAMS, law_runs=False))
    assert to_json(again) == to_json(without_law)
    # Each step, and the end of each of the three runs.
    done = [done for done, _ in seen]
    assert done == sorted(done) and {37, 53, 69} <= set(done) <= set(range(1, 70))
    assert {total for _, total in seen} == {69}


# Interruptions.


class Attempt:
    """A calibration that may be interrupted at a step: its result, the steps it reported, and the cost it stated."""

    def __init__(self, rows: Rows, base_folder: Path, kept: Path, stop_at: int | None = None) -> None:
        self.steps: list[int] = []
        self.costs: list[CalibrationCost] = []
        self.result: Calibration | None = None

        def progress(done: int, total: int) -> None:
            assert total == ALL_STEPS
            self.steps.append(done)
            if done == stop_at:
                raise KeyboardInterrupt

        def announce(cost: CalibrationCost) -> None:
            assert not self.steps
            self.costs.append(cost)

        with contextlib.suppress(KeyboardInterrupt):
            self.result = calibrate(rows, str(base_folder), PROBE, COMPRESSION, PARAMS, progress, kept, announce)

    def runs(self) -> tuple[int, int, int]:
        """Stated to be left of the probe, left of the law, and kept."""
        (cost,) = self.costs
        assert cost.seconds > 0
        return cost.noise_runs, cost.law_runs, cost.kept_runs


def test_an_interrupted_calibration_goes_on_where_it_stopped_and_gives_the_bytes_of_an_unbroken_one(
    calibration: Calibration, rows: Rows, base_folder: Path, tmp_path: Path
) -> None:
    first = Attempt(rows, base_folder, tmp_path, stop_at=FIRST_PROBE + PROBE_STEPS + 5)
    assert first.runs() == (3, 14, 0) and first.result is None
    second = Attempt(rows, base_folder, tmp_path, stop_at=FIRST_PROBE + 2 * PROBE_STEPS + 5 * LAW_STEPS + 1)
    assert second.runs() == (1, 14, 2) and second.result is None
    # Two whole probes are not run again: one report each, instead of one for each step.
    assert second.steps[:2] == [37, 53] < second.steps[2:4]

    # Two of the kept files are damaged: one cannot be read, in the other a digit of L has changed.
    torn, changed = sorted(tmp_path.iterdir())[:2]
    torn.write_text(torn.read_text()[:-9])
    text = changed.read_text()
    index = text.index('"l": ') + 7
    changed.write_text(text[:index] + str((int(text[index]) + 1) % 10) + text[index + 1 :])
    third = Attempt(rows, base_folder, tmp_path)
    assert sum(third.runs()[:2]) == 9 + 2 and third.runs()[2] == 8 - 2
    assert to_json(third.result) == to_json(calibration)
    assert third.steps[-1] == ALL_STEPS


def make_base(identity: str = "base", device: str = "cpu") -> ProbedModel:
    """As much of a base model as tells one run from another."""
    card = SimpleNamespace(identity=identity, trained_from=0.5)
    return ProbedModel(SimpleNamespace(device=device), None, card)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"identity": "another"}, {"device": "cuda:0"}, {"rows": 1}, {"probe": 1}])
def test_no_run_is_taken_for_one_of_other_data_settings_or_base(change: dict[str, object], chats: Rows) -> None:
    def keys(identity: str = "base", device: str = "cpu", rows: int = 0, probe: int = 0) -> list[str]:
        data, params = chats[rows : 40 + rows], replace(PROBE, seed=probe)
        base = make_base(identity, device)
        noise = plan_noise_runs(data, base, params, 2)[1:]
        law = plan_law_runs([LawSubset("a", CLEAN, data)], chats[50:60], base, LawTraining(params, 1e-3, COMPRESSION))
        return [run.key for run in [*noise, *law]]

    assert keys() == keys()
    assert not set(keys()) & set(keys(**change))  # type: ignore[arg-type]


def test_a_law_run_is_known_by_its_rows_in_order_what_it_is_scored_on_and_how_it_is_measured(chats: Rows) -> None:
    def key(
        name: str = "a",
        subset: Rows = chats[:40],
        held_out: Rows = chats[50:60],
        learning_rate: float = 1e-3,
        compression: CompressionParams = COMPRESSION,
    ) -> str:
        training = LawTraining(PROBE, learning_rate, compression)
        (run,) = plan_law_runs([LawSubset(name, CLEAN, subset)], held_out, make_base(), training)
        return run.key

    others = [
        key("b"),
        key(subset=chats[40:0:-1]),
        key(held_out=chats[50:61]),
        key(learning_rate=2e-3),
        key(compression=CompressionParams(long_level=5)),
    ]
    assert len({key(), key(), *others}) == 6


def test_the_cost_is_measured_on_steps_that_leave_the_model_as_it_is(rows: Rows, base_folder: Path) -> None:
    base = load_probed_model(base_folder)
    before = [parameter.clone() for parameter in base.model.parameters()]
    seconds = time_step(base, rows, PROBE)
    assert 0 < seconds < 10
    assert all((old == new).all() for old, new in zip(before, base.model.parameters(), strict=True))
    # A single batch can be timed, too.
    single = replace(PROBE, batch_rows=150)
    assert 0 < time_step(base, rows, single) < 60


def test_a_run_that_diverges_is_not_assessed_and_says_what_to_lower(rows: Rows, base_folder: Path) -> None:
    base = load_probed_model(base_folder)
    base = base._replace(card=replace(base.card, trained_from=1.0))
    with pytest.raises(NotAssessedError, match=r"'random 1' diverged; lower calibration\.law_learning_rate \(1e\+30\)"):
        run_law_point(LawSubset("random 1", CLEAN, rows[:20]), rows[20:30], base, LawTraining(PROBE, 1e30, COMPRESSION))
    mad = replace(PROBE, learning_rate=1e30)
    (run,) = plan_noise_runs(rows, base, mad, 1)
    with pytest.raises(NotAssessedError, match=r"the probe diverged; lower probe\.learning_rate \(1e\+30\)"):
        run.measure(lambda done, total: None)


def test_a_row_probed_under_two_seeds_counts_once_with_its_last_loss(chats: Rows) -> None:
    rows = chats[:6]
    hashes = [row_hash for _, row_hash in rows]
    runs = [
        NoiseRun(5.0, (hashes[1], hashes[4]), (5.0, 6.0), (10, 20)),
        NoiseRun(5.1, (hashes[4], hashes[2]), (6.5, 4.0), (20, 30)),
    ]
    measures = gather_rows(rows, runs, np.full(6, 0.3), PROBE, 1.0)
    assert sorted(measures.probe_order.tolist()) == [1, 2, 4]
    assert measures.loss_nats[[1, 2, 4]].tolist() == [5.0, 4.0, 6.5]
    assert measures.tokens.tolist() == [0, 10, 30, 0, 20, 0]
    assert (measures.probe_rows, measures.skipped_rows) == (12 * 2, 1 * 2)


# The command and its file.


def test_the_command_states_its_cost_first_and_a_result_that_cannot_be_written_costs_no_run_again(
    rows: Rows, base_folder: Path, in_tmp_path: Path
) -> None:
    write_rows("baseline.jsonl", (to_row(record, row_hash) for record, row_hash in rows[:240]))
    changes = "probe:\n  max_length: 48\ncalibration:\n  seeds: 2\n  updates: 2\n  law_runs: false\n"
    text = apply_recipe(shipped_text("params.yaml"), changes, "the test")
    Path("params.yaml").write_text(text, encoding="utf-8")
    Path("taken").mkdir()

    def run(out: str) -> tuple[int, str, str]:
        shown = CliRunner().invoke(app, ["calibrate", "baseline.jsonl", "--base", str(base_folder), "--out", out])
        return shown.exit_code, shown.stdout, shown.stderr

    code, _, stderr = run("taken")
    first, *rest = stderr.splitlines()
    assert code == 2 and rest[-1].startswith("entropylaw: taken: cannot be written")
    assert first == (
        "calibration: 2 runs to go (2 of the probe), under a minute on this machine; "
        "if interrupted, it goes on where it stopped"
    )
    assert len(list(Path(".entropylaw/calibration").rglob("*.json"))) == 2
    code, stdout, stderr = run("calibration.json")
    assert code == 0 and "runs to go" not in stderr
    assert "L over 2 seeds" in stdout and "Benign updates move long R by ±" in stdout and "Too few points" in stdout
    assert not Path(".entropylaw/calibration").exists()
    # Unbroken it gives the same bytes.
    assert run("again.json")[0] == 0
    assert Path("again.json").read_bytes() == Path("calibration.json").read_bytes()


def test_a_calibration_survives_being_written_and_read(calibration: Calibration) -> None:
    read = parse_shape(json.loads(to_json(calibration)), Calibration, complete=True)
    assert to_json(read) == to_json(calibration)
    for part in fields(Calibration):
        assert type(getattr(read, part.name)) is type(getattr(calibration, part.name))
    assert type(read.points[0]) is type(calibration.points[0])
    assert read.curves["r_long"].band is not None


def without(key: str) -> Callable[[dict[str, object]], dict[str, object]]:
    return lambda document: {name: value for name, value in document.items() if name != key}


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (without("curves"), "curves"),
        (lambda document: {**document, "points": [{"name": "x"}]}, r"points\[0\]"),
        (lambda document: {**document, "surprise": 1}, "surprise"),
        # As written before the spread between topics was left out.
        (lambda document: {**document, "topic_loss": {"sd": 0.1, "degrees_of_freedom": 5}}, "topic_loss"),
        (lambda document: {**document, "rows": "360"}, "rows"),
        (lambda document: [document], "expected object, found array"),
    ],
)
def test_a_calibration_of_another_shape_is_not_assessed_and_says_what_to_run(
    tmp_path: Path, calibration: Calibration, damage: Callable[[object], object], named: str
) -> None:
    path = tmp_path / "c.json"
    write_json(path, damage(json.loads(to_json(calibration))))
    with pytest.raises(DamagedResultError, match=rf"c\.json: {named}.*; run `dvc repro --force calibration`$"):
        load_calibration(path)


def test_a_baseline_too_small_for_the_law_gives_no_runs_and_the_law_says_so(rows: Rows, base_folder: Path) -> None:
    _, tokenizer, card = load_base_model(base_folder)
    params = CalibrationParams(seeds=2, heldout_rows=20)
    drawn = split_for_law(rows[:40], tokenizer, card.trained_from, PROBE, COMPRESSION, params, np.random.default_rng(0))
    assert drawn == ((), [])
    assert fit_entropy_law([]).sentence.startswith("Too few points")


@pytest.mark.parametrize(("max_tokens", "steps"), [(10**9, 48), (75_000, 32), (1, 24)])
def test_the_budget_of_tokens_shortens_the_laws_runs_and_nothing_else(
    chats: Rows, base_folder: Path, max_tokens: int, steps: int
) -> None:
    tokenizer = load_probed_model(base_folder).tokenizer
    probe = replace(PROBE, steps=48)
    params = replace(PARAMS, max_tokens=max_tokens)
    held_out, subsets = split_for_law(
        chats[:600], tokenizer, 0.5, probe, COMPRESSION, params, np.random.default_rng(0), rows_before=100
    )
    assert len(held_out) == params.heldout_rows and len(subsets) == 14
    (rows,) = {len(subset.rows) for subset in subsets}
    assert rows % probe.batch_rows == 0
    if max_tokens == 75_000:
        # Rows of some 40 tokens: nearly 1,900 of them, less 100 before and 56 that are scored, for 28 passes.
        assert 24 < rows / probe.batch_rows < 48
    else:
        assert rows == steps * probe.batch_rows


@pytest.mark.slow
def test_runs_in_a_process_of_their_own_give_the_bytes_of_runs_done_here(
    rows: Rows, base_folder: Path, tmp_path: Path
) -> None:
    base = load_probed_model(base_folder)
    here, elsewhere = (plan_noise_runs(rows, base, replace(PROBE, steps=4, rows=20), 2) for _ in range(2))
    told: list[tuple[int, int | None]] = []
    finish_in_processes(elsewhere, tmp_path, 1, lambda done, total: told.append((done, total)))
    with limit_threads(1):
        assert finish_runs(here, None) == [find_run(run, tmp_path) for run in elsewhere]
    steps = sum(run.steps for run in here)
    assert told[-1] == (steps, steps) and len(told) == 2
    # Nothing is left to do, and no process is started.
    finish_in_processes(elsewhere, tmp_path, 1, lambda done, total: pytest.fail("a run was done again"))


@pytest.mark.slow
def test_a_run_that_fails_in_another_process_says_why_and_the_finished_ones_are_kept(
    rows: Rows, base_folder: Path, tmp_path: Path
) -> None:
    base = load_probed_model(base_folder)
    good, bad = (
        plan_noise_runs(rows, base, replace(PROBE, steps=4, rows=20, learning_rate=rate), 2)[0] for rate in (1e-4, 1e30)
    )
    with pytest.raises(NotAssessedError, match=r"the probe diverged; lower probe\.learning_rate"):
        finish_in_processes([good, bad], tmp_path, 1)
    assert find_run(good, tmp_path) is not None


def test_only_many_tokens_of_a_small_model_are_worth_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.threads.count_threads", lambda: 16)
    small, large = make_base(), make_base()
    small.card.pretrained, large.card.pretrained = None, "gpt2"  # type: ignore[misc]
    small.model.device = large.model.device = SimpleNamespace(type="cpu")  # type: ignore[misc]
    counts = [count_processes(base, tokens) for base in (small, large) for tokens in (MIN_TOKENS - 1, MIN_TOKENS)]
    assert counts == [1, MAX_PROCESSES, 1, 1]


def test_a_baseline_of_a_handful_of_different_rows_is_not_assessed_before_any_run(chats: Rows) -> None:
    with pytest.raises(NotAssessedError, match=r"baseline has 29 different rows.*calibrate on 30 or more"):
        calibrate(chats[:29] + chats[:20], "no such model", PROBE, COMPRESSION, PARAMS)


@pytest.mark.parametrize(
    "change", [{"seeds": 1}, {"updates": 1}, {"topics": 2}, {"update_shares": ()}, {"update_shares": (0.6,)},
               {"heldout_rows": 0}, {"max_rows": 0}, {"max_tokens": 0}, {"law_learning_rate": 0.0}],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        CalibrationParams(**change)  # type: ignore[arg-type]
