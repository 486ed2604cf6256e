"""Training curves as a DVCLive folder: what is drawn, by whom, and that a resumed run has the whole curve."""

import csv
import itertools
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from corpus.artifacts import hash_folder
from corpus.records import HashedRecord, Preference, Record
from entropylaw.init.pipeline import render_pipeline
from entropylaw.repository.shipped_files import shipped_text
from training.fine_tuning import TrainingReport
from training.kto import KtoParams, train_kto
from training.sft import SftParams, train_sft

Rows = list[HashedRecord]

SFT = SftParams(epochs=2.0, batch_rows=8, micro_batch_rows=8, learning_rate=5e-3, max_length=64, save_every_steps=3)
KTO = KtoParams(epochs=1.0, batch_rows=4, micro_batch_rows=4, learning_rate=1e-3, max_length=64)
STEPS_OF_AN_EPOCH = 3


@pytest.fixture(scope="module")
def conversations(chats: Rows) -> list[Record]:
    return [record for record, _ in chats[300:320]]


def read_curve(folder: Path, name: str) -> list[tuple[int, float]]:
    with (folder / "plots" / "metrics" / f"{name}.tsv").open(newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    return [(int(row["step"]), float(row[name.rpartition("/")[2]])) for row in rows]


@pytest.fixture(scope="module")
def whole(
    conversations: list[Record], base_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, TrainingReport]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("live"))
        report = train_sft(conversations, base_folder, SFT, "model", held_out=conversations[:8], live="results/live")
        return Path("results/live").resolve(), report


def test_the_folder_holds_the_reports_curve_and_an_evaluation_of_each_epoch(
    whole: tuple[Path, TrainingReport],
) -> None:
    folder, report = whole
    assert read_curve(folder, "train/loss") == list(report.curve)
    assert len(report.curve) == 2 * STEPS_OF_AN_EPOCH
    evaluations = read_curve(folder, "eval/loss")
    assert [step for step, _ in evaluations] == [STEPS_OF_AN_EPOCH, 2 * STEPS_OF_AN_EPOCH]
    assert evaluations[-1][1] == report.heldout_loss
    rates = [rate for _, rate in read_curve(folder, "train/learning_rate")]
    assert max(rates) == pytest.approx(SFT.learning_rate) and rates[-1] < rates[-2]


class Killed(Exception):
    pass


def test_a_resumed_run_leaves_the_same_folder_as_an_unbroken_one(
    whole: tuple[Path, TrainingReport], conversations: list[Record], base_folder: Path, in_tmp_path: Path
) -> None:
    # The step before ends an epoch: it was evaluated and saved, in this order.
    def kill(done: int, total: int) -> None:
        if done == STEPS_OF_AN_EPOCH + 1:
            raise Killed

    with pytest.raises(Killed):
        train_sft(conversations, base_folder, SFT, "model", kill, held_out=conversations[:8], live="live")
    train_sft(conversations, base_folder, SFT, "model", held_out=conversations[:8], live="live")
    assert hash_folder("live") == hash_folder(whole[0])


def test_evaluations_come_every_so_many_steps_and_at_the_end(
    conversations: list[Record], base_folder: Path, in_tmp_path: Path
) -> None:
    params = replace(SFT, evaluate_every_steps=4)
    train_sft(conversations, base_folder, params, "model", held_out=conversations[:8], live="live")
    assert [step for step, _ in read_curve(Path("live"), "eval/loss")] == [4, 6]
    with pytest.raises(ValueError, match="must be positive"):
        replace(SFT, evaluate_every_steps=0)


def test_drawing_says_nothing_and_touches_nothing_but_its_folder(
    conversations: list[Record], base_folder: Path, in_tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # DVCLive itself would make a DVC repository of a Git one.
    subprocess.run(["git", "init", "--quiet"], check=True)
    train_sft(conversations, base_folder, replace(SFT, epochs=1.0), "model", live="live")
    assert {path.name for path in in_tmp_path.iterdir()} == {".git", ".entropylaw", "model", "live"}
    assert {path.name for path in Path("live").iterdir()} == {"metrics.json", "plots"}
    assert capfd.readouterr() == ("", "")


def test_every_plotted_file_of_the_pipeline_is_one_that_training_writes(
    whole: tuple[Path, TrainingReport], preferences: list[Preference], base_folder: Path, in_tmp_path: Path
) -> None:
    train_kto(preferences, base_folder, KTO, "model", live="live")
    folders = {"results/sft/live": whole[0], "results/preferences/live": Path("live")}
    plotted = []
    for plot in YAML(typ="safe").load(shipped_text("dvc.yaml"))["plots"]:
        ((_, settings),) = plot.items()
        for path, column in settings["y"].items():
            for prefix, folder in folders.items():
                if path.startswith(prefix):
                    plotted.append(path)
                    header = (folder / path.removeprefix(f"{prefix}/")).read_text().splitlines()[0].split("\t")
                    assert {settings["x"], column} <= set(header)
    assert len(plotted) == 3


def test_without_preferences_no_plot_is_left_without_a_file() -> None:
    plots = YAML(typ="safe").load(render_pipeline({"sft": "data/sft.jsonl"})["dvc.yaml"])["plots"]
    assert plots and all(settings["y"] for plot in plots for settings in plot.values())


@pytest.fixture(scope="module")
def preferences(chats: Rows) -> list[Preference]:
    turns = [record.messages[:2] for record, _ in chats[300:308] if hasattr(record, "messages")]
    return [Preference((turn[0],), (turn[1],), (other[1],)) for turn, other in itertools.pairwise(turns)]
