"""Which base model sees more? The losses of damaged rows beside those of sound rows, by two models as they are.

    python -m benchmarks.base_models --work base-models --name gsm8k --data gsm8k_train.jsonl.gz:1600
    python -m benchmarks.base_models --work base-models                  # chit-chat

The small model is made of the corpus' first version; the other one is the recipe smollm2-135m's (`make smollm2`). Both
read the same rows, which the small one was not made of, each in windows as long as its probe's. For each kind of
damage the table has the AUC of damaged against sound rows (the chance that a damaged row has the higher loss), and the
share of rows whose loss rises against their own past. Every case is kept under ``--work``, so that a run that was
stopped goes on. Prints a table as Markdown and writes all losses as JSON.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.corpora import add_corpus_options, load_pools, name_corpus, parse_part
from corpus.artifacts import read_json, write_json
from corpus.errors import EntropylawError
from corpus.progress import ignore_progress
from corpus.records import HashedRecord, Record, content_hash
from entropylaw.repository import layout
from monitor.power.accidents import ACCIDENTS, Accident, inject
from monitor.power.damaged_rows import change_contents
from training.base_model import CARD, build_base_model, is_trained_row, load_base_model
from training.base_model_params import BaseModelParams
from training.probe_run import ProbeParams, choose_probe_rows, read_rows
from training.row_window import ReadRow, read_conversation

ROWS, SOUND_ROWS = 1600, 70
RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "smollm2-135m.yaml"
SMALL, LARGE = "small", "smollm2-135m"
SOUND = "sound"
# An AUC of fewer damaged rows says nothing.
FEWEST_ROWS = 10
# One or two of each family: wrong facts, answers of other rows, text lost, its form, what a program left in it.
NAMES = (
    "answers swapped",
    "answers cut at 60%",
    "line breaks lost",
    "answers lower-cased",
    "prompt and answer exchanged",
    "think blocks",
    "template tokens",
    "garbled punctuation",
    "prompt in front",
)


def change_numbers(text: str, rng: np.random.Generator) -> str:
    """The text with another number of as many digits in place of each of its numbers: the same one for the same one.

    >>> change_numbers("2 and 2 are 4", np.random.default_rng(0))
    '8 and 8 are 6'
    """
    others: dict[str, str] = {}

    def change(found: re.Match[str]) -> str:
        if found[0] not in others:
            others[found[0]] = _draw_other(found[0], rng)
        return others[found[0]]

    return re.sub("[0-9]+", change, text)


def change_last_number(text: str, rng: np.random.Generator) -> str:
    """The text with another number in place of its last one, which is the result of most solutions."""
    found = list(re.finditer("[0-9]+", text))
    if not found:
        return text
    return text[: found[-1].start()] + _draw_other(found[-1][0], rng) + text[found[-1].end() :]


def _draw_other(number: str, rng: np.random.Generator) -> str:
    while True:
        other = str(rng.integers(1, 10)) + "".join(map(str, rng.integers(0, 10, len(number) - 1)))
        if other != number:
            return other


# Wrong facts are no accident of a program, so that the gate's own accidents have none.
WRONG_FACTS = (
    Accident("all numbers wrong", "conversations", "replaces", change_contents(change_numbers, answers_only=True)),
    Accident("last number wrong", "conversations", "replaces", change_contents(change_last_number, answers_only=True)),
)


@dataclass(frozen=True)
class BaseModel:
    """A base model in its folder, and how its probe reads rows."""

    name: str
    folder: Path
    params: ProbeParams


@dataclass(frozen=True)
class Case:
    """The rows of one kind of damage by one model. ``losses``: nats per response token, by the row's number from 1.

    ``tokens``: what the model read, context and padding left out.
    """

    losses: dict[str, float]
    tokens: int
    cpu_seconds: float


def list_damages(only: Sequence[str]) -> list[Accident]:
    """The kinds of damage, in the order of the table; ``only``: none for all. Raises EntropylawError for another."""
    known = {accident.name: accident for accident in (*WRONG_FACTS, *ACCIDENTS)}
    names = [*(accident.name for accident in WRONG_FACTS), *NAMES]
    for name in set(only) - set(names):
        raise EntropylawError(f"--only {name}: no such kind; there are {', '.join(names)}")
    return [known[name] for name in names if not only or name in only]


def make_base_models(baseline: Sequence[HashedRecord], corpus_folder: Path, work: Path) -> list[BaseModel]:
    """The small model of a corpus' first version, and the large one, which all corpora share."""
    from ruamel.yaml import YAML

    recipe: dict[str, Any] = YAML(typ="safe", pure=True).load(RECIPE.read_text(encoding="utf-8"))
    made = [
        (BaseModel(SMALL, corpus_folder / "base", ProbeParams()), BaseModelParams(), baseline),
        (BaseModel(LARGE, work / LARGE, ProbeParams(**recipe["probe"])), BaseModelParams(**recipe["base_model"]), []),
    ]
    for model, params, rows in made:
        if not (model.folder / CARD).exists():
            begun = time.process_time()
            build_base_model(rows, "", params, model.folder)
            say(f"{model.name}: made in {time.process_time() - begun:.0f} CPU seconds")
    return [model for model, _, _ in made]


def damage_rows(rows: Sequence[Record], damage: Accident) -> dict[int, Record]:
    """The rows that can be damaged, by their number from 1, after it. None where the damage can happen to none."""
    try:
        version = inject(rows, damage, 1, np.random.default_rng(2))
    except EntropylawError:
        return {}
    return {i: version.records[i - 1] for i in sorted(version.rows)}


class Reader:
    """A model that is loaded when it first has to read; a run whose cases are all kept needs none."""

    def __init__(self, model: BaseModel) -> None:
        self.model = model
        self._loaded: tuple[Any, Any] | None = None

    def read(self, rows: Mapping[int, Record]) -> Case:
        """The loss of each row by the model as it is."""
        if self._loaded is None:
            network, tokenizer, _ = load_base_model(self.model.folder, "cpu")
            self._loaded = network, tokenizer
        network, tokenizer = self._loaded
        params = self.model.params
        begun = time.process_time()
        read: dict[int, ReadRow] = {}
        for i, record in rows.items():
            row = read_conversation(tokenizer, record, params.max_length)
            if row is not None:
                read[i] = row
        encoded = [row.encoded for row in read.values()]
        sums, counts = read_rows(network, encoded, tokenizer.pad_token_id, params, ignore_progress)
        losses = {str(i): nats / count for i, nats, count in zip(read, sums, counts, strict=True)}
        return Case(losses, sum(len(row.ids) for row in encoded), time.process_time() - begun)


def measure_corpus(
    rows: Sequence[Record], damages: Sequence[Accident], models: Sequence[BaseModel], folder: Path
) -> dict[str, dict[str, Case]]:
    """The cases of a corpus: by model, then by damage, with the sound rows first."""
    found: dict[str, dict[str, Case]] = {}
    for model in models:
        reader = Reader(model)
        cases = found[model.name] = {}
        for damage in (None, *damages):
            name = damage.name if damage else SOUND
            # The length of the window is part of the file's name: with another recipe these are other cases.
            kept = folder / f"{model.name}-{model.params.max_length}" / f"{name.replace(' ', '-')}.json"
            if not kept.exists():
                read = damage_rows(rows, damage) if damage else dict(enumerate(rows, start=1))
                write_json(kept, reader.read(read))
                say(f"{model.name}: {name}")
            cases[name] = Case(**read_json(kept))
    return found


def measure_auc(damaged: Sequence[float], sound: Sequence[float]) -> float:
    """The chance that a damaged row has a higher loss than a sound one; a tie counts half.

    >>> measure_auc([1.0, 3.0], [2.0, 2.0]), measure_auc([2.0], [2.0])
    (0.5, 0.5)
    """
    difference = np.subtract.outer(np.asarray(damaged), np.asarray(sound))
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def share_risen(damaged: Mapping[str, float], sound: Mapping[str, float]) -> float:
    """The share of damaged rows whose loss is above that of the same row when it was sound."""
    return float(np.mean([loss > sound[row] for row, loss in damaged.items() if row in sound]))


def tabulate(found: Mapping[str, Mapping[str, Case]], damages: Sequence[Accident]) -> list[str]:
    """A line for each damage with both models side by side, and what reading costs."""
    names = list(found)
    lines = [
        f"| damage | rows | {' | '.join(f'{name}: AUC | risen' for name in names)} |",
        f"|---|---|{'---|---|' * len(names)}",
    ]
    for damage in damages:
        count = min(len(found[name][damage.name].losses) for name in names)
        cells = []
        for name in names:
            sound, damaged = found[name][SOUND].losses, found[name][damage.name].losses
            if count < FEWEST_ROWS:
                cells += ["–", "–"]
            else:
                auc = measure_auc(list(damaged.values()), list(sound.values()))
                cells += [f"{auc:.2f}", f"{share_risen(damaged, sound):.0%}"]
        lines.append(f"| {damage.name} | {count} | {' | '.join(cells)} |")
    for name in names:
        cases = found[name].values()
        tokens, seconds = sum(case.tokens for case in cases), sum(case.cpu_seconds for case in cases)
        rows = sum(len(case.losses) for case in cases)
        mean = np.mean(list(found[name][SOUND].losses.values()))
        lines += [
            "",
            f"{name}: {mean:.2f} nats per response token of a sound row; {tokens / rows:.0f} tokens and "
            f"{1000 * seconds / rows:.0f} CPU milliseconds a row, {tokens / seconds:,.0f} tokens a CPU second.",
        ]
    return lines


def choose_rows(baseline: Sequence[HashedRecord], rows: int) -> list[Record]:
    """So many sound rows, which the small model was not made of."""
    unseen = [row for row in baseline if not is_trained_row(row.record)]
    return [row.record for row in choose_probe_rows(unseen, rows, seed=0, trained_from=1.0)]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_corpus_options(parser, ROWS)
    parser.add_argument("--sound", type=int, default=SOUND_ROWS, help="rows that are read, and damaged in every way")
    parser.add_argument("--max-length", type=int, help="tokens that are read of a row; default: as the model's probe")
    parser.add_argument("--only", action="append", default=[], metavar="KIND", help="only this kind; may be repeated")
    parser.add_argument("--team", type=int, default=1, help="its draw of rows")
    parser.add_argument("--work", type=Path, required=True, help="keeps models and cases between runs")
    parser.add_argument("--out", type=Path, help="where all losses are written")
    options = parser.parse_args()
    # Before torch is loaded: on a machine with other work to do, threads would wait for each other.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        damages = list_damages(options.only)
        parts = [parse_part(text) for text in options.data]
        name = options.name or name_corpus(parts)
        pool = load_pools(parts, None, None, options.rows, options.team)[layout.SFT]
        baseline = [HashedRecord(record, content_hash(record)) for record in pool.baseline]
        folder = options.work / f"{name}-{options.rows}-{options.team}"
        models = make_base_models(baseline, folder, options.work)
        if options.max_length:
            models = [replace(model, params=replace(model.params, max_length=options.max_length)) for model in models]
        found = measure_corpus(choose_rows(baseline, options.sound), damages, models, folder / f"rows-{options.sound}")
    except EntropylawError as error:
        say(f"base_models: {error}")
        return error.exit_code
    print(f"## {name}, {options.sound} rows, team {options.team}", "", *tabulate(found, damages), sep="\n")
    if options.out:
        write_json(options.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
