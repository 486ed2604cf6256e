"""The pool of a study, mixed of several corpora: the section `mix` of its params.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from corpus.errors import ParamsError
from corpus.params import parse_section, read_params
from corpus.shapes import show_value
from entropylaw.repository.layout import DATA, PREFERENCES, SFT
from entropylaw.study.pool_files import choose_rows, read_usable


@dataclass(frozen=True)
class Corpus:
    """One corpus of a pool. ``path``: a file, a folder, a pattern or hf://OWNER/NAME@REVISION. ``rows``: at most so
    many, chosen by their content; None: all.
    """

    path: str
    rows: int | None = None

    def __post_init__(self) -> None:
        if self.rows is not None and self.rows < 1:
            raise ValueError(f"rows must be positive, found {self.rows}")


@dataclass(frozen=True)
class Mix:
    """``sample``: rows of each dataset in all, of every corpus its share; None: all. ``datasets``: their corpora, each
    by the name that its rows get for a source.
    """

    sample: int | None
    datasets: dict[str, dict[str, Corpus]]


def read_mix(path: Path) -> Mix:
    """The section ``mix`` of a file. Raises ParamsError naming the file and the key."""
    return parse_mix(read_params(path), path)


def parse_mix(document: Mapping[str, Any], path: Path) -> Mix:
    """The same of what stands in such a file."""
    where = f"{path}: mix"
    section = _require_keys(document.get("mix"), where)
    sample = section.get("sample")
    if sample is not None and (type(sample) is not int or sample < 1):
        raise ParamsError(f"{where}.sample: expected a number of rows or null, found {show_value(sample)}")
    datasets: dict[str, dict[str, Corpus]] = {}
    for name, corpora in section.items():
        if name == "sample":
            continue
        if name not in (SFT, PREFERENCES):
            raise ParamsError(f"{where}.{name}: unknown key; known are sample, {SFT}, {PREFERENCES}")
        datasets[name] = {
            str(source): parse_section(
                Corpus, {"rows": None, **_require_keys(entry, f"{where}.{name}.{source}")}, f"{where}.{name}.{source}"
            )
            for source, entry in _require_keys(corpora, f"{where}.{name}").items()
        }
        if not datasets[name]:
            raise ParamsError(f"{where}.{name}: names no corpus; add one such as `{{chats: {{path: chats.jsonl}}}}`")
    if not datasets:
        raise ParamsError(f"{where}: names neither {SFT} nor {PREFERENCES}")
    return Mix(sample, datasets)


def mix_pool(mix: Mix, folder: Path = DATA) -> dict[str, dict[str, int]]:
    """Write folder/NAME.jsonl for each dataset, in prepared form; how many rows each corpus gave.

    Corpora follow each other in the order of the params, their rows in that of the file. Rows are numbered anew. Raises
    DataError where a corpus cannot be read.
    """
    from corpus.prepared_rows import write_row

    counts: dict[str, dict[str, int]] = {}
    for name, corpora in mix.datasets.items():
        read = {source: read_usable(Path(corpus.path), name, None) for source, corpus in corpora.items()}
        limits = {source: min(len(rows), corpora[source].rows or len(rows)) for source, rows in read.items()}
        share = 1.0 if mix.sample is None else min(1.0, mix.sample / sum(limits.values()))
        counts[name] = {}
        number = 0
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for source, rows in read.items():
                chosen = choose_rows(rows, max(1, round(share * limits[source])))
                counts[name][source] = len(chosen)
                for i in chosen:
                    number += 1
                    file.write(write_row(replace(rows[i].record, source=source, row=number), rows[i].hash))
    return counts


def _require_keys(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ParamsError(f"{where}: expected a section of keys, found {show_value(value)}")
    return value
