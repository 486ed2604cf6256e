"""What a command says of an output that is not here: in a clone it was made already, and is fetched."""

from pathlib import Path

import pytest

from corpus.errors import EntropylawError
from entropylaw.repository import layout
from entropylaw.repository.missing_outputs import name_remedy, require_here

PIPELINE = "stages:\n  base_model:\n    cmd: entropylaw base-model data/baseline.jsonl\n    outs: [models/base]\n"
LOCK = """\
schema: '2.0'
stages:
  base_model:
    cmd: entropylaw base-model data/baseline.jsonl
    outs:
    - {path: models/base, hash: md5, md5: 1d50a860fcf525a9605066a4ca52dc4f.dir, size: 9, nfiles: 2}
"""


def test_what_was_made_already_is_fetched_and_what_was_not_is_made(in_tmp_path: Path) -> None:
    make = "`dvc repro base_model`"
    assert name_remedy(layout.BASE_MODEL, "base_model") == make
    Path("dvc.yaml").write_text(PIPELINE)
    Path("dvc.lock").write_text(LOCK)
    fetch = f"`dvc pull models/base`, or {make} to make it anew"
    assert name_remedy(layout.BASE_MODEL, "base_model") == fetch
    with pytest.raises(EntropylawError, match=r"^models/base: not here; run `dvc pull models/base`"):
        require_here(layout.BASE_MODEL, "base_model")
    assert name_remedy(layout.prepared("sft"), "prepare") == "`dvc repro prepare`"
    # A lock file in conflict says nothing.
    Path("dvc.lock").write_text(f"<<<<<<< HEAD\n{LOCK}")
    assert name_remedy(layout.BASE_MODEL, "base_model") == make
    layout.BASE_MODEL.mkdir(parents=True)
    require_here(layout.BASE_MODEL, "base_model")
