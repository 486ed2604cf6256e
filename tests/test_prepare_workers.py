"""Rows that several workers prepare: the same bytes, report and errors as one process alone makes."""

from __future__ import annotations

import gzip
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import corpus.dropped_rows
import corpus.files.line_pieces
import corpus.formats.keys
import corpus.prepare
import corpus.prepared_pieces
from corpus.artifacts import to_json
from corpus.errors import DataError, EntropylawError
from corpus.files import LinePiece, Row, write_rows
from corpus.formats import parse_row
from corpus.prepare import PrepareParams, prepare_file
from corpus.prepared_pieces import Preparation, PreparedPiece, is_worth_sharing
from corpus.prepared_rows import write_row
from corpus.records import HashedRecord, content_hash
from corpus.workers import IN_THIS_THREAD, EngineName, Workers, start_workers
from entropylaw.cli import app

# Of all rows but the first hundred, which tell the format, some always go to workers.
PIECE = 300
FIRST = 100


class EachPieceAlone:
    """Workers that are none: all pieces are cut before the first is prepared, here."""

    count = 2

    def __init__(self) -> None:
        self.pieces: list[LinePiece] = []

    def map(self, job: Callable[[Any], Any], tasks: Any) -> Iterator[Any]:
        self.pieces += (ahead := list(tasks))
        return map(job, ahead)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus.files.line_pieces, "PIECE_BYTES", PIECE)
    monkeypatch.setattr(corpus.dropped_rows, "LISTED", 3)
    monkeypatch.setattr(corpus.formats.keys, "MAX_NAMES", 3)


def chat(answer: str = "A", **beside: object) -> Row:
    return {
        "messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": answer}],
        "source": "s",
        **beside,
    }


def line(row: object) -> bytes:
    return json.dumps(row).encode() + b"\n"


GOOD = line(chat())
# What lines of a damaged file may be; each is read, passed over or ends the reading.
LINES = {
    "good": GOOD,
    "other source": line(chat(source="t")),
    "held out": line(chat("secret")),
    "empty answer": line(chat(" ")),
    "too long": line(chat("long " * 60)),
    "unread": line(chat(hint="x", other="y")),
    "more unread": line(chat(a="x", b="y", c="z", d="!")),
    "mark": b"\xef\xbb\xbf" + GOOD,
    "windows": GOOD[:-1] + b"\r\n",
    "blank": b"\n",
    "blanks": b" \n\n\n\t\n",
    "mark alone": b"\xef\xbb\xbf\n",
    "other blank": "\u00a0\u2003\n".encode(),
    "endless": b"x" * 1_500 + b"\n",
    "endless blank": b" " * 1_700 + b"\n",
    "endless end": b"y" * 1_000 + b"\r\rz\n",
    "list": b"[1]\n",
    "number": b"7\n",
    "deep": b'{"messages": ' + b"[" * 200 + b"]" * 200 + b"}\n",
    "deeper": b'{"messages": ' + b"[" * 490 + b"]" * 490 + b"}\n",
    "half": b'{"messages": [{"role": "user", "content": "\\ud83d"}]}\n',
    "raw half": b'{"a": "\xed\xa0\xbd"}\n',
    "latin": b'{"a": "caf\xe9"}\n',
    "no answer": line({"messages": [{"role": "user", "content": "Q"}]}),
    "unknown role": line({"messages": [{"role": "robot", "content": "Q"}]}),
    "missing key": line({"source": "s"}),
    "of another format": line({"prompt": "Q", "completion": "A"}),
    "unsupported": line(chat(images=["a.png"])),
    "syntax": b'{"messages": [\n',
    "two objects": GOOD[:-1] + GOOD,
    "comma": GOOD[:-1] + b",\n",
    "conflict": b"<<<<<<< HEAD\n",
    "cut": GOOD[:-9],
    "prepared": line({**chat(), "row": 5, "hash": "0" * 32}),
}
# Lines that end the reading stand here and there, the others everywhere.
ENDING = ("latin", "of another format", "unsupported", "syntax", "two objects", "comma", "conflict", "cut", "prepared")
HARMLESS = tuple(name for name in LINES if name not in ENDING)
PARAMS = PrepareParams(max_characters=200, max_dropped_share=1, max_row_bytes=1_000)
HELD_OUT = frozenset([content_hash(parse_row(chat("secret"), "messages", 1, "held_out.jsonl"))])


def outcome(source: Path, workers: Workers, params: PrepareParams = PARAMS, **options: Any) -> tuple[object, ...]:
    """All that can be seen of preparing a file: its rows and report, or the error."""
    target = source.parent / "prepared.jsonl"
    target.unlink(missing_ok=True)
    try:
        report = prepare_file(source, target, params, HELD_OUT, workers=workers, **options)
    except EntropylawError as error:
        assert not target.exists()
        return type(error), str(error), error.exit_code
    return target.read_bytes(), to_json(report)


def require_same(source: Path, **options: Any) -> tuple[object, ...]:
    alone, workers = outcome(source, IN_THIS_THREAD, **options), EachPieceAlone()
    assert outcome(source, workers, **options) == alone
    if len(alone) == 2:  # it was read to its end
        assert len(workers.pieces) >= (rows_behind_the_first(str(alone[1])) - 10) // 10
    return alone


def rows_behind_the_first(report: str) -> int:
    """Pieces of these files hold ten rows at most."""
    return int(json.loads(report)["rows_read"]) - FIRST


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("place", [0, 99, 150])
def test_a_damaged_line_is_the_same_wherever_it_stands(tmp_path: Path, name: str, place: int) -> None:
    lines = [GOOD] * 200
    lines[place] = LINES[name]
    (tmp_path / "in.jsonl").write_bytes(b"".join(lines))
    require_same(tmp_path / "in.jsonl")


@pytest.mark.slow
@pytest.mark.usefixtures("small_pieces")
@settings(max_examples=150, deadline=None)
@given(
    begun=st.lists(st.sampled_from(HARMLESS), max_size=8),
    later=st.lists(st.sampled_from(HARMLESS), max_size=60),
    last=st.sampled_from(list(LINES)),
    ending=st.booleans(),
)
@example(begun=[], later=["prepared"] * 9, last="good", ending=True)
@example(begun=["unread"], later=["more unread", "unread", "unread"] * 4, last="good", ending=True)
@example(begun=["prepared"], later=["no answer", "prepared"] * 5, last="good", ending=False)
def test_any_damaged_file_gives_the_same_rows_reports_and_errors(
    tmp_path_factory: pytest.TempPathFactory, begun: list[str], later: list[str], last: str, ending: bool
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    lines = [LINES[name] for name in (*begun, *["good"] * FIRST, *later, last)]
    (folder / "in.jsonl").write_bytes(b"".join([*lines, GOOD] if ending else lines))
    require_same(folder / "in.jsonl")
    require_same(folder / "in.jsonl", params=replace(PARAMS, max_dropped_share=0.05, ignore_keys=("hint", "images")))


@pytest.mark.usefixtures("small_pieces")
def test_the_files_of_a_dataset_are_numbered_on_whoever_reads_them(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    some = [GOOD, LINES["no answer"], LINES["unread"], *[GOOD] * 60]
    lines = {
        "a.jsonl": [*some, LINES["blanks"], LINES["other blank"], LINES["mark alone"]],
        "b.jsonl": [LINES["list"], *some, LINES["raw half"]],
        "d.jsonl": [*some, LINES["endless"]],
    }
    folder.mkdir()
    for name, content in lines.items():
        (folder / name).write_bytes(b"".join(content))
    write_rows(folder / "c.json", [chat() for _ in range(5)])
    (folder / "e.jsonl.gz").write_bytes(gzip.compress(b"".join([*some, LINES["half"]])))
    (folder / "f.jsonl.zst").write_bytes(zstandard.compress(b"".join([LINES["more unread"], *some])))
    _, report = require_same(folder)
    numbers = {row["row"] for row in json.loads(str(report))["dropped"]}
    assert {2, 64, 63 + 3, 63 + 65 + 5 + 2} <= numbers
    for broken in ("b.jsonl", "d.jsonl"):
        whole = (folder / broken).read_bytes()
        (folder / broken).write_bytes(whole + LINES["syntax"])
        assert require_same(folder)[0] is DataError
        (folder / broken).write_bytes(whole + LINES["unsupported"])
        error = str(require_same(folder)[1])
        assert f"{broken}, line {len(lines[broken]) + 1}:" in error
        (folder / broken).write_bytes(whole)
    (folder / "d.jsonl").write_bytes(b"\n")
    assert require_same(folder)[0] is DataError


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("bad", ["good", "syntax", "latin"])
def test_what_stands_before_damaged_bytes_is_judged_first(tmp_path: Path, bad: str) -> None:
    noise = [line(chat(Random(n).randbytes(200).hex())) for n in range(300)]
    packed = gzip.compress(b"".join([*noise[:150], LINES[bad], *noise[150:]]))
    (tmp_path / "in.jsonl.gz").write_bytes(packed[: len(packed) * 9 // 10])
    error = str(require_same(tmp_path / "in.jsonl.gz", params=PrepareParams())[1])
    assert ("ends early" in error) == (bad == "good") and ("line 151:" in error) == (bad != "good")


@pytest.mark.usefixtures("small_pieces")
def test_a_file_that_grows_while_workers_read_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(GOOD * 500)

    def grow(done: int, total: int | None) -> None:
        with (tmp_path / "in.jsonl").open("ab") as handle:
            handle.write(GOOD)

    with start_workers("threads", 2) as workers, pytest.raises(DataError, match="changed while it was read"):
        prepare_file(tmp_path / "in.jsonl", tmp_path / "out.jsonl", PARAMS, progress=grow, workers=workers)
    assert not (tmp_path / "out.jsonl").exists()


@pytest.fixture
def many(chats: list[HashedRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of some hundred real conversations in a dozen pieces, some of them damaged."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    monkeypatch.setattr(corpus.files.line_pieces, "PIECE_BYTES", 20_000)
    lines = [write_row(*row).encode().replace(b'"hash"', b'"hint"') for row in chats[:300]]
    for place, name in ((7, "blanks"), (140, "no answer"), (290, "half")):
        lines.insert(place, LINES[name])
    (tmp_path / "in.jsonl").write_bytes(b"".join(lines))
    assert len(b"".join(lines)) > 240_000
    return tmp_path / "in.jsonl"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["threads", "processes", "ray"])
def test_every_engine_prepares_the_same_bytes_and_raises_the_same_errors(many: Path, engine: EngineName) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
    alone = outcome(many, IN_THIS_THREAD)
    with start_workers(engine, 2) as workers:
        assert outcome(many, workers) == alone
        for name in ("syntax", "unsupported"):
            with many.open("ab") as handle:
                handle.write(LINES[name])
            assert outcome(many, workers) == outcome(many, IN_THIS_THREAD)


class KilledOnce(Preparation):
    """The job whose worker is killed in the middle of a piece, the first time."""

    def __call__(self, piece: LinePiece) -> PreparedPiece | None:
        marker = Path(os.environ["KILLED_ONCE"])
        if piece.numbers[0] > 150 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(piece)


@pytest.mark.slow
def test_ray_prepares_the_piece_of_a_killed_worker_again(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("KILLED_ONCE", str(many.parent / "killed"))
    alone = outcome(many, IN_THIS_THREAD)
    monkeypatch.setattr(corpus.prepare, "Preparation", KilledOnce)
    with start_workers("ray", 2) as workers:
        assert outcome(many, workers) == alone
    assert (many.parent / "killed").exists()


@pytest.mark.slow
def test_a_killed_process_leaves_no_file(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILLED_ONCE", str(many.parent / "killed"))
    monkeypatch.setattr(corpus.prepare, "Preparation", KilledOnce)
    with start_workers("processes", 2) as workers:
        _, error, _ = outcome(many, workers)
    assert "stopped from outside" in str(error)


def test_a_small_file_is_not_worth_sharing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.jsonl").write_bytes(GOOD)
    assert not is_worth_sharing(tmp_path / "in.jsonl")
    assert not is_worth_sharing(tmp_path / "missing.jsonl")
    monkeypatch.setattr(corpus.prepared_pieces, "MIN_SHARED_BYTES", len(GOOD))
    assert is_worth_sharing(tmp_path / "in.jsonl") and is_worth_sharing(tmp_path)


@pytest.mark.slow
def test_the_command_shares_out_a_large_file_and_says_the_same(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus.prepared_pieces, "MIN_SHARED_BYTES", 100_000)
    monkeypatch.chdir(many.parent)
    seen: set[tuple[str, bytes, str]] = set()
    for options in (["--workers", "1"], ["--workers", "2"], ["--workers", "2", "--engine", "threads"]):
        done = CliRunner().invoke(app, ["prepare", "in.jsonl", "--out", "out.jsonl", "--report", "out.json", *options])
        assert done.exit_code == 0
        seen.add((done.output, Path("out.jsonl").read_bytes(), Path("out.json").read_text()))
    assert len(seen) == 1
    assert CliRunner().invoke(app, ["prepare", "in.jsonl", "--out", "out.jsonl", "--workers", "0"]).exit_code == 2
