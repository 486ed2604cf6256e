"""R, C and L of the rows of one dataset, and the base model and the calibration that L needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from corpus.artifacts import read_result
from corpus.errors import EntropylawError
from corpus.progress import Progress, ignore_progress
from corpus.records import HashedRecord, Preference, Record, data_hash
from entropylaw.api.settings import Settings
from monitor.calibration import calibrate
from monitor.calibration.calibrate import Calibration
from monitor.measures import measurement
from monitor.measures.compression import CompressionParams, CompressionProfile, profile_compression
from monitor.measures.evidence import Evidence
from training import base_model
from training.base_model import BaseModelCard
from training.base_model_params import BaseModelParams
from training.probed_model import ProbedModel, load_probed_model, name_probe_savings
from training.second_model import SecondModelParams


@dataclass(frozen=True, repr=False)
class MeasuredDataset:
    """The rows of one dataset with what was measured on them, and how.

    ``evidence``: the measures in full, row by row where they have a value for each. ``base_identity``: of the base
    model that L was measured from; None until then.
    """

    evidence: Evidence
    settings: Settings
    base_identity: str | None = None

    def __repr__(self) -> str:
        """The numbers only: a notebook shows what it is given, and this holds all rows."""
        measures = (("R", self.r), ("long R", self.r_long), ("L", self.l), ("C", self.c))
        numbers = ", ".join(f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in measures)
        return f"MeasuredDataset({self.evidence.dataset}: {len(self.evidence.records)} rows, {numbers})"

    @property
    def r(self) -> float:
        """R: raw bytes / compressed bytes, by zlib over the rows in order. High: the data repeats itself."""
        return self.evidence.compression.r

    @property
    def r_long(self) -> float:
        """R over a long window (128 MiB by default), by zstd. It sees copies that lie too far apart for zlib."""
        return self.evidence.compression.r_long

    @property
    def c(self) -> float | None:
        """C: mean cosine of a prompt and its answer, -1 to 1; None where every row has an empty side."""
        value = self.evidence.consistency.agreement
        return value if math.isfinite(value) else None

    @property
    def l(self) -> float | None:  # noqa: E743 - the paper's letter
        """L: mean loss in nats per response token; of preferences the KTO loss, 0 to 1. None until it is measured."""
        return self.evidence.l if math.isfinite(self.evidence.l) else None


def measure_compression(records: Iterable[Record], params: CompressionParams | None = None) -> CompressionProfile:
    """R of any number of records, and of each of their sources, in one pass and constant memory.

    >>> from entropylaw import Conversation, Message, measure_compression
    >>> row = Conversation((Message("user", "Hi"), Message("assistant", "Hello!")))
    >>> once, often = measure_compression([row]), measure_compression([row] * 1000)
    >>> once.r < 2 and often.r > 50
    True
    """
    return profile_compression(records, params or CompressionParams())


def measure_rows(rows: Sequence[HashedRecord], settings: Settings | None = None) -> MeasuredDataset:
    """R and C of the rows of a dataset, as `prepare_records` gives them; `measure_loss` adds L.

    The dataset is called `sft` when the rows are conversations, and `preferences` when they are preferences. Raises
    EntropylawError when there is no row, and when conversations and preferences are mixed.

    >>> from entropylaw import Conversation, Message, measure_rows, prepare_records
    >>> questions = ["How do I boil an egg?", "Where is the nearest station?"]
    >>> answers = ["Boil the egg in water for seven minutes.", "The station is two streets from here."]
    >>> rows = prepare_records(
    ...     Conversation((Message("user", question), Message("assistant", answer)))
    ...     for question, answer in zip(questions, answers, strict=True)
    ... ).rows
    >>> measured = measure_rows(rows)
    >>> measured.evidence.dataset, measured.c > 0.3, measured.l
    ('sft', True, None)
    """
    settings = settings or Settings()
    kinds = {isinstance(record, Preference) for record, _ in rows}
    if len(kinds) != 1:
        cause = "conversations and preferences are two datasets: measure them apart" if kinds else "there are no rows"
        raise EntropylawError(f"measure_rows: {cause}")
    dataset = "preferences" if kinds.pop() else "sft"
    return MeasuredDataset(
        measurement.measure_dataset(dataset, rows, settings.compression, settings.consistency), settings
    )


def measure_loss(measured: MeasuredDataset, base: ProbedModel, progress: Progress = ignore_progress) -> MeasuredDataset:
    """The same measures with L: the mean loss of a short first-epoch run from a copy of the base model.

    ``settings.probe`` says how long the run is. ``progress`` is called with the steps done and the steps in all. Rows
    that the base model may have been trained on are passed over.

    Raises NotAssessedError when fewer rows than one batch can be probed, and EntropylawError when memory is full.
    """
    with _explain_memory("measure_loss", measured.settings):
        evidence = measurement.probe_dataset(
            measured.evidence, base, measured.settings.probe, lambda stage, done, total: progress(done, total)
        )
    return replace(measured, evidence=evidence, base_identity=base.card.identity)


def build_base_model(
    rows: Sequence[HashedRecord],
    folder: str | Path,
    params: BaseModelParams | None = None,
    progress: Progress = ignore_progress,
) -> BaseModelCard:
    """Make the base model once, from the rows of the first version, and keep it: every version is probed from it.

    Without ``params.pretrained`` this trains a small model (half a million weights by default) on half of the rows,
    chosen by their hashes. With it, the folder only says which pretrained model to use, and how.

    Raises EntropylawError when the rows are too few, or when the pretrained model cannot be loaded.
    """
    identity = data_hash(row_hash for _, row_hash in rows)
    return base_model.build_base_model(rows, identity, params or BaseModelParams(), folder, progress)


def load_base_model(
    folder: str | Path, device: str | None = None, second: SecondModelParams | None = None
) -> ProbedModel:
    """The base model in a folder of `build_base_model`, or any causal language model by its folder or Hub id.

    ``device``: such as "cuda:1"; None takes a GPU where there is one. ``second``: a model that reads a part of the rows
    beside it, as ``settings.second_model`` says. Raises EntropylawError when the base model cannot be loaded.
    """
    return load_probed_model(folder, device, second)


def calibrate_baseline(
    rows: Sequence[HashedRecord],
    base: str | Path,
    settings: Settings | None = None,
    kept_in: str | Path | None = None,
    progress: Progress = ignore_progress,
) -> Calibration:
    """Measure once what is normal: how L varies by chance, and what benign updates of the first version do.

    ``rows``: of the first version. ``base``: folder of the base model. Costs several probe runs, and with
    ``settings.calibration.law_runs`` fourteen training runs more; ``progress`` is called with the steps done and the
    steps in all. Finished runs are kept in the folder ``kept_in``, if given, so that an interrupted calibration goes on
    where it stopped.

    Keep the result with `write_json`, and read it with `read_calibration`. Raises NotAssessedError when the version is
    too small to tell, or a run diverges.
    """
    settings = settings or Settings()
    folder = None if kept_in is None else Path(kept_in)
    with _explain_memory("calibrate_baseline", settings):
        return calibrate.calibrate(
            rows, str(base), settings.probe, settings.compression, settings.calibration, progress, folder
        )


def read_calibration(path: str | Path) -> Calibration:
    """A calibration that `write_json`, or the stage `calibration`, wrote.

    Raises NotAssessedError when the file is missing, damaged or of another version of the tool.
    """
    return read_result(path, Calibration, complete=True)


def _explain_memory(what: str, settings: Settings) -> AbstractContextManager[None]:
    from training.device_memory import explain_full_memory

    return explain_full_memory(what, name_probe_savings(settings.probe, settings.base_model))
