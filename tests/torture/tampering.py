"""A small repository in which a risky version waits at the gate, and what somebody may do to get it past.

Everything is written by the tool's own code, but for the probe and the calibration, which would need a model, and for
DVC, whose record of what was run is made by the same hashes in a moment.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_rows import Rows, change, draw_chats
from ruamel.yaml import YAML
from typer.testing import CliRunner

from corpus.artifacts import read_json, write_json
from corpus.files import write_rows
from corpus.prepare import to_row
from corpus.records import content_hash
from entropylaw.cli import app
from entropylaw.doctor.declared_stages import list_declared
from entropylaw.init.pipeline import render_pipeline
from entropylaw.init.stages import Stages
from entropylaw.repository.lockfile import hash_as_dvc, look_up
from monitor.calibration.benign_updates import BenignUpdate
from monitor.calibration.calibrate import Calibration
from monitor.calibration.params import CalibrationParams
from monitor.measures.probe_files import ROW_FIELDS, ProbeSummary

BASE_IDENTITY = "b" * 16
GATED = ("prepare", "compression", "consistency", "base_model", "probe", "calibration", "assess", "report", "gate")


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout.strip()


def commit(message: str) -> None:
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message", message)


def run(*words: str, code: int | None = 0) -> tuple[int, str]:
    """A command's exit code and all that it said. A traceback is a failure of its own."""
    done = CliRunner().invoke(app, list(words))
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert code is None or done.exit_code == code, f"{words}: {done.exit_code}\n{done.output}"
    return done.exit_code, " ".join(done.output.split())


def write_version(rows: Rows) -> None:
    """The data of a version, and everything that is measured on it up to the verdict."""
    numbered = (replace(row, row=number) for number, row in enumerate(rows, start=1))
    write_rows("data/sft.jsonl", [to_row(row, content_hash(row)) for row in numbered])
    measure()


def measure() -> None:
    run("prepare", "--dataset", "sft", "--out", "data/prepared/sft.jsonl", "--report", "results/sft/prepare.json")
    run("compress", "data/prepared/sft.jsonl", "--out", "results/sft/compression.json")
    rows = ("--rows", "results/sft/agreement.npy")
    run("consistency", "data/prepared/sft.jsonl", "--out", "results/sft/consistency.json", *rows)
    write_probe()
    record("prepare", "compression", "consistency", "probe", "calibration")
    judge()


def write_probe() -> None:
    """A probe by a base model that finds upper-case answers hard."""
    from corpus.prepare import read_prepared

    lines, total = [",".join(ROW_FIELDS)], []
    for record_, row_hash in read_prepared("data/prepared/sft.jsonl"):
        noise = np.random.default_rng(int(row_hash[:8], 16)).normal(0, 0.3)
        loss = 5.0 + noise + 2.0 * record_.messages[-1].text.isupper()
        lines.append(f"{record_.row},{row_hash},1,20,20,{loss:.6g}")
        total.append(float(f"{loss:.6g}"))
    Path("results/sft/probe_rows.csv").write_text("\n".join([*lines, ""]))
    Path("results/sft/probe_curve.csv").write_text("step,loss_nats\n1,5.0\n")
    count = len(total)
    write_json("results/sft/probe.json", ProbeSummary(float(np.mean(total)), count, 1, 20 * count, 1.0, BASE_IDENTITY))


def write_calibration() -> None:
    updates = tuple(
        BenignUpdate(share, kind, sign * 0.004, sign * 0.006, sign * 0.01, sign * 0.004)
        for share in (0.1, 0.2)
        for kind, sign in (("random", 1.0), ("topic", -1.0))
    )
    params = CalibrationParams(updates=2, law_runs=False)
    write_json("results/calibration.json", Calibration(200, (5.0, 5.01, 5.02), updates, (), BASE_IDENTITY, params))


def judge() -> None:
    """What `dvc repro` does from the verdict on: it stops at a closed gate."""
    run("assess")
    record("assess")
    run("report")
    record("report")
    if run("gate", code=None)[0] == 0:
        record("gate")


def record(*names: str) -> None:
    """Have dvc.lock record that these stages read and wrote what is here, as `dvc commit --force` does."""
    yaml = YAML()
    pipeline, params = yaml.load(Path("dvc.yaml")), yaml.load(Path("params.yaml"))
    path = Path("dvc.lock")
    lock: dict[str, Any] = yaml.load(path) if path.exists() else {"schema": "2.0", "stages": {}}
    for stage in list_declared(pipeline, params):
        if stage.name.partition("@")[0] not in names:
            continue
        section = pipeline["stages"][stage.name.partition("@")[0]]
        lock["stages"][stage.name] = {
            "cmd": section.get("do", section)["cmd"],
            "deps": [note(Path(dep)) for dep in stage.deps],
            "params": {"params.yaml": {key: look_up(params, key) for key in stage.params}},
            "outs": [note(Path(out)) for out in stage.outs if Path(out).exists()],
        }
    yaml.dump(lock, path)


def record_all() -> None:
    record(*GATED)


def note(path: Path) -> dict[str, Any]:
    """How dvc.lock notes a file or a folder, and one that is not here."""
    md5 = hash_as_dvc(path) if path.exists() else "0" * 32
    size = path.stat().st_size if path.is_file() else 1
    return {"path": path.as_posix(), "hash": "md5", "md5": md5, "size": size}


def track(path: str) -> None:
    """What `dvc add` writes."""
    entry = note(Path(path))
    Path(f"{path}.dvc").write_text(
        f"outs:\n- md5: {entry['md5']}\n  size: {entry['size']}\n  hash: md5\n  path: {Path(path).name}\n"
    )


def shout(text: str) -> str:
    """Damage: an answer in capital letters, three times over."""
    return f"{text.upper()} " * 3


def build(folder: Path) -> Path:
    """The repository: a remote whose main branch accepted x1, and a branch `update` with a risky version."""
    chats = draw_chats(np.random.default_rng(1), 240)
    work = folder / "work"
    (work / "data").mkdir(parents=True)
    with contextlib.chdir(work):
        git("init", "--quiet", "--initial-branch=main")
        git("init", "--quiet", "--bare", str(folder / "origin.git"))
        git("remote", "add", "origin", "../origin.git")
        for name, text in render_pipeline({"sft": "data/sft.jsonl"}, stages=Stages.monitor).items():
            Path(name).write_text(text.replace(" --held-out data/heldout.jsonl", ""))
        yaml = YAML()
        pipeline = yaml.load(Path("dvc.yaml"))
        pipeline["stages"]["prepare"]["do"]["deps"].remove("data/heldout.jsonl")
        yaml.dump(pipeline, Path("dvc.yaml"))
        for name in ("baseline", "heldout"):
            Path(f"data/{name}.jsonl").write_text("{}\n")
            track(f"data/{name}.jsonl")
        Path("models/base").mkdir(parents=True)
        Path("models/base/config.json").write_text("{}\n")
        Path("history").mkdir()
        Path("history/README.md").write_text("Accepted versions.\n")
        write_calibration()
        record("base_model")
        ignored = ("/data/*.jsonl", "/data/prepared", "/results/sft/agreement.npy", "/results/report.html",
                   "/results/plots", "/models/base", ".entropylaw/")  # fmt: skip
        Path(".gitignore").write_text("\n".join([*ignored, "!/data/*.dvc", ""]))
        write_version(chats[:200])
        track("data/sft.jsonl")
        run("accept", "--name", "x1")
        record_all()
        commit("x1")
        git("push", "--quiet", "origin", "main")
        git("fetch", "--quiet")
        git("checkout", "--quiet", "-b", "update")
        write_version([*chats[:200], *(change(row, shout) for row in chats[200:])])
        track("data/sft.jsonl")
        commit("A risky update")
    return work


_BUILT: list[Path] = []


def build_once(factory: pytest.TempPathFactory) -> Path:
    """The repository for all tests of a run; each works on a copy."""
    if not _BUILT:
        _BUILT.append(build(factory.mktemp("risky")))
    return _BUILT[0]


@contextlib.contextmanager
def edited(path: str) -> Iterator[Any]:
    """A JSON file to change."""
    document = read_json(path)
    yield document
    write_json(path, document)


def find_entry() -> Path:
    (entry,) = Path("history").glob("x1-*.json")
    return entry


os.environ.setdefault("DVC_NO_ANALYTICS", "1")
