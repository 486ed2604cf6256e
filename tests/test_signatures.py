"""Signed versions, with real SSH keys: who may sign is read where nobody of the branch can write."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from sample_verdicts import data_hash, history, sample_verdict
from test_history_guard import check, commit, git, no_ci
from typer.testing import CliRunner

from corpus.artifacts import write_json
from corpus.errors import EntropylawError
from entropylaw.cli import app
from entropylaw.repository.signatures import find_key, find_problem, sign_entry, signature_of
from monitor.history import record_score, write_entry

__all__ = ["no_ci"]

PARAMS = "history: {signers: data-risk/allowed_signers}\n"
SIGNERS = Path("data-risk/allowed_signers")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The keys of CI and of somebody else, made here."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ci", "mallory"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(words, check=True)
    return folder


def allow(keys: Path, *names: str, options: str = "") -> str:
    return "".join(f"{name}@example.org {options} {(keys / f'{name}.pub').read_text()}" for name in names)


@pytest.fixture
def team(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_ci: None) -> Path:
    """A clone in a branch of its own. The main branch has x1 and x2 from before it asked for signatures of CI."""
    (tmp_path / "remote").mkdir()
    monkeypatch.chdir(tmp_path / "remote")
    git("init", "--quiet", "--initial-branch=main")
    for entry in history(2):
        write_entry("history", entry)
    Path("params.yaml").write_text(PARAMS)
    SIGNERS.parent.mkdir()
    SIGNERS.write_text(allow(keys, "ci"))
    write_json("results/verdict.json", sample_verdict("pass"))
    commit("x1 and x2; from now on CI signs")
    git("clone", "--quiet", str(tmp_path / "remote"), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    git("checkout", "--quiet", "-b", "update")
    return tmp_path / "clone"


def add_version(number: int = 3) -> Path:
    return write_entry("history", history()[number - 1])


def test_a_version_that_ci_signed_is_taken_and_old_ones_need_no_signature(team: Path, keys: Path) -> None:
    assert check()[0] == 0
    entry = add_version()
    assert check()[0] == 3
    assert sign_entry(entry, str(keys / "ci")) == signature_of(entry)
    assert check()[0] == 0
    commit("x3")
    assert check()[0] == 0


def sign_by_mallory(entry: Path, keys: Path) -> None:
    sign_entry(entry, str(keys / "mallory"))


def sign_and_change(entry: Path, keys: Path) -> None:
    sign_entry(entry, str(keys / "ci"))
    record_score("history", "x3", "mt_bench", 9.9)


def sign_another(entry: Path, keys: Path) -> None:
    other = entry.with_name("other.json")
    other.write_text("{}")
    sign_entry(other, str(keys / "ci"))
    signature_of(other).rename(signature_of(entry))
    other.unlink()


def sign_for_something_else(entry: Path, keys: Path) -> None:
    words = ["ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", str(keys / "ci"), str(entry)]
    subprocess.run(words, check=True, capture_output=True)


def let_myself_in(entry: Path, keys: Path) -> None:
    sign_by_mallory(entry, keys)
    SIGNERS.write_text(allow(keys, "ci", "mallory"))


def name_another_file(entry: Path, keys: Path) -> None:
    sign_by_mallory(entry, keys)
    Path("mine").write_text(allow(keys, "mallory"))
    Path("params.yaml").write_text("history: {signers: mine}\n")


def ask_for_nothing(entry: Path, keys: Path) -> None:
    Path("params.yaml").write_text("history: {signers: null}\n")


def have_no_section(entry: Path, keys: Path) -> None:
    Path("params.yaml").write_text("rules: {}\n")


def have_no_params(entry: Path, keys: Path) -> None:
    Path("params.yaml").unlink()


def have_an_empty_signature(entry: Path, keys: Path) -> None:
    signature_of(entry).write_text("")


# The share that `make test` tries; the others are tried by `make torture`.
SHARE = [sign_by_mallory, sign_and_change, let_myself_in, ask_for_nothing]
OTHERS = [
    lambda entry, keys: None, sign_another, sign_for_something_else, name_another_file, have_no_section, have_no_params,
    have_an_empty_signature,
]  # fmt: skip
ATTACKS = [*SHARE, *(pytest.param(attack, marks=pytest.mark.torture) for attack in OTHERS)]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize(
    "commits", [pytest.param(0, marks=pytest.mark.torture), 1, pytest.param(2, marks=pytest.mark.torture)]
)
def test_a_version_that_ci_did_not_sign_is_not_assessed_and_named(team, keys, attack, commits: int) -> None:
    entry = add_version()
    attack(entry, keys)
    for number in range(commits):
        commit(f"Step {number}")
    code, said = check()
    assert code == 3 and entry.name in said and "accept --sign" in said, said
    assert check(command="gate")[0] == 3
    assert check(command="accept")[0] == 3


def test_a_signature_whose_time_is_over_or_of_another_purpose_is_none(keys: Path, in_tmp_path: Path) -> None:
    entry = Path("x3.json")
    entry.write_text("{}")
    sign_entry(entry, str(keys / "ci"))
    assert find_problem(entry, allow(keys, "ci")) is None
    assert find_problem(entry, allow(keys, "ci", options='namespaces="entropylaw-history"')) is None
    for options in ('namespaces="git"', 'valid-before="20010101"', 'valid-after="29990101"'):
        assert find_problem(entry, allow(keys, "ci", options=options)) is not None
    for signers in ("", "nonsense\n", allow(keys, "mallory")):
        assert find_problem(entry, signers) is not None


def test_a_file_of_signers_that_is_named_and_missing_is_not_assessed(team: Path) -> None:
    git("checkout", "--quiet", "main")
    SIGNERS.unlink()
    commit("Lose the file")
    git("push", "--quiet", "origin", "HEAD:refs/heads/lost")
    commit("Go on")
    code, said = check("--base", "origin/lost")
    assert code == 3 and "data-risk/allowed_signers" in said, said


@pytest.mark.parametrize("signers", ["../allowed", "/etc/allowed", ""])
def test_the_file_of_signers_lies_in_the_repository(team: Path, signers: str) -> None:
    git("rm", "--quiet", "params.yaml")
    commit("No parameters")
    git("push", "--quiet", "origin", "HEAD:refs/heads/plain")
    commit("Go on")
    Path("params.yaml").write_text(f"history: {{signers: '{signers}'}}\n")
    code, said = check("--base", "origin/plain")
    assert code == 2 and said.startswith("entropylaw: params.yaml: history.signers: expected a file in this"), said


def test_without_ssh_keygen_it_is_said_in_one_line(team: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_entry(add_version(), str(keys / "ci"))
    folder = team.parent / "bin"
    folder.mkdir()
    (folder / "git").symlink_to(str(shutil.which("git")))
    monkeypatch.setenv("PATH", str(folder))
    code, said = check()
    assert code == 3 and "ssh-keygen: no such command on the PATH" in said, said


def test_the_key_is_the_one_that_git_signs_with(team: Path, keys: Path) -> None:
    for words in (["gpg.format", "openpgp"], ["user.signingkey", ""]):
        git("config", *words)
        with pytest.raises(EntropylawError, match=r"--sign: Git has no SSH key .*`git config gpg\.format ssh"):
            find_key()
    git("config", "gpg.format", "ssh")
    git("config", "user.signingkey", str(keys / "missing"))
    with pytest.raises(EntropylawError, match=r"--sign: ssh-keygen cannot sign with .*missing"):
        sign_entry(add_version(), find_key())


def test_the_commands_sign_and_take_a_signature_away_that_no_longer_holds(team: Path, keys: Path) -> None:
    git("config", "gpg.format", "ssh")
    git("config", "user.signingkey", str(keys / "ci"))
    entry = add_version(3)
    write_entry("history", replace(history()[3], name="x4", data_hash=data_hash(4)))

    def run(*words: str) -> str:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        return done.output

    assert ": signed" in run("score", "x3", "--benchmark", "mt_bench", "--value", "7", "--sign")
    assert find_problem(entry, allow(keys, "ci")) is None
    assert "no longer signed" in run("score", "x3", "--benchmark", "mt_bench", "--value", "8")
    assert not signature_of(entry).exists()
