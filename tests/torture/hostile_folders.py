"""Hostile folders, names and links: what stands where a data file or a folder of them is named."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

from hostile_tables import arrow
from hostile_texts import GOOD, LINES

# Makes it in an empty folder, and returns what a command is to be given.
Builder = Callable[[Path], Path]


def _file(folder: Path, name: str, content: bytes = LINES) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _named(name: str | bytes) -> Builder:
    """One good file of a bad name."""

    def build(folder: Path) -> Path:
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        with open(path, "wb") as handle:
            handle.write(LINES)
        return Path(os.fsdecode(path))

    return build


def _folder(*names: str, **contents: bytes) -> Builder:
    """A folder of good files, and others with their contents; two underscores in a name are its dot."""

    def build(folder: Path) -> Path:
        for name in names:
            _file(folder / "sft", name)
        for name, content in contents.items():
            _file(folder / "sft", name.replace("__", "."), content)
        return folder / "sft"

    return build


def _linked(target: str, name: str = "sft.jsonl") -> Builder:
    def build(folder: Path) -> Path:
        (folder / name).symlink_to(target)
        return folder / name

    return build


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "sft.jsonl")
    return folder / "sft.jsonl"


def _pipe_among_files(folder: Path) -> Path:
    _file(folder / "sft", "a.jsonl")
    os.mkfifo(folder / "sft" / "b.jsonl")
    return folder / "sft"


def _socket(folder: Path) -> Path:
    here = os.getcwd()
    os.chdir(folder)  # its whole path may be too long for a socket
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sft.jsonl")
    os.chdir(here)
    return folder / "sft.jsonl"


def _folder_called_file(folder: Path) -> Path:
    (folder / "sft.jsonl").mkdir()
    return folder / "sft.jsonl"


def _folder_called_file_within(folder: Path) -> Path:
    _file(folder / "sft", "a.jsonl")
    (folder / "sft" / "b.parquet").mkdir()
    return folder / "sft"


def _loop(folder: Path) -> Path:
    _file(folder / "sft" / "a", "a.jsonl")
    (folder / "sft" / "a" / "back").symlink_to(folder / "sft")
    return folder / "sft"


def _loop_of_two(folder: Path) -> Path:
    for name, other in (("a", "b"), ("b", "a")):
        _file(folder / "sft" / name, f"{name}.jsonl")
        (folder / "sft" / name / "over").symlink_to(folder / "sft" / other)
    return folder / "sft"


def _many_ways(folder: Path) -> Path:
    """Thirty folders, each with two links to the next: a thousand million ways to one file."""
    for level in range(30):
        place = folder / "sft" / f"d{level}"
        place.mkdir(parents=True)
        for link in ("x", "y"):
            (place / link).symlink_to(folder / "sft" / f"d{level + 1}")
    _file(folder / "sft" / "d30", "a.jsonl")
    return folder / "sft" / "d0"


def _links_in_a_circle(folder: Path) -> Path:
    (folder / "a.jsonl").symlink_to("b.jsonl")
    (folder / "b.jsonl").symlink_to("a.jsonl")
    return folder / "a.jsonl"


def _deep_folders(folder: Path) -> Path:
    _file(folder / "sft" / Path(*["d"] * 300), "a.jsonl")
    return folder / "sft"


def _many_files(folder: Path) -> Path:
    for number in range(1000):
        _file(folder / "sft", f"part-{number}.jsonl", b'{"prompt": "a%d?", "completion": "b."}\n' % number)
    return folder / "sft"


def _link_within_to(target: str) -> Builder:
    def build(folder: Path) -> Path:
        _file(folder / "sft", "a.jsonl")
        (folder / "sft" / "b.jsonl").symlink_to(target)
        return folder / "sft"

    return build


def _cache_of_the_hub(folder: Path) -> Path:
    for name in ("snapshots", "blobs"):
        (folder / name).mkdir()
    return folder


def _saved(state: bytes) -> Builder:
    """What `save_to_disk` of `datasets` makes, with these notes."""
    import pyarrow

    def build(folder: Path) -> Path:
        _file(folder / "sft", "data-00000-of-00001.arrow", arrow(pyarrow.Table.from_pylist(GOOD)))
        _file(folder / "sft", "state.json", state)
        _file(folder, "outside.arrow", arrow(pyarrow.Table.from_pylist(GOOD)))
        return folder / "sft"

    return build


def _files_of_state(*names: object) -> bytes:
    return json.dumps({"_data_files": [{"filename": name} for name in names]}).encode()


HOSTILE_NAMES = {
    "a line break": "a\nb.jsonl",
    "a return": "a\rb.jsonl",
    "ESC": "\x1b[31mred\x1b[0m.jsonl",
    "a command of a CI system": "::error::x.jsonl",
    "quotes": "a'b\"c`d.jsonl",
    "a command of the shell": "$(touch pwn);&|.jsonl",
    "spaces at the ends": " a .jsonl",
    "a dash first": "--out.jsonl",
    "a star": "*.jsonl",
    "brackets": "[a-z].jsonl",
    "a percent sign": "%s%n{0}.jsonl",
    "a backslash": "a\\b.jsonl",
    "a name from right to left": "a\u202elnosj.jsonl",
    "no character but the suffix": ".jsonl",
    "two suffixes": "a.parquet.jsonl",
    "a suffix thrice": "a.gz.gz.jsonl.gz",
    "capital letters": "A.JSONL",
    "the longest name": "x" * 249 + ".jsonl",
    "a name of combining marks": "e" + "\u0301" * 50 + ".jsonl",
    "a hub's name": "hf:.jsonl",
}

FOLDERS: dict[str, Builder] = {
    **{f"a file named by {what}": _named(name) for what, name in HOSTILE_NAMES.items()},
    **{f"a folder with {what} in a name": _folder("a.jsonl", name) for what, name in HOSTILE_NAMES.items()},
    "a file named in Latin-1": _named(b"caf\xe9.jsonl"),
    "a file named by a surrogate": _named(b"\xed\xa0\x80.jsonl"),
    "an empty folder": lambda folder: folder,
    "a folder called .jsonl": _folder_called_file,
    "a folder called .parquet in a folder": _folder_called_file_within,
    "a folder of notes": _folder(README__md=b"#", dataset_info__json=b"{}"),
    "a folder of other files": _folder(a__txt=b"a", b__zip=b"PK\x03\x04", c__jsonl__bz2=b"BZh"),
    "a folder of hidden files": _folder(".a.jsonl", "_b.jsonl"),
    "a folder with an empty file": _folder("a.jsonl", b__jsonl=b""),
    "a folder with a file of another format": _folder("a.jsonl", b__jsonl=b'{"messages": []}\n'),
    "a folder with a broken file": _folder("a.jsonl", b__jsonl=b'{"prompt": '),
    "a folder with a broken table": _folder("a.jsonl", b__parquet=b"PAR1PAR1"),
    "a folder with broken gzip": _folder("a.jsonl", b__jsonl__gz=b"\x1f\x8b\x08\0\0"),
    "a folder with a pointer of Git LFS": _folder("a.jsonl", b__jsonl=b"version https://git-lfs.github.com/spec/v1\n"),
    "a folder with a web page": _folder("a.jsonl", b__json=b"<html>"),
    "a folder of splits": _folder("train.jsonl", "test.jsonl", "validation.jsonl"),
    "a folder of the same rows twice": _folder("a.jsonl", "a.json"),
    "a folder of names that differ in case": _folder("a.jsonl", "A.jsonl"),
    "a folder of shards of which one is missing": _folder("a-00000-of-00003.jsonl", "a-00002-of-00003.jsonl"),
    "a folder of shards beyond their number": _folder("a-00000-of-00001.jsonl", "a-00007-of-00001.jsonl"),
    "a folder of a million shards": _folder("a-00000-of-99999.jsonl"),
    "a folder of shards of none": _folder("a-00000-of-00000.jsonl"),
    "a folder of names with long numbers": _folder("a" + "1" * 200 + ".jsonl", "a" + "2" * 200 + ".jsonl"),
    "a folder of names with other digits": _folder("a٣.jsonl", "a².jsonl", "a2.jsonl"),
    "a folder that is DVC's note": _folder(a__jsonl__dvc=b"outs: []"),
    "a folder of a thousand files": _many_files,
    "folders three hundred deep": _deep_folders,
    "a pipe": _pipe,
    "a pipe among files": _pipe_among_files,
    "a socket": _socket,
    "a link to /dev/zero": _linked("/dev/zero"),
    "a link to /dev/null": _linked("/dev/null"),
    "a link to /dev/urandom": _linked("/dev/urandom", "sft.parquet"),
    "a link to /dev/stdin": _linked("/dev/stdin"),
    "a link to a terminal": _linked("/dev/tty"),
    "a link to /proc/self/mem": _linked("/proc/self/mem"),
    "a link to /proc/self/environ": _linked("/proc/self/environ"),
    "a link to a folder": _linked("/usr"),
    "a link to nothing": _linked("nowhere.jsonl"),
    "a link of git-annex": _linked("../.git/annex/objects/x"),
    "a link to itself": _linked("sft.jsonl"),
    "links in a circle": _links_in_a_circle,
    "a link to the folder above": _loop,
    "links to each other's folder": _loop_of_two,
    "many ways through links": _many_ways,
    "a device among files": _link_within_to("/dev/zero"),
    "a link to nothing among files": _link_within_to("nowhere"),
    "a path through a file": lambda folder: _file(folder, "a.jsonl") / "b.jsonl",
    "a path that is too long": lambda folder: folder / ("x" * 300 + ".jsonl"),
    "a path of too many folders": lambda folder: folder / Path(*["d" * 100] * 50) / "a.jsonl",
    "a name without a suffix": lambda folder: _file(folder, "data"),
    "a name of another suffix": lambda folder: _file(folder, "data.xlsx"),
    "a pattern that matches a folder": lambda folder: _folder_called_file(folder).with_name("s*.jsonl"),
    "a pattern that matches nothing": lambda folder: folder / "*.jsonl",
    "a pattern that is broken": lambda folder: folder / "[a-.jsonl",
    "a pattern of many stars": lambda folder: _file(folder, "a" * 100 + ".jsonl").with_name("*a" * 30 + "b.jsonl"),
    "notes that are no JSON": _saved(b"{"),
    "notes that are a list": _saved(b"[]"),
    "notes that are nested deep": _saved(b'{"_data_files": ' + b"[" * 100_000),
    "notes with a number of 5,000 digits": _saved(b'{"_data_files": ' + b"9" * 5000 + b"}"),
    "notes that are not UTF-8": _saved(b"\xff\xfe{}"),
    "notes that name nothing": _saved(b"{}"),
    "notes of null": _saved(b'{"_data_files": null}'),
    "notes that name numbers": _saved(_files_of_state(5)),
    "notes that name a file that is not there": _saved(_files_of_state("gone.arrow")),
    "notes that name a file outside": _saved(_files_of_state("../outside.arrow")),
    "notes that name an absolute path": _saved(_files_of_state("/etc/passwd")),
    "notes that name a NUL": _saved(_files_of_state("a\0b.arrow")),
    "notes that name half a character": _saved(_files_of_state("\ud800.arrow")),
    "notes that name the folder": _saved(_files_of_state(".")),
    "notes that name one file twice": _saved(_files_of_state(*["data-00000-of-00001.arrow"] * 2)),
    "notes that name a file of text": _saved(_files_of_state("state.json")),
    "notes with an order of their own": _saved(b'{"_indices_files": [{"filename": "x"}]}'),
    "a dictionary of no splits": _folder("a.jsonl", dataset_dict__json=b'{"splits": []}'),
    "the cache of the Hub": _cache_of_the_hub,
}
