"""Which pipeline a command is about, by the folder it is started in."""

import subprocess
from pathlib import Path

import pytest

from corpus.errors import EntropylawError
from entropylaw.init.pipeline import render_pipeline
from entropylaw.repository.pipeline_folder import find_pipeline, is_pipeline

OURS = render_pipeline({"sft": "data/sft.jsonl"})["dvc.yaml"]
OTHERS = """\
stages:
  train:
    # reads what `entropylaw assess` wrote
    desc: runs after entropylaw assess
    cmd: python train.py
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A Git repository whose own dvc.yaml is another team's."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return write_pipeline(tmp_path, OTHERS)


def write_pipeline(folder: Path, text: str = OURS) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dvc.yaml").write_text(text)
    return folder


def track(root: Path) -> None:
    subprocess.run(["git", "-C", str(root), "add", "--all"], check=True)


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        (OURS, True),
        ("stages:\n  assess:\n    cmd: uv run entropylaw assess --json\n", True),
        ("stages:\n  all:\n    cmd:\n      - entropylaw  assess\n", True),
        (OTHERS, False),
        ("stages: {}\n", False),
    ],
)
def test_our_pipeline_is_known_by_the_stage_that_assesses(tmp_path: Path, text: str, ours: bool) -> None:
    assert is_pipeline(write_pipeline(tmp_path, text)) is ours


def test_a_pipeline_at_the_root_is_found_from_every_folder_below(root: Path) -> None:
    write_pipeline(root)
    deep = root / "data" / "raw"
    deep.mkdir(parents=True)
    assert [find_pipeline(folder) for folder in (root, deep)] == [root, root]


@pytest.mark.parametrize("tracked", [False, True])
def test_a_pipeline_in_a_folder_of_its_own_is_found_from_the_root_and_from_beside_it(root: Path, tracked: bool) -> None:
    folder = write_pipeline(root / "data-risk")
    (root / "src").mkdir()
    if tracked:
        track(root)
    assert [find_pipeline(start) for start in (root, root / "src", folder)] == [folder] * 3


def test_a_tracked_pipeline_is_found_however_deep_it_lies(root: Path) -> None:
    folder = write_pipeline(root / "teams" / "chat" / "data" / "risk")
    track(root)
    assert find_pipeline(root) == folder


def test_of_several_pipelines_the_nearest_counts_and_from_the_root_each_is_named(root: Path) -> None:
    chat, code = (write_pipeline(root / "teams" / name) for name in ("chat", "code"))
    (code / "data").mkdir()
    assert find_pipeline(chat) == chat and find_pipeline(code / "data") == code
    with pytest.raises(EntropylawError, match="several pipelines: teams/chat, teams/code; go into"):
        find_pipeline(root)


def test_a_repository_inside_the_repository_and_a_hidden_folder_do_not_count(root: Path) -> None:
    demo = write_pipeline(root / "demo")
    subprocess.run(["git", "init", "--quiet", str(demo)], check=True)
    write_pipeline(root / ".venv" / "share")
    assert find_pipeline(root) is None and find_pipeline(demo) == demo


def test_outside_a_git_repository_only_the_folder_itself_counts(tmp_path: Path) -> None:
    write_pipeline(tmp_path)
    (tmp_path / "data").mkdir()
    assert find_pipeline(tmp_path) == tmp_path and find_pipeline(tmp_path / "data") is None
