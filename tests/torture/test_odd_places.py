"""Machines and folders as nobody would choose them: no home, no locale, odd names, a clock in 1970."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from datetime import date
from pathlib import Path

import pytest
from commands import RULES, Place, make_place, write_rows_to
from sample_verdicts import waiver

from corpus.errors import DataError
from corpus.files import read_rows
from entropylaw.repository.calendar import read_today
from monitor.waivers import add_waiver

pytestmark = pytest.mark.slow

ENVIRONMENTS = {
    "no home": {"HOME": None},
    "a home that is not there": {"HOME": "/nowhere/at all", "XDG_CACHE_HOME": None},
    "no locale": {"LC_ALL": "C", "LANG": None, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "POSIX and ASCII": {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    "a locale that is not there": {"LC_ALL": "xx_XX.UTF-9"},
}
COMMANDS = (
    ("check",),
    ("history", "--json"),
    ("prepare", "rows.jsonl", "--out", "out/é.jsonl", "--report", "out/report.json"),
    ("compress", "out/é.jsonl", "--out", "out/compression.json", "--json"),
    ("consistency", "out/é.jsonl", "--out", "out/consistency.json"),
    ("lint", "rows.jsonl"),
    ("report",),
)
NAMES = ['it\'s "odd"', "a b", "line\nbreak", "$(touch pwn)&;|<>*", "-rf", "é\udcff", "…" * 60]


def read_files(place: Place) -> dict[str, bytes]:
    return {
        path.relative_to(place.folder).as_posix(): path.read_bytes()
        for path in sorted(place.folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the commands leave on a machine as everybody has."""
    place = make_place(tmp_path_factory.mktemp("usual"), "pass")
    for words in COMMANDS:
        place.run(*words)
    return read_files(place)


@pytest.mark.torture
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_no_command_needs_a_home_or_a_locale(name: str, usual: dict[str, bytes], tmp_path: Path, tally) -> None:
    place = Place(make_place(tmp_path, "pass").folder, ENVIRONMENTS[name])
    codes = [place.run(*words).returncode for words in COMMANDS]
    assert codes == [0, 0, 0, 0, 0, 0, 0]
    assert read_files(place) == usual
    tally("commands on odd machines", len(COMMANDS))


@pytest.mark.parametrize("name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.torture) for name in NAMES[1:])])
def test_folders_and_files_may_have_any_name(tmp_path: Path, name: str, tally) -> None:
    place = make_place(tmp_path / name, "pass")
    data, out = place.folder / f"{name}.jsonl", place.folder / f"out {name}"
    (place.folder / "rows.jsonl").rename(data)
    words = ("prepare", f"./{data.name}", "--out", f"./{out.name}/{name}.jsonl")
    done = place.run(*words)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in out.iterdir()] == [f"{name}.jsonl"]
    assert place.run("lint", f"./{data.name}").returncode == 0
    assert place.run("check").returncode == 0
    assert not (place.folder / "pwn").exists()
    tally("commands on odd machines", 3)


def commit(folder: Path, day: date) -> None:
    when = {"GIT_AUTHOR_DATE": f"{day}T12:00:00+00:00", "GIT_COMMITTER_DATE": f"{day}T12:00:00+00:00"}
    for words in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message", "data"]):
        subprocess.run(["git", *words], cwd=folder, env={**os.environ, **when}, check=True)


def test_a_clock_in_1970_lets_no_expired_waiver_hold(
    in_tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Clock(date):
        @classmethod
        def today(cls) -> Clock:
            return cls(1970, 1, 1)

    commit(in_tmp_path, date(2026, 3, 1))
    assert read_today() == date.today()
    monkeypatch.setattr("datetime.date", Clock)
    assert read_today() == date(2026, 3, 1)
    assert "the clock says 1970-01-01" in capsys.readouterr().err


def test_a_signed_commit_has_its_day_where_git_shows_signatures(in_tmp_path: Path) -> None:
    commit(in_tmp_path, date(2026, 3, 1))
    Path("gpg").write_text(
        "#!/bin/sh\ncat > /dev/null\necho '[GNUPG:] GOODSIG 1 ana'\necho 'gpg: Good signature' >&2\n"
    )
    Path("gpg").chmod(0o755)
    plain = subprocess.run(["git", "cat-file", "commit", "HEAD"], capture_output=True, text=True, check=True).stdout
    head, message = plain.split("\n\n", 1)
    signature = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n aGVsbG8=\n -----END PGP SIGNATURE-----"
    words = ["git", "hash-object", "-t", "commit", "-w", "--stdin"]
    signed = subprocess.run(
        words, input=f"{head}\n{signature}\n\n{message}", capture_output=True, text=True, check=True
    ).stdout.strip()
    subprocess.run(["git", "reset", "--quiet", "--hard", signed], check=True)
    subprocess.run(["git", "config", "log.showSignature", "true"], check=True)
    subprocess.run(["git", "config", "gpg.program", Path("gpg").resolve()], check=True)
    shown = subprocess.run(["git", "log", "-1", "--format=%ct"], capture_output=True, text=True, check=True).stdout
    assert not shown.strip().isdigit()
    assert read_today() == date.today()


def test_a_commit_of_a_year_that_no_date_has_lets_no_waiver_hold(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("entropylaw.repository.calendar.run_git", lambda *words: "253402344000")
    assert read_today() == date.max
    assert "the last commit is of 9999-12-31" in capsys.readouterr().err


def test_a_waiver_that_has_expired_is_refused_whatever_the_clock_says(tmp_path: Path) -> None:
    """The clock of the whole process is another one: of the command as a user starts it."""
    place = make_place(tmp_path)
    commit(place.folder, date(2026, 3, 1))
    for rule in RULES:
        add_waiver(place.folder / "waivers.yaml", waiver(rule, expires="2026-02-28"), RULES)
    early = tmp_path / "early"
    early.mkdir()
    (early / "sitecustomize.py").write_text(
        "import datetime\n"
        "class Clock(datetime.date):\n"
        "    @classmethod\n"
        "    def today(cls):\n"
        "        return cls(1970, 1, 1)\n"
        "datetime.date = Clock\n"
    )
    path = os.pathsep.join([str(early), os.environ.get("PYTHONPATH", os.getcwd())])
    done = Place(place.folder, {"PYTHONPATH": path}).run("check")
    assert done.returncode == 1
    assert "the clock says 1970-01-01, and the last commit is of 2026-03-01" in done.stderr


def replace_while_reading(path: Path, replace: bool) -> int:
    """Read rows of a file that changes after the first; how many there were."""
    rows = read_rows(path)
    next(rows)
    if replace:
        write_rows_to(path.with_name("new"), 3_000, "lake")
        path.with_name("new").rename(path)
    else:
        with path.open("a") as handle:
            handle.write('{"prompt": "One more?", "response": "Yes."}\n')
    return 1 + sum(1 for _ in rows)


@pytest.mark.parametrize("replace", [True, False])
def test_data_that_changes_while_it_is_read_is_not_measured(tmp_path: Path, replace: bool) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows_to(path, 3_000)
    with pytest.raises(DataError, match=r"rows\.jsonl: changed while it was read; run the command again"):
        replace_while_reading(path, replace)
    assert len(list(read_rows(path))) >= 3_000


def test_a_file_added_to_the_folder_that_is_read_counts_as_a_change(tmp_path: Path) -> None:
    write_rows_to(tmp_path / "one.jsonl", 10)
    rows = read_rows(tmp_path)
    next(rows)
    write_rows_to(tmp_path / "two.jsonl", 10, "lake")
    with pytest.raises(DataError, match="changed while it was read"):
        list(rows)


@pytest.mark.torture
def test_prepare_never_records_rows_of_two_versions(tmp_path: Path, tally) -> None:
    """The data is replaced again and again while the command runs: it fails, or it has one version whole."""
    place = make_place(tmp_path, "pass")
    versions = {}
    for about in ("sea", "lake"):
        write_rows_to(place.folder / f"{about}.jsonl", 20_000, about)
        place.run("prepare", f"{about}.jsonl", "--out", "whole.jsonl", "--report", "whole.json")
        versions[about] = json.loads((place.folder / "whole.json").read_text())["data_hash"]
    stop, codes = threading.Event(), []

    def replace() -> None:
        while not stop.is_set():
            for about in versions:
                os.link(place.folder / f"{about}.jsonl", place.folder / "next.jsonl")
                (place.folder / "next.jsonl").rename(place.folder / "now.jsonl")
                time.sleep(0.7)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        for _ in range(10):
            (place.folder / "report.json").unlink(missing_ok=True)
            done = place.run("prepare", "now.jsonl", "--out", "out.jsonl", "--report", "report.json")
            codes.append(done.returncode)
            if done.returncode == 0:
                assert json.loads((place.folder / "report.json").read_text())["data_hash"] in versions.values()
            else:
                assert "changed while it was read" in done.stderr
    finally:
        stop.set()
        thread.join()
    tally("reads of data that was being replaced", len(codes))
