"""The command `select`: which rows to train on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from corpus.errors import EntropylawError

if TYPE_CHECKING:
    from corpus.files import Row

app = typer.Typer(help="Which rows to train on, by ZIP or a baseline.", no_args_is_help=True, rich_markup_mode=None)

Pool = Annotated[Path, typer.Argument(help="A data file in any accepted format.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Where the selected rows go, in the pool's own format.", show_default=False)]
Report = Annotated[Path | None, typer.Option(help="Write counts and R as JSON.", show_default=False)]
Rows = Annotated[int | None, typer.Option(help="Select this many rows.", show_default=False)]
Tokens = Annotated[int | None, typer.Option(help="Select rows of at most this many tokens.", show_default=False)]
Tokenizer = Annotated[
    Path | None, typer.Option(help="Folder with the tokenizer.json that counts tokens.", show_default=False)
]
Seed = Annotated[int | None, typer.Option(help="For random choices.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]


class Window(StrEnum):
    codec = "codec"
    whole = "global"


class CodecChoice(StrEnum):
    zlib = "zlib"
    zstd = "zstd"


class Compat(StrEnum):
    algorithm = "algorithm"
    reference = "reference"


@app.command("zip")
def select_zip_rows(
    pool: Pool,
    out: Out,
    report: Report = None,
    rows: Rows = None,
    tokens: Tokens = None,
    tokenizer: Tokenizer = None,
    k1: Annotated[int | None, typer.Option(help="Rows measured again in each round.", show_default=False)] = None,
    k2: Annotated[int | None, typer.Option(help="Rows kept of these.", show_default=False)] = None,
    k3: Annotated[int | None, typer.Option(help="Rows taken of these.", show_default=False)] = None,
    window: Annotated[
        Window | None, typer.Option(help="How far back redundancy is seen; global: over all selected.")
    ] = None,
    codec: Annotated[CodecChoice | None, typer.Option(help="By default the window's own.")] = None,
    level: Annotated[int | None, typer.Option(help="The codec's level.", show_default=False)] = None,
    compat: Annotated[
        Compat | None, typer.Option(help="The paper's Algorithm 1, or its authors' program on ShareGPT rows.")
    ] = None,
    workers: Annotated[str, typer.Option(help="Processes, or auto: one for each core.")] = "auto",
    json: AsJson = False,
) -> None:
    """ZIP, the paper's Algorithm 1: rows that keep the compression ratio of the whole selection low.

    Example: entropylaw select zip pool.jsonl --out chosen.jsonl --rows 10000
    """
    from selection.engines import count_cores

    if workers != "auto" and not (workers.isdecimal() and int(workers) > 0):
        raise EntropylawError(f"--workers {workers}: expected auto or a number of processes")
    processes = count_cores() if workers == "auto" else int(workers)
    choices = {"window": window, "codec": codec, "compat": compat}
    changes = {
        **{"rows": rows, "tokens": tokens, "k1": k1, "k2": k2, "k3": k3, "level": level},
        **{name: choice.value for name, choice in choices.items() if choice},
    }
    _select("zip", pool, out, report, tokenizer, changes, processes, json)


@app.command("random")
def select_random_rows(
    pool: Pool,
    out: Out,
    report: Report = None,
    rows: Rows = None,
    tokens: Tokens = None,
    tokenizer: Tokenizer = None,
    seed: Seed = None,
    json: AsJson = False,
) -> None:
    """Rows in uniformly random order.

    Example: entropylaw select random pool.jsonl --out chosen.jsonl --rows 10000 --seed 1
    """
    _select("random", pool, out, report, tokenizer, {"rows": rows, "tokens": tokens, "seed": seed}, 1, json)


def _select(
    method: Literal["zip", "random"],
    pool: Path,
    out: Path,
    report: Path | None,
    tokenizer: Path | None,
    changes: dict[str, Any],
    workers: int,
    json: bool,
) -> None:
    from corpus.artifacts import write_json
    from corpus.files import copy_rows, read_rows
    from corpus.formats import parse_rows
    from corpus.params import read_section
    from corpus.prepare import PrepareParams
    from corpus.records import canonical_text
    from entropylaw.terminal import print_result, show_progress
    from selection.methods import SelectionParams, describe_selection, select_rows
    from selection.redundancy import reference_text

    prepare = read_section(PrepareParams, "prepare")
    params = read_section(SelectionParams, "selection")
    given = {key: value for key, value in changes.items() if value is not None}
    if "rows" in given and "tokens" in given:
        raise EntropylawError("give --rows or --tokens, not both")
    if "rows" in given or "tokens" in given:  # a budget of the command line replaces the one of params.yaml
        params = replace(params, rows=None, tokens=None)
    try:
        params = replace(params, method=method, **given)
    except ValueError as error:
        raise EntropylawError(f"select {method}: {error}") from None

    numbers, texts, sources, reference_texts = [], [], [], []
    as_reference = method == "zip" and params.compat == "reference"

    def remember_rows() -> Iterator[tuple[int, Row]]:
        # The file's own row numbers: the `row` field of a prepared row counts the file that it was made from.
        for number, row in read_rows(pool, prepare.max_row_bytes):
            numbers.append(number)
            if as_reference:  # the authors' program compresses the rows as they stand in the file
                reference_texts.append(reference_text(row))
            yield number, row

    for _, record in parse_rows(remember_rows(), pool, prepare.format):
        texts.append(canonical_text(record).encode())
        sources.append(record.source)
    token_counts = _count_tokens(texts, tokenizer) if tokenizer or params.tokens is not None else None
    with show_progress(f"select {method}") as progress:
        chosen = select_rows(
            reference_texts or texts,
            params,
            token_counts,
            workers,
            lambda stage, done, total: progress(done, total) if stage == "select" else None,
        )
    copy_rows(pool, out, [numbers[position] for position in chosen], prepare.max_row_bytes)
    result = describe_selection(texts, sources, chosen, params, token_counts)
    if report:
        write_json(report, result)
    print_result(
        result,
        json,
        [f"{out}: {result.selected_rows} of {result.pool_rows} rows; R {result.pool_r:.3f} to {result.selected_r:.3f}, "
         f"over the long window {result.pool_r_long:.3f} to {result.selected_r_long:.3f}"],
    )  # fmt: skip


def _count_tokens(texts: Sequence[bytes], folder: Path | None) -> list[int]:
    """Tokens of each text by the tokenizer in ``folder``, without loading a model."""
    from entropylaw.layout import BASE_MODEL

    folder = folder or BASE_MODEL
    file = folder / "tokenizer.json"
    if not file.exists():
        raise EntropylawError(
            f"{file}: no such file; a budget in tokens needs --tokenizer, a folder with tokenizer.json"
        )
    from tokenizers import Tokenizer

    encoded = Tokenizer.from_file(str(file)).encode_batch_fast([text.decode() for text in texts])
    return [len(item.ids) for item in encoded]
