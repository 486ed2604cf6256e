"""Training curves in the report: those of models trained on its version, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_verdicts import data_hash, sample_verdict
from typer.testing import CliRunner

from corpus.artifacts import write_json
from corpus.errors import EntropylawError
from entropylaw.cli import app
from reports.training_curves import read_training_curve, thin_steps

TRAIN, HELD_OUT = "plots/metrics/train/loss.tsv", "plots/metrics/eval/loss.tsv"


def write_losses(path: Path, *losses: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("step\tloss\n" + "".join(f"{i}\t{loss}\n" for i, loss in enumerate(losses, start=1)))


def test_the_curve_is_what_dvclive_wrote(tmp_path: Path) -> None:
    assert read_training_curve("sft", "SFT", tmp_path) is None
    write_losses(tmp_path / TRAIN, "4.5", "4.25", "nan", "4.0")
    write_losses(tmp_path / HELD_OUT, "4.75")
    curve = read_training_curve("sft", "SFT", tmp_path)
    assert curve is not None and curve.steps == 3
    assert curve.train == ((1, 4.5), (2, 4.25), (4, 4.0)) and curve.held_out == ((1, 4.75),)


@pytest.mark.parametrize("text", ["step\tloss\n1\tmany\n", "a\tb\n1\t2\n", "step\tloss\n1\n"])
def test_a_damaged_curve_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / TRAIN
    write_losses(path)
    path.write_text(text + "2\t3.0\n")
    with pytest.raises(EntropylawError, match=r"loss\.tsv"):
        read_training_curve("sft", "SFT", tmp_path)


@given(st.integers(1, 500), st.integers(2, 60))
def test_thinning_keeps_both_ends_and_the_order(count: int, most: int) -> None:
    steps = [(i, float(i)) for i in range(count)]
    thin = thin_steps(steps, most)
    assert len(thin) == min(count, most) and (thin[0], thin[-1]) == (steps[0], steps[-1])
    assert list(thin) == sorted(set(thin))


@pytest.mark.slow
@pytest.mark.parametrize(("version_hash", "shown"), [(data_hash(6), True), (data_hash(5), False), (None, False)])
def test_only_curves_of_this_version_are_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version_hash: str | None, shown: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    verdict = sample_verdict("pass")
    assert verdict.version.data_hash == data_hash(6)
    write_json(tmp_path / "results" / "verdict.json", verdict)
    write_json(tmp_path / "results" / "sft" / "training.json", {"version_hash": version_hash})
    write_losses(tmp_path / "results" / "sft" / "live" / TRAIN, "4.5", "4.25")
    assert CliRunner().invoke(app, ["report"]).exit_code == 0
    for name in ("report.html", "report.md"):
        text = (tmp_path / "results" / name).read_text(encoding="utf-8")
        assert ("Training on this version" in text, "4.250" in text) == (shown, shown)
    assert (tmp_path / "results" / "plots" / "training-sft.svg").exists() is shown
