"""Where a study keeps its files: a folder with its pipeline and parameters, what its stages leave, and its report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from entropylaw.repository.layout import MODELS, STUDY


@dataclass(frozen=True)
class StudyFiles:
    """The files of the study in ``folder``, as seen from the folder of the pipeline.

    >>> StudyFiles(Path("studies/selection")).result("zip").as_posix()
    'studies/selection/runs/zip.json'
    """

    folder: Path = STUDY

    @property
    def pipeline(self) -> Path:
        return self.folder / "dvc.yaml"

    @property
    def params(self) -> Path:
        return self.folder / "params.yaml"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def budget(self) -> Path:
        """What the stage ``budget`` found, in a study whose budget is what one of its entries selects."""
        return self.folder / "budget.json"

    @property
    def start(self) -> Path:
        """The model that a study of preferences aligns; of its own, because DVC lets no two stages make one file.

        >>> StudyFiles(Path("studies/preferences")).start.as_posix()
        'models/studies-preferences-start'
        """
        return MODELS / f"{'-'.join(self.folder.parts)}-start"

    def table(self, suffix: str) -> Path:
        return self.results / f"table.{suffix}"

    def result(self, name: str) -> Path:
        return self.runs / f"{name}.json"

    def lengths(self, name: str) -> Path:
        """How many of the selected rows, over all seeds, have so many tokens."""
        return self.runs / f"{name}_tokens.csv"


SELECTION = StudyFiles()
