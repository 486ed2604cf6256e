"""What a verdict costs as the data grows: seconds and memory of every stage from a data commit to its verdict.

    python -m benchmarks.scale --rows 10000                          # 10 MB: some minutes, most of them for calibration
    python -m benchmarks.scale --rows 10000 100000 1000000 --out scale.json
    python -m benchmarks.scale --rows 17300 --shape long --changed 0.1
    python -m benchmarks.scale --likeness                            # how like real text the generated text is

For each number of rows a repository is made in the folder ``--work``, its data cut anew from real conversations
(`recut_rows.py`), with a base model and a calibration, which are timed apart. Its first version is measured and
accepted; then, starting from there, a version for each ``--changed``, with that share of the rows exchanged. Every
stage is a process of its own. Its memory is the most that it and its workers held; seconds are on the clock and of CPU.

What has been measured is kept in ``--work`` and not measured again, unless ``--again``; base model, calibration and
first data are made anew only where they are not there. With several sizes the powers of the rows that the seconds grow
as are fitted, and benchmarks/scale.png is drawn.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

from benchmarks.corpora import Part, name_corpus, read_part
from benchmarks.measured_versions import Size
from benchmarks.recut_rows import SHAPES, RecutRows, Version, list_parts, load_real_texts
from benchmarks.scale_repository import QUICK, ScaleRepository
from benchmarks.scale_tables import (
    describe,
    draw_stages,
    list_versions,
    tabulate_against_first,
    tabulate_once,
    tabulate_plan,
    tabulate_stages,
)
from benchmarks.stages import REPOSITORY
from benchmarks.timed_commands import time_command
from corpus.artifacts import read_json, write_json
from corpus.errors import EntropylawError
from corpus.files import write_rows
from corpus.records import Conversation

PLOT = Path(__file__).with_suffix(".png")
# A pull request that exchanges a tenth of the rows, and one that mends a few.
CHANGED = 0.1, 0.01


def open_repository(options: argparse.Namespace, parts: Sequence[Part], rows: int, work: Path) -> ScaleRepository:
    """The repository of so many rows, in a folder that is named by all that its content depends on."""
    texts = load_real_texts(parts)
    corpus = "-".join(sorted(part.name for part in parts))
    name = f"{options.shape}-{rows}-{corpus}-seed{options.seed}{'-quick' if options.quick else ''}"
    recut = RecutRows(texts, SHAPES[options.shape], options.seed)
    return ScaleRepository(work / name, recut, QUICK if options.quick else {})


def measure_size(repository: ScaleRepository, rows: int, changed: Sequence[float], again: bool) -> Size:
    """Everything with so many rows: what is made once, the first version, and one for each share that is changed."""
    print(f"{rows:,} rows", file=sys.stderr, flush=True)
    first = Version(rows)
    once = repository.make(first)
    measured = repository.measure_first(first, again)
    return Size(
        tuple(once),
        measured,
        tuple(repository.measure_changed(Version(rows, share), again) for share in changed),
    )


def print_tables(sizes: Sequence[Size], shape: str, corpus: str) -> None:
    print(f"Rows cut anew from {corpus}, {shape}: {SHAPES[shape]:,} bytes each on average\n")
    for name, measured in list_versions(sizes).items():
        print(f"From the commit of {name} to its verdict\n\n{tabulate_stages(measured)}\n")
    print(f"Against the first version\n\n{tabulate_against_first(sizes)}\n")
    print(f"Made once\n\n{tabulate_once(sizes)}\n")
    if len(sizes) > 1:
        for name, measured in list_versions(sizes).items():
            print(f"The plan, {name}\n\n{tabulate_plan(measured)}\n")


def tabulate_likeness(parts: Sequence[Part], seed: int, work: Path) -> str:
    """A table of what `compress` and `consistency` say of the real rows, and of as much text cut anew from them."""
    real = work / "real.jsonl"
    rows = [
        {"messages": [{"role": m.role, "content": m.content} for m in record.messages], "source": part.name}
        for part in parts
        for record in read_part(part)
        if isinstance(record, Conversation)
    ]
    # In a file as it is used, sources are mixed.
    Random(seed).shuffle(rows)
    write_rows(real, rows)
    files, texts = {"real rows": real}, load_real_texts(parts)
    for shape, row_bytes in SHAPES.items():
        files[f"cut anew, {shape}"] = work / f"{shape}.jsonl"
        version = Version(real.stat().st_size // row_bytes)
        RecutRows(texts, row_bytes, seed).write(version, files[f"cut anew, {shape}"])
    lines = ["| | rows | MB | R | long R | C | exact duplicates | near-duplicates |", "|---" * 8 + "|"]
    for name, file in files.items():
        for command in ("compress", "consistency"):
            ours = shlex.join([sys.executable, "-m", "entropylaw", command, file.name, "--out", f"{command}.json"])
            time_command(command, ours, work, environment={"PYTHONPATH": str(REPOSITORY)})
        ratios, found = (read_json(work / f"{command}.json") for command in ("compress", "consistency"))
        total = found["rows"]
        numbers = [f"{total:,}", f"{file.stat().st_size / 1e6:.1f}"]
        numbers += [f"{value:.3f}" for value in (ratios["r"], ratios["r_long"], found["agreement"])]
        numbers += [f"{found[key] / total:.2%}" for key in ("exact_duplicates", "near_duplicates")]
        lines.append(f"| {' | '.join([name, *numbers])} |")
    return "\n".join(lines)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[10_000], help="rows of the first version; several sizes"
    )
    parser.add_argument("--shape", choices=list(SHAPES), default="short", help="rows of 1 KB, or of 6 KB")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="JSON files of conversations; by default chit-chat")
    parser.add_argument("--changed", type=float, nargs="+", default=list(CHANGED), help="share of the rows exchanged")
    parser.add_argument("--seed", type=int, default=0, help="of the generated text")
    parser.add_argument("--work", type=Path, help="where everything is made and kept; by default nowhere")
    parser.add_argument("--quick", action="store_true", help="a base model and a calibration of few steps and runs")
    parser.add_argument("--again", action="store_true", help="measure anew what has been measured")
    parser.add_argument("--out", type=Path, help="where everything that was measured goes, as JSON")
    parser.add_argument("--plot", type=Path, default=PLOT, help="where the plot goes, with several sizes")
    parser.add_argument("--likeness", action="store_true", help="only compare the generated text with the real one")
    return parser


def main() -> int:
    options = make_parser().parse_args()
    try:
        with tempfile.TemporaryDirectory() as temporary:
            work = (options.work or Path(temporary)).resolve()
            work.mkdir(parents=True, exist_ok=True)
            run(options, work)
    except EntropylawError as error:
        print(f"scale: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def run(options: argparse.Namespace, work: Path) -> None:
    """Measure what was asked for, and print, draw and write it."""
    parts = list_parts(options.data)
    if options.likeness:
        print(tabulate_likeness(parts, options.seed, work))
        return
    sizes = []
    for rows in sorted(set(options.rows)):
        repository = open_repository(options, parts, rows, work)
        sizes.append(measure_size(repository, rows, options.changed, options.again))
    print_tables(sizes, options.shape, name_corpus(parts))
    if len(sizes) > 1:
        # Of the versions, the first that was asked for: it is what teams wait for.
        draw_stages([size.versions[0] for size in sizes], options.plot)
    if options.out:
        write_json(options.out, describe(sizes))


if __name__ == "__main__":
    sys.exit(main())
