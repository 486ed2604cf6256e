"""params.yaml: one section per frozen dataclass, field by field; anything else is an error that names the key."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from corpus.errors import ParamsError
from corpus.merge_conflicts import describe_conflict
from corpus.shapes import ShapeError, check_values, list_added, show_value

PARAMS_FILE = "params.yaml"
# The sections that `entropylaw init` leaves out for a team that takes only a part of the pipeline, and from which
# value of its option --stages on it writes them: a message about a missing one says so.
STAGES_THAT_READ = {
    **dict.fromkeys(("row_scores", "selection"), "select"),
    **dict.fromkeys(("sft", "kto", "launch", "evaluation", "release", "judge"), "all"),
}

# Characters of what the YAML reader says of a file: it may quote a part of it, however long.
MAX_CAUSE = 200
# The texts whose content is kept: a few more than one command reads again and again, which are dvc.lock and the like.
KEPT_TEXTS = 8

T = TypeVar("T")


def parse_section(cls: type[T], mapping: object, where: str) -> T:
    """Build a parameter dataclass from one section.

    Raises ParamsError naming ``where`` and the key when a key is unknown, missing or of another type.

    >>> @dataclasses.dataclass(frozen=True)
    ... class CodecParams:
    ...     level: int = 9
    >>> parse_section(CodecParams, {"level": 3}, "params.yaml: compression")
    CodecParams(level=3)
    >>> parse_section(CodecParams, {"level": "high"}, "params.yaml: compression")
    Traceback (most recent call last):
    corpus.errors.ParamsError: params.yaml: compression.level: expected int, found 'high'

    A missing key, as in a file of an earlier release, is named with the line to add: the dataclass's default.

    >>> parse_section(CodecParams, {}, "params.yaml: compression")
    Traceback (most recent call last):
    corpus.errors.ParamsError: params.yaml: compression.level: missing key; add `level: 9` to the section compression

    A key that has got another name is refused with the new one where the dataclass lists it in ``RENAMED``. One that is
    no longer used is refused with the reason in ``RETIRED``. One in ``ADDED`` may be missing, and then has its default.

    >>> @dataclasses.dataclass(frozen=True)
    ... class WindowParams:
    ...     RENAMED: typing.ClassVar[dict[str, str]] = {"window": "window_bytes"}
    ...     window_bytes: int = 32768
    >>> parse_section(WindowParams, {"window": 32768}, "params.yaml: zip")
    Traceback (most recent call last):
    corpus.errors.ParamsError: params.yaml: zip.window: is now called window_bytes; rename it
    """
    if not isinstance(mapping, Mapping):
        raise ParamsError(f"{where}: expected a section of keys, found {show_value(mapping)}")
    hints = typing.get_type_hints(cls)
    added = list_added(cls)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    renamed: dict[str, str] = getattr(cls, "RENAMED", {})
    retired: dict[str, str] = getattr(cls, "RETIRED", {})
    for key in mapping:
        shown = f"{where}.{str(key)[:MAX_CAUSE]}"
        if key in renamed:
            raise ParamsError(f"{shown}: is now called {renamed[key]}; rename it")
        if key in retired:
            raise ParamsError(f"{shown}: is no longer used, because {retired[key]}; delete it")
        if key not in names:
            raise ParamsError(f"{shown}: unknown key; known are {', '.join(names)}")
    values = {}
    for name in names:
        if name not in mapping and name in added:
            continue
        if name not in mapping:
            raise ParamsError(f"{where}.{name}: missing key{_advise_default(cls, name, where)}")
        values[name] = _convert(hints[name], mapping[name], f"{where}.{name}")
    try:
        return cls(**values)
    except ValueError as error:  # a dataclass's own range check, raised by its __post_init__
        raise ParamsError(f"{where}: {error}") from None


def _advise_default(cls: type, name: str, where: str) -> str:
    """The line to add for a missing key; nothing where it has no default."""
    (field,) = [field for field in dataclasses.fields(cls) if field.name == name]
    if field.default is not dataclasses.MISSING:
        default = field.default
    elif field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    else:
        return ""
    plain = dataclasses.asdict(default) if dataclasses.is_dataclass(default) else default  # type: ignore[arg-type]
    # What JSON says is YAML too.
    return f"; add `{name}: {json.dumps(plain)}` to the section {where.rpartition(': ')[2]}"


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in typing.get_args(hint):
            return None
        (hint,) = [option for option in typing.get_args(hint) if option is not type(None)]
        return _convert(hint, value, where)
    if origin is typing.Literal:
        options = typing.get_args(hint)
        if (type(value), value) not in [(type(option), option) for option in options]:
            raise ParamsError(f"{where}: expected one of {', '.join(map(str, options))}, found {show_value(value)}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ParamsError(f"{where}: expected a list, found {show_value(value)}")
        return tuple(_convert(typing.get_args(hint)[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise ParamsError(f"{where}: expected a section of keys, found {show_value(value)}")
        of = typing.get_args(hint)[1]
        return {str(key): _convert(of, item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return parse_section(hint, value, where)  # type: ignore[arg-type]
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        # A threshold that is not a number would let everything pass: no comparison with it is ever true.
        if not -sys.float_info.max <= value <= sys.float_info.max:
            raise ParamsError(f"{where}: expected a finite number, found {show_value(value)}")
        return float(value)
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise ParamsError(f"{where}: expected {hint.__name__}, found {show_value(value)}")
    return value


def read_params(path: str | Path = PARAMS_FILE) -> dict[str, Any]:
    """The whole params.yaml as plain sections. Raises ParamsError when it is missing or is not a YAML mapping."""
    text = read_text(path)
    if text is None:
        raise ParamsError(f"{path}: no such file; run `entropylaw init` in the root of your data repository")
    return parse_yaml(text, path)


def read_text(path: str | Path) -> str | None:
    """The text of a file that a person writes; None where there is none. Raises ParamsError when it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:  # not UTF-8
        raise ParamsError(f"{path}: not YAML: {error}") from None


def parse_yaml(text: str, where: object) -> dict[str, Any]:
    """The sections of a YAML text from the file ``where``. Raises ParamsError when it is not a YAML mapping.

    >>> parse_yaml("selection: {method: zip}", "params.yaml")
    {'selection': {'method': 'zip'}}
    """
    sections = load_yaml(text, where)
    if not isinstance(sections, dict):
        raise ParamsError(f"{where}: expected sections of keys at the top level")
    return sections


def load_yaml(text: str, where: object, kind: Literal["safe", "base", "rt"] = "safe") -> Any:
    """The content of a YAML text from the file ``where``, None of an empty one. Raises ParamsError when it is not YAML.

    ``kind``: "base" reads every value as text. "rt" keeps comments, and numbers as they were written; it is for texts
    that were read already, and takes what they hold as it is.
    """
    try:
        # A copy, so that nobody changes what the next one gets.
        return _load_as_written(text) if kind == "rt" else copy.deepcopy(_load_checked(text, kind))
    except ShapeError as error:
        raise ParamsError(f"{where}: {error}") from None
    except Exception as error:  # YAMLError, and whatever else ruamel.yaml meets in a value such as a day 2026-02-30
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        cause = " ".join(str(getattr(error, "problem", None) or error).split()) or type(error).__name__
        cause = cause if len(cause) <= MAX_CAUSE else f"{cause[:MAX_CAUSE]}…"
        raise ParamsError(describe_conflict(where, text) or f"{where}{line}: not YAML: {cause}") from None


def _load_as_written(text: str) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="rt", pure=True).load(text)


@functools.lru_cache(KEPT_TEXTS)  # one command asks for the same file several times, and each takes tens of ms
def _load_checked(text: str, kind: Literal["safe", "base"]) -> Any:
    from ruamel.yaml import YAML

    document = YAML(typ=kind, pure=True).load(text)
    # Without aliases, each value takes at least one character.
    check_values(document, most=10 * len(text) + 100, finite=False)
    return document


def read_section(cls: type[T], name: str, path: str | Path = PARAMS_FILE) -> T:
    """One section of params.yaml as its dataclass; the dataclass's own defaults where there is no params.yaml.

    The defaults serve commands run on a plain file outside a repository; inside one, every key must be there, and every
    section but those whose dataclass is ``OPTIONAL``.
    """
    if not Path(path).exists():
        return cls()
    sections = read_params(path)
    if name not in sections and getattr(cls, "OPTIONAL", False):
        return cls()
    if name not in sections:
        hint = ""
        if name in STAGES_THAT_READ:
            hint = f"; `entropylaw init --stages {STAGES_THAT_READ[name]}` writes it: docs/own-trainer.md#sections"
        raise ParamsError(f"{path}: missing section {name!r}{hint}")
    return parse_section(cls, sections[name], f"{path}: {name}")
