"""The command `repair`: the rows without which a stopped version passes, and the data without them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corpus.errors import EntropylawError, NotAssessedError
from entropylaw.options import AsJson
from entropylaw.printing import say
from entropylaw.repository import layout
from entropylaw.terminal import print_result, show_stages

if TYPE_CHECKING:
    from corpus.files import Source
    from entropylaw.repair.bench import Bench
    from entropylaw.repository.setting import Setting
    from monitor.repair.search import Repair
    from reports.repair import RowChange

PAST = "parent's rows"


def repair(
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the repaired data here: a file, or a folder where several files change.", show_default=False
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Change the data itself.")] = False,
    rows: Annotated[
        Path | None, typer.Option(help="Write each changed row and the reason to this file.", show_default=False)
    ] = None,
    patch: Annotated[
        Path | None,
        typer.Option(
            help="Write the changes as a patch for a reviewer; it holds text of the data.", show_default=False
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Find the rows behind a stopped version, take them out, and judge what is left.

    A row that was edited is put back to what the parent had, where Git or DVC's cache still has it; other rows are
    dropped. Nothing is changed without --apply or --out. It exits 0 where the version passes or the repaired one does,
    1 where no set of rows was found, and 3 where the version could not be assessed.

    Example: entropylaw repair --apply && dvc repro
    """
    from entropylaw.repair.bench import Bench
    from entropylaw.repository.evaluation_sets import LEAKS
    from entropylaw.repository.results import load_verdict
    from entropylaw.repository.setting import load_setting
    from monitor.history import read_history
    from monitor.measures.measurement import COMPRESSION, CONSISTENCY, PROBE
    from monitor.repair.search import find_repair, is_stopped
    from reports.repair import render_repair
    from training.fine_tuning import quiet_libraries

    setting = load_setting()
    quiet_libraries()
    stages = {name: f"repair: {name}" for name in (PAST, COMPRESSION, CONSISTENCY, LEAKS, PROBE)}
    with tempfile.TemporaryDirectory(prefix="entropylaw-") as folder, show_stages(stages) as report:
        bench = Bench(setting, read_history(layout.HISTORY), Path(folder), report)
        judged = bench.judge()
        require_current(judged.verdict.version.data_hash, load_verdict().version.data_hash)
        if judged.verdict.status == "not_assessed":
            raise NotAssessedError(f"nothing to repair by: {judged.verdict.summary}")
        if is_stopped(judged.verdict.status):
            bench.look_for_past(judged, lambda done, total: report(PAST, done, total))
        found = find_repair(judged, bench.judge_without, bench.split, setting.calibration.params, setting.rules)
        changes = list(describe_changes(found, bench, setting))
        if found.mends:
            write_repaired(changes, bench.data_hashes, setting, out, apply, Path(folder))
    write_lists(changes, rows, patch)
    parent = found.before.parent.name if found.before.parent else "no parent"
    lines = render_repair(found, changes, parent)
    print_result(found, json, lines)
    if not json and found.mends:
        say("", *say_next(changes, out, apply))
    raise typer.Exit(1 if is_stopped(found.after.status) else 0)


def require_current(measured: str, judged: str) -> None:
    """Raise NotAssessedError unless the verdict is on the rows that were measured last."""
    if measured != judged:
        raise NotAssessedError(f"{layout.VERDICT}: is on other rows than those prepared last; run `dvc repro`")


def describe_changes(found: Repair, bench: Bench, setting: Setting) -> Iterator[RowChange]:
    """What is done to each row, with the rows as they stand in the data and in the parent's."""
    from reports.repair import RowChange

    limit = setting.prepare.max_row_bytes
    for dataset, source in setting.datasets.items():
        suspected = [row for row in found.rows if row.dataset == dataset]
        if not suspected:
            continue
        require_files(source)
        here = read_places(source, [row.row for row in suspected], limit)
        before = {row.row: was.record.row for row in suspected if (was := bench.row_before(dataset, row.row))}
        past = bench.past(dataset)
        there = read_places(past.source, list(before.values()), limit) if past is not None and before else {}
        for row in suspected:
            file, line, text = here[row.row]
            yield RowChange(row, file, line, text, there[before[row.row]][2] if row.row in before else None)


def read_places(source: Source, numbers: Sequence[int], max_row_bytes: int) -> dict[int, tuple[str, int, str]]:
    """Where rows stand, by their numbers in a dataset: the file, the line in it, and the row as one line of text."""
    from corpus.files import find_row, number_files
    from corpus.files.changing import read_stored, show_stored

    files = number_files(source)
    places = {number: find_row(files, number) for number in numbers}
    wanted: dict[str, list[int]] = {}
    for file, line in places.values():
        wanted.setdefault(file, []).append(line)
    stored = {file: read_stored(Path(file), lines, max_row_bytes) for file, lines in wanted.items()}
    return {number: (file, line, show_stored(stored[file][line])) for number, (file, line) in places.items()}


def require_files(source: Path) -> None:
    """Raise EntropylawError where a dataset is not in files of its own, which could be written anew."""
    from corpus.files import hub_name, is_hub_name

    if is_hub_name(source):
        raise EntropylawError(f"{hub_name(source)}: lies on the Hub; download it, and name the files in params.yaml")


def write_repaired(
    changes: Sequence[RowChange],
    data_hashes: Mapping[str, str],
    setting: Setting,
    out: Path | None,
    apply: bool,
    folder: Path,
) -> None:
    """Write the repaired files to ``out``, and over the data itself where that is wanted.

    ``data_hashes``: by dataset, of the rows that were judged. Raises EntropylawError, and changes nothing, where what
    was written would not be read as these rows.
    """
    from corpus.files import dataset_root, list_files
    from corpus.files.changing import write_changed

    if out is None and not apply:
        return
    changed = dict.fromkeys(change.row.dataset for change in changes)
    written: list[tuple[Path, Path]] = []
    for dataset in changed:
        source = setting.datasets[dataset]
        root = Path(dataset_root(source))
        copies = folder / "repaired" / dataset
        files = list_files(source)
        for file in files:
            target = copies / (file.relative_to(root) if len(files) > 1 or root.is_dir() else file.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            here = [change for change in changes if Path(change.file) == file]
            dropped = {change.line for change in here if change.new is None}
            replaced = {change.line: change.new.encode() for change in here if change.new is not None}
            write_changed(file, target, dropped, replaced, setting.prepare.max_row_bytes)
            written.append((target, file))
        require_same_rows(
            copies if len(files) > 1 or root.is_dir() else target, dataset, data_hashes[dataset], setting, folder
        )
    several = len(written) > 1
    for copy, file in written:
        if out is not None:
            put(copy, out / file if several else out)
        if apply:
            put(copy, file)


def require_same_rows(copy: Path, dataset: str, data_hash: str, setting: Setting, folder: Path) -> None:
    """Raise EntropylawError unless the written data is read as the rows that the new verdict is about."""
    from corpus.prepare import prepare_file
    from entropylaw.repository.datasets import KINDS

    report = prepare_file(
        copy,
        folder / "prepared.jsonl",
        setting.prepare,
        setting.held_out,
        KINDS[dataset],
        reading=setting.readings[dataset],
    )
    if report.data_hash != data_hash:
        raise EntropylawError(
            f"{dataset}: the repaired file is read as other rows than were judged; nothing is written"
        )


def put(copy: Path, target: Path) -> None:
    """Put a copy in place of a file, whole or not at all."""
    import shutil

    from corpus.artifacts import atomic_writer

    target.parent.mkdir(parents=True, exist_ok=True)
    with copy.open("rb") as source, atomic_writer(target, "wb") as handle:
        shutil.copyfileobj(source, handle)


def write_lists(changes: Sequence[RowChange], rows: Path | None, patch: Path | None) -> None:
    """Write the list of changed rows, and the patch, where they are wanted."""
    from corpus.artifacts import write_text
    from corpus.files import write_rows
    from reports.repair import list_changes, render_patch

    if rows is not None:
        write_rows(rows, list_changes(changes))
    if patch is not None:
        write_text(patch, render_patch(changes))


def say_next(changes: Sequence[RowChange], out: Path | None, apply: bool) -> list[str]:
    files = ", ".join(dict.fromkeys(change.file for change in changes))
    if apply:
        return [f"{files}: changed. `dvc repro` judges it; Git or DVC have it as it was."]
    if out is not None:
        return [f"{out}: written. {files} is as it was."]
    return [f"Nothing was changed. `entropylaw repair --apply` changes {files}; --out FILE writes a copy."]
