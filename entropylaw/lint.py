"""The command lint: what is wrong with a data file, without a baseline, a repository or a model."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from entropylaw.printing import print_document

if TYPE_CHECKING:
    from monitor.lint.check import LintSettings, TokenCounter


class LintFormat(StrEnum):
    text = "text"
    markdown = "markdown"
    json = "json"
    junit = "junit"
    github = "github"
    gitlab = "gitlab"
    sarif = "sarif"


def lint(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Data in any accepted format: files, folders, patterns, hf:// names."),
    ],
    format: Annotated[LintFormat, typer.Option(help="How to show the findings.")] = LintFormat.text,
    json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    select: Annotated[
        list[str] | None,
        typer.Option(metavar="CODES", help="Only these codes: E301, or W for all warnings.", show_default=False),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="CODES", help="Not these codes.", show_default=False)
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on a warning too.")] = False,
    show_text: Annotated[
        bool, typer.Option("--show-text", help="Show what is wrong in the rows' texts; secrets stay masked.")
    ] = False,
    tokenizer: Annotated[
        str | None,
        typer.Option(metavar="FOLDER|HUB_ID", help="Look for its special tokens and count tokens.", show_default=False),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(min=1, help="Count rows of more tokens, which training would cut.", show_default=False),
    ] = None,
) -> None:
    """Check data files on their own: duplicates, empty or cut answers, template tokens, broken text, secrets and more.

    Several files are checked together, so a row that stands in two of them is found. Needs no repository; in one, rows
    are read as params.yaml says. Exits 1 where errors are found, 3 where a file cannot be read. Every code is explained
    in docs/reference/lint.md.

    Example: entropylaw lint data/sft.jsonl --ignore W402,N --format github
    """
    from corpus.errors import DataError, EntropylawError, NotAssessedError
    from corpus.files import is_hub_name, list_files
    from corpus.params import PARAMS_FILE, read_section
    from corpus.prepare import PrepareParams
    from entropylaw.repository.datasets import reading_for
    from entropylaw.repository.pipeline_folder import pipeline_or_here
    from entropylaw.terminal import show_progress
    from monitor.lint.run import lint_files
    from reports.lint.render import render_lint
    from reports.lint.wording import is_blocked

    if max_length is not None and tokenizer is None:
        raise EntropylawError("--max-length counts tokens; name the tokenizer with --tokenizer")
    folder = pipeline_or_here()
    reading = read_section(PrepareParams, "prepare", folder / PARAMS_FILE)
    settings = _read_settings(select, ignore, tokenizer, max_length)
    try:
        with show_progress("lint") as progress:
            readings = {
                path: reading_for(Path(name), folder=folder)
                for name in files
                for path in ([Path(name)] if is_hub_name(name) else list_files(name))
            }
            report = lint_files(list(readings), settings, reading, show_text, progress, readings)
    except DataError as error:
        raise NotAssessedError(str(error)) from None
    print_document(render_lint(report, "json" if json else format.value, strict))
    raise typer.Exit(1 if is_blocked(report, strict) else 0)


def _read_settings(
    select: list[str] | None, ignore: list[str] | None, tokenizer: str | None, max_length: int | None
) -> LintSettings:
    from corpus.errors import EntropylawError
    from monitor.lint.check import LintSettings
    from monitor.lint.registry import choose_codes

    try:
        codes = choose_codes(*(_split(names) for names in (select, ignore)))
    except ValueError as error:
        raise EntropylawError(str(error)) from None
    return LintSettings(codes, _load_counter(tokenizer) if tokenizer else None, max_length)


def _split(names: list[str] | None) -> list[str]:
    return [part.strip() for name in names or () for part in name.split(",") if part.strip()]


def _load_counter(name: str) -> TokenCounter:
    from entropylaw.select.token_counts import load_tokenizer
    from monitor.lint.check import TokenCounter

    tokenizer = load_tokenizer(name)
    # A tokenizer's own limit of length would make every long row look short enough.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    special = tuple(token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special)

    def count(texts: list[str]) -> list[int]:
        return [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    return TokenCounter(lambda texts: count(list(texts)), special)
