"""Evidently's own presets as a rival: its data summary and its data drift, each with the tests that it makes itself.

Evidently (tried: 0.7.23) needs pandas 2, so it lives in an environment of its own, whose Python is named with
``--evidently``; without it the tables show "-". This file is that environment's program as well, and imports nothing of
ours there. A version is a table of two text columns, prompt and answer, with Evidently's descriptors of each that need
no download, compared with the first version as a whole. An alarm is any test that fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.trials import Setup, Trial

SUMMARY, DATA_DRIFT = "Evidently summary", "Evidently drift"
EVIDENTLY = (SUMMARY, DATA_DRIFT)
ALARMS = ("FAIL", "ERROR")
# Which roles make up a column; of preferences the answers are the chosen ones.
COLUMNS = {"prompt": ("system", "user", "tool"), "answer": ("assistant",)}


def ask_evidently(python: Path, setup: Setup, trials: Sequence[Trial]) -> Iterator[None]:
    """Have the versions of these trials checked, and keep the answers beside their outcomes; yields at each."""
    from benchmarks.trials import keep_answers, make_version, write_version
    from corpus.errors import EntropylawError

    with tempfile.TemporaryDirectory(dir=setup.folder) as temporary:
        for dataset in dict.fromkeys(trial.dataset for trial in trials):
            pool = setup.pools[dataset]
            reference = Path(temporary) / f"{dataset}.jsonl"
            write_version(reference, pool.baseline)
            chosen = [trial for trial in trials if trial.dataset == dataset]
            files = [Path(temporary) / f"{dataset}-{number}.jsonl" for number in range(len(chosen))]
            for trial, file in zip(chosen, files, strict=True):
                write_version(file, make_version(trial, pool, setup.team)[0])
            command = [str(python), __file__, str(reference), *map(str, files)]
            # Evidently prints warnings of its own, so both streams are not read at once: one goes to a file.
            said = Path(temporary) / "said"
            with (
                said.open("w") as stderr,
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
            ):
                assert process.stdout is not None
                for trial, line in zip(chosen, process.stdout, strict=False):
                    keep_answers(setup, trial, json.loads(line))
                    yield
            if process.returncode:
                raise EntropylawError(f"Evidently: {(said.read_text().splitlines() or ['no answer'])[-1]}")


def read_table(file: str) -> list[dict[str, str]]:
    """The two columns of a file of prepared rows."""
    rows = []
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            messages = row.get("messages") or row["prompt"] + row["chosen"]
            rows.append(
                {
                    column: "\n".join(message["content"] for message in messages if message["role"] in roles)
                    for column, roles in COLUMNS.items()
                }
            )
    return rows


def describe(file: str) -> Any:
    """A file as Evidently's data set, with descriptors."""
    import pandas as pd
    from evidently import DataDefinition, Dataset
    from evidently.descriptors import NonLetterCharacterPercentage, SentenceCount, TextLength, WordCount

    kinds = (TextLength, WordCount, SentenceCount, NonLetterCharacterPercentage)
    descriptors = [kind(column, alias=f"{column} {kind.__name__}") for column in COLUMNS for kind in kinds]
    definition = DataDefinition(text_columns=list(COLUMNS))
    return Dataset.from_pandas(pd.DataFrame(read_table(file)), data_definition=definition, descriptors=descriptors)


def main(reference: str, versions: Sequence[str]) -> None:
    """Print one line for each version: whether each preset raises an alarm."""
    from evidently import Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    warnings.simplefilter("ignore")
    before = describe(reference)
    for version in versions:
        now = describe(version)
        answers = {}
        for name, preset in ((SUMMARY, DataSummaryPreset), (DATA_DRIFT, DataDriftPreset)):
            tests = Report([preset()], include_tests=True).run(now, before).dict()["tests"]
            answers[name] = any(str(test["status"]).split(".")[-1] in ALARMS for test in tests)
        print(json.dumps(answers), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
