"""The command `release`: what binds a model to its data, selection, verdict and score."""

from __future__ import annotations

import typer

from entropylaw import layout

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def release() -> None:
    """Bind model, data, selection, verdict and Z into results/release.json and release.md.

    Example: entropylaw release
    """
    from corpus.artifacts import hash_folder, read_json, write_json, write_text
    from corpus.errors import EntropylawError
    from entropylaw.evidence import load_verdict, read_datasets
    from monitor.history import read_history
    from reports.release import render_release

    approval = read_json(layout.APPROVAL, "dvc repro gate")
    verdict = load_verdict()
    evaluation = read_json(layout.EVALUATION, "dvc repro evaluate")
    data_hash = verdict.version.data_hash
    if not approval["data_hash"] == evaluation["data_hash"] == data_hash:
        raise EntropylawError(
            f"{layout.APPROVAL}, {layout.EVALUATION} and {layout.VERDICT} are of different data; run `dvc repro`"
        )
    datasets = {}
    for dataset in read_datasets():
        selection = read_json(layout.result(dataset, "selection.json"), "dvc repro select")
        datasets[dataset] = {
            "data_hash": read_json(layout.result(dataset, "prepare.json"))["data_hash"],
            "rows": selection["pool_rows"],
            "selected_rows": selection["selected_rows"],
            "method": selection["method"],
        }
    folders = [folder for folder in map(layout.trained_model, datasets) if folder.is_dir()]
    earlier = [entry for entry in read_history(layout.HISTORY) if entry.data_hash != data_hash and entry.scores]
    document = {
        "schema_version": 1,
        "status": verdict.status,
        "version": verdict.version,
        "verdict_summary": verdict.summary,
        "data_hash": data_hash,
        "config_fingerprint": verdict.config_fingerprint,
        "datasets": datasets,
        "models": {folder.name: {"path": folder.as_posix(), "hash": hash_folder(folder)} for folder in folders},
        "scores": evaluation["z"],
        "previous": {"name": earlier[-1].name, "scores": earlier[-1].scores} if earlier else None,
        "waivers": approval["waivers"],
        "tool_version": verdict.tool_version,
    }
    write_json(layout.RELEASE_JSON, document)
    write_text(layout.RELEASE_MD, render_release(read_json(layout.RELEASE_JSON)))
    typer.echo(f"{layout.RELEASE_MD}: release of {verdict.version.name}")
