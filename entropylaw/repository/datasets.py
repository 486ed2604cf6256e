"""The datasets of params.yaml: where each lies, what it holds, and how its rows are read."""

from __future__ import annotations

import os
from pathlib import Path

from corpus.dataset_params import DatasetParams, parse_dataset, reading_of
from corpus.errors import ParamsError
from corpus.formats import Kind, Reading
from corpus.params import PARAMS_FILE, read_params, read_section
from corpus.prepare import PrepareParams
from corpus.shapes import show_value
from entropylaw.repository import layout
from entropylaw.repository.data_places import require_trusted_place

KINDS: dict[str, Kind] = {layout.SFT: "conversations", layout.PREFERENCES: "preferences"}


def read_datasets(folder: Path = Path()) -> dict[str, DatasetParams]:
    """The section ``datasets`` of params.yaml: each dataset by its name. ``folder``: the pipeline's."""
    section = read_params(folder / PARAMS_FILE).get("datasets")
    if not isinstance(section, dict) or not section:
        raise ParamsError(f"{PARAMS_FILE}: datasets: expected names with a data file each, found {show_value(section)}")
    unknown = set(section) - {layout.SFT, layout.PREFERENCES}
    if unknown:
        expected, found = f"{layout.SFT}, {layout.PREFERENCES} or both", show_value(sorted(map(str, section)))
        raise ParamsError(f"{PARAMS_FILE}: datasets: expected {expected}, found {found}")
    return {name: parse_dataset(value, f"{PARAMS_FILE}: datasets.{name}") for name, value in section.items()}


def known_datasets(folder: Path = Path()) -> dict[str, DatasetParams]:
    """The datasets of params.yaml; none where there is no such file or section. ``folder``: the pipeline's."""
    file = folder / PARAMS_FILE
    return read_datasets(folder) if file.exists() and "datasets" in read_params(file) else {}


def locate_dataset(name: str | None) -> Path:
    """Where params.yaml says that a dataset lies. Raises ParamsError where it names no such dataset, or ``name`` is
    None.
    """
    datasets = read_datasets()
    if name not in datasets:
        raise ParamsError(f"give a data file, or --dataset with a dataset of {PARAMS_FILE}: {', '.join(datasets)}")
    return datasets[name].file


def main_dataset() -> str:
    """The dataset that is meant where none is named: the conversations, or the only one that there is."""
    datasets = known_datasets()
    return layout.SFT if layout.SFT in datasets or not datasets else next(iter(datasets))


def find_dataset(path: Path, folder: Path = Path()) -> str | None:
    """The name of the dataset that lies in this file, None where it is that of no dataset.

    ``folder``: the pipeline's.
    """
    place = os.path.realpath(path)
    known = known_datasets(folder).items()
    return next((name for name, params in known if os.path.realpath(folder / params.file) == place), None)


def reading_for(path: Path, dataset: str | None = None, folder: Path = Path()) -> Reading:
    """How the rows of a file are read: as params.yaml says of the dataset named, or of the one that lies there.

    ``folder``: the pipeline's. Raises EntropylawError where the file must not be read: see `data_places.py`.
    """
    name = dataset or find_dataset(path, folder) or ""
    require_trusted_place(path, is_named=bool(name))
    prepare = read_section(PrepareParams, "prepare", folder / PARAMS_FILE)
    return reading_of(prepare, known_datasets(folder).get(name), KINDS.get(name))


def held_out_reading(path: Path) -> Reading:
    """How held-out rows are read: like the conversations that they are held out of, but in any format.

    Raises EntropylawError as ``reading_for`` does.
    """
    require_trusted_place(path, is_named=find_dataset(path) is not None)
    datasets = known_datasets()
    dataset = datasets.get(find_dataset(path) or layout.SFT)
    ignored = read_section(PrepareParams, "prepare").ignore_keys
    return Reading("auto", dataset.columns if dataset else {}, ignored)
