"""What a file is that stands where data should be, and what to do about it."""

from __future__ import annotations

import re
from pathlib import Path

from corpus.errors import DataError

# Where a merge left both versions of some lines.
MERGE_MARKER = re.compile(r"(<{7}|>{7}|\|{7})( |$)|={7}$")

# By first bytes: what it is, and the command that makes data of it; {name} is the file's name.
_BINARY_KINDS = (
    (b"BZh", "is compressed by bzip2", "`bunzip2 {name}` unpacks it"),
    (b"\xfd7zXZ\x00", "is compressed by xz", "`unxz {name}` unpacks it"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive", "unpack it and name a file in it"),
    (b"PK\x03\x04", "is a zip archive or an Excel sheet", "unpack it, or save the sheet as CSV UTF-8"),
    (b"SQLite format 3\x00", "is an SQLite database", "export its table with `sqlite3 -header -csv`"),
    (b"\xff\xfe\x00\x00", "is UTF-32", "`iconv -f UTF-32 -t UTF-8 {name}` converts it"),
    (b"\x00\x00\xfe\xff", "is UTF-32", "`iconv -f UTF-32 -t UTF-8 {name}` converts it"),
    (b"Obj\x01", "is an Avro file", "write it as parquet or JSON lines"),
    (b"ORC", "is an ORC file", "write it as parquet or JSON lines"),
    (b"\x89HDF", "is an HDF5 file", "write it as parquet or JSON lines"),
    (b"\x80\x04\x95", "is a Python pickle", "write it as parquet or JSON lines"),
    (b"\x80\x05\x95", "is a Python pickle", "write it as parquet or JSON lines"),
    (b"%PDF", "is a PDF document", "name a data file"),
)
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_UTF_16 = "; `iconv -f {code} -t UTF-8 {name} > utf8-{name}` converts it"
_TAR_MAGIC_AT = 257


def require_data(path: Path, head: bytes) -> None:
    """Raise DataError, with the remedy, where the first bytes of a file say that it is something else than data.

    ``head``: its first bytes; of a compressed file, those of what is in it.
    """
    if head.startswith(_LFS_POINTER):
        # The option counts from the root of the repository.
        only = "" if path.is_absolute() else f" --include {path.as_posix()}"
        raise DataError(path, f"is a Git LFS pointer, not the data; run `git lfs pull{only}`")
    if head and not head.strip(b"\0"):
        raise DataError(path, "holds zero bytes only, as a copy that was interrupted leaves them; copy it again")
    for magic, kind, remedy in _BINARY_KINDS:
        if head.startswith(magic):
            raise DataError(path, f"{kind}; {remedy.format(name=path.name)}")
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        raise DataError(path, "is a tar archive; unpack it and name a file in it")
    _require_eight_bit_text(path, head)
    start = head[:1000].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith(b"<") and not start.startswith(b"<<<<<<<"):
        raise DataError(
            path, "is a web page or XML, not data, as a failed download or a sign-in page leaves it; download it again"
        )
    if start.startswith(b"outs:") and b"md5" in start:
        raise DataError(path, "is DVC's note about data, not the data; restore the .dvc file, then run `dvc pull`")
    first = start.split(b"\n", 1)[0].rstrip().decode("ascii", "replace")
    if MERGE_MARKER.match(first):
        raise merge_error(path, 1)


def _require_eight_bit_text(path: Path, head: bytes) -> None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        remedy = _UTF_16.format(code="UTF-16", name=path.name)
        raise DataError(path, f"is UTF-16, as `>` in Windows PowerShell writes it, not UTF-8{remedy}")
    # Without a byte order mark: every other byte of what begins as JSON or CSV does is zero.
    for code, zeros, letters in (("UTF-16LE", head[1:40:2], head[0:40:2]), ("UTF-16BE", head[0:40:2], head[1:40:2])):
        if len(zeros) > 1 and not any(zeros) and all(letters):
            raise DataError(path, f"is UTF-16, not UTF-8{_UTF_16.format(code=code, name=path.name)}")


def merge_error(path: Path, line: int) -> DataError:
    """The DataError for a line that Git wrote between two versions of the data."""
    return DataError(
        path,
        "is a marker of a merge conflict; keep the rows that are meant and delete the lines of <<<<<<<, ======= and "
        ">>>>>>>",
        line,
    )


def missing_error(path: Path) -> DataError:
    """The DataError for a file or folder that is not there: DVC may know of it."""
    for tracked in (path, *path.parents):
        if tracked.name and tracked.with_name(f"{tracked.name}.dvc").is_file():
            within = "" if tracked == path else f" the folder {tracked.as_posix()}, which may hold it"
            what = f"DVC tracks{within}" if within else "DVC tracks it"
            return DataError(path, f"no such file; {what}: run `dvc pull {path.as_posix()}`")
    if path.is_symlink():
        if "annex" in path.readlink().parts:
            return DataError(path, f"is a link of git-annex to a file that is not here; run `git annex get {path}`")
        return DataError(path, "is a link to a file that is not there; `dvc checkout` restores DVC's links")
    return DataError(path, "no such file")
