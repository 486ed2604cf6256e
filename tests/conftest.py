"""Real conversations, and one tiny base model trained on them, shared by the whole test session."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from corpus.records import Conversation, HashedRecord, Message, Record, canonical_text, content_hash, data_hash
from corpus.row_cache import FOLDER_VARIABLE
from entropylaw.demo.chitchat import ChatLog, load_chat_logs, to_conversation
from entropylaw.repository.history_guard import GITLAB_BASE, TARGET_VARIABLES

Rows = list[HashedRecord]

# A new machine has no identity for Git, and some tests commit.
for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
    os.environ.setdefault(name, "test@localhost")

# Other programs may hold the cores: how long one example takes says nothing about the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# Where these tests run in a pull request of our own, the repositories that they make are none of it.
for _variable in (*TARGET_VARIABLES, GITLAB_BASE, "GITHUB_REF"):
    os.environ.pop(_variable, None)

# What one run of the tests keeps of its rows must not help the next one; the tests of that name a folder of their own.
os.environ[FOLDER_VARIABLE] = ""

ROLES = {"human": "user", "gpt": "assistant"}
# Longer conversations, half of all, hold nine tenths of the text: they would cost much time and show nothing else.
MAX_CHARACTERS = 1500


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without the slow tests, a file that is slow as a whole is not even read: the model libraries take seconds."""
    if config.getoption("markexpr") != "not slow" or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text(encoding="utf-8")
    return any(f"\npytestmark = {start}" in text for start in ("pytest.mark.slow\n", "[pytest.mark.slow, ")) or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow every test that needs the trained model, also by way of another fixture."""
    for item in items:
        if "base_folder" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def chat_logs() -> list[ChatLog]:
    """All conversations of the corpus, which take a second to read."""
    return load_chat_logs()


@pytest.fixture(scope="session")
def chats(chat_logs: list[ChatLog]) -> Rows:
    """1,200 different real conversations, oldest first, with their content hashes; rows are numbered from 1."""
    rows: dict[str, Record] = {}
    for log in chat_logs:
        turns = to_conversation(log)["conversations"]
        messages = tuple(Message(ROLES[turn["from"]], turn["value"]) for turn in turns)
        record = Conversation(messages, log.start[:7], len(rows) + 1)
        if len(canonical_text(record)) > MAX_CHARACTERS:
            continue
        rows.setdefault(content_hash(record), record)
        if len(rows) == 1200:
            break
    return [HashedRecord(record, row_hash) for row_hash, record in rows.items()]


@pytest.fixture(scope="session")
def baseline(chats: Rows) -> Rows:
    """The version that the tiny base model is trained on."""
    return chats[:300]


@pytest.fixture(scope="session")
def base_folder(baseline: Rows, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A base model of one layer, 32 wide, with a vocabulary of 400: real, and trained in a second."""
    if request.config.getoption("markexpr") == "not slow":
        pytest.fail("a test that asks for this fixture by getfixturevalue needs @pytest.mark.slow")

    from training.base_model import build_base_model
    from training.base_model_params import BaseModelParams
    from training.fine_tuning import quiet_libraries

    quiet_libraries()
    params = BaseModelParams(
        vocabulary=400, hidden_size=32, layers=1, heads=2, max_length=96, steps=60, learning_rate=1e-2
    )
    folder = tmp_path_factory.mktemp("models") / "base"
    build_base_model(baseline, data_hash(row_hash for _, row_hash in baseline), params, folder)
    return folder


@pytest.fixture
def in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder of the test's own: checkpoints lie below the current one."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path


@pytest.fixture
def quiet_dvc(monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC within the test's own process: no word to its users, and none to the console of an earlier test, which its
    log handlers hold on to.
    """
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setattr(logging.getLogger("dvc"), "handlers", [])
