"""A verdict's exit code is the same whoever reads what the command prints, and whether anybody does."""

import json

import pytest
from commands import Place, make_place

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def risky(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("place"))


@pytest.mark.parametrize(
    "line",
    [
        "entropylaw check | true",
        "entropylaw check --format json | head -c 1",
        "entropylaw check >&-",
        pytest.param("entropylaw check 2>&1 | true", marks=pytest.mark.torture),
        pytest.param("entropylaw check >&- 2>&-", marks=pytest.mark.torture),
        pytest.param("entropylaw check <&- >&- 2>&-", marks=pytest.mark.torture),
        pytest.param("entropylaw check > /dev/full", marks=pytest.mark.torture),
    ],
)
def test_risky_stays_risky(risky: Place, line: str) -> None:
    assert risky.shell(f"set -o pipefail; {line}").returncode == 1


def test_what_could_not_be_told_is_no_pass(risky: Place) -> None:
    done = risky.shell("entropylaw history > /dev/full")
    assert (done.returncode, done.stderr) == (2, "entropylaw: standard output: No space left on device\n")


def test_a_closed_output_does_not_become_the_next_file_that_is_opened(risky: Place) -> None:
    done = risky.shell("entropylaw prepare rows.jsonl --out prepared.jsonl --report report.json >&- 2>&-")
    assert done.returncode == 0
    lines = (risky.folder / "prepared.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == 2_000
    assert json.loads((risky.folder / "report.json").read_text())["rows_kept"] == 2_000


@pytest.mark.parametrize(
    "format", ["text", *(pytest.param(name, marks=pytest.mark.torture) for name in ("json", "markdown"))]
)
def test_characters_that_the_output_does_not_have_are_escaped(risky: Place, format: str) -> None:
    plain = Place(risky.folder, {"PYTHONIOENCODING": "utf-8"}).run("check", "--format", format)
    ascii = Place(risky.folder, {"PYTHONIOENCODING": "ascii"}).run("check", "--format", format)
    assert (ascii.returncode, ascii.stdout.isascii()) == (1, True)
    if format == "json":
        assert json.loads(ascii.stdout) == json.loads(plain.stdout)
