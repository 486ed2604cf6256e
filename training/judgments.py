"""The file of the judge's answers, so that each is paid for once: one JSON line each, appended and never changed."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import DataError, EntropylawError
from corpus.shapes import parse_shape

# Every line begins like this, so that one which an interrupted run left unfinished is known from other content.
_LINE_START = b'{"key": "'


@dataclass(frozen=True, slots=True)
class Judgment:
    """One answer of the judge.

    ``key``: fingerprint of model, messages and temperature. ``about``: what was judged, for a reader. ``is_cut``: the
    answer ended because it reached ``max_tokens``. The messages are not kept, because they hold text of the data; the
    answer may quote from it.
    """

    key: str
    about: str
    model: str
    temperature: float | None
    max_tokens: int | None
    is_cut: bool
    answer: str


class Judgments:
    """The judgments in a file, by key. The file is made when the first one is kept.

    A line that an interrupted run left unfinished is ignored, and its answer is asked for again. Raises DataError for a
    file of other content and EntropylawError for one that cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._by_key: dict[str, Judgment] = {}
        self._lock = threading.Lock()
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise EntropylawError(f"{path}: cannot be read: {error.strerror}") from None
        self._ends_torn = bool(content) and not content.endswith(b"\n")
        for number, line in enumerate(content.splitlines(), start=1):
            judgment = _parse_line(line)
            if judgment is not None:
                self._by_key[judgment.key] = judgment
            elif not (line.startswith(_LINE_START) or _LINE_START.startswith(line)):
                raise DataError(path, "not a file of judgments; name another", number)

    def get(self, key: str, max_tokens: int | None) -> Judgment | None:
        """The kept judgment, or None. One that was cut serves only for the same ``max_tokens``."""
        judgment = self._by_key.get(key)
        return None if judgment is None or (judgment.is_cut and judgment.max_tokens != max_tokens) else judgment

    def keep(self, judgment: Judgment) -> None:
        """Append a judgment; it is on the disk when this returns. Raises EntropylawError when that fails."""
        fields = {name: getattr(judgment, name) for name in Judgment.__slots__}
        line = json.dumps(fields).encode() + b"\n"
        with self._lock:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                # One unbuffered write in append mode: two runs that share the file do not mix their lines.
                with open(self.path, "ab", buffering=0) as handle:
                    handle.write(b"\n" + line if self._ends_torn else line)
                    os.fsync(handle.fileno())
            except OSError as error:
                raise EntropylawError(f"{self.path}: cannot be written: {error.strerror}") from None
            self._ends_torn = False
            self._by_key[judgment.key] = judgment


def _parse_line(line: bytes) -> Judgment | None:
    try:
        # Not `decode_json`: a judge may answer with half a surrogate pair, and its answer was paid for.
        return parse_shape(json.loads(line), Judgment)
    except (ValueError, RecursionError):
        return None
