"""Recipes: what is to be set differently in params.yaml for a model of another size."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

from corpus.errors import ParamsError

RECIPES = ("tiny-cpu", "smollm2-135m", "qwen-small", "mistral-7b", "llama-3-8b")

# The end of a comment in params.yaml: where the value comes from.
_SOURCE = re.compile(r"\([^()]+\)$")


def apply_recipe(params: str, recipe: str, where: str) -> str:
    """The text of params.yaml with the values of a recipe, and with the recipe's introduction above its own.

    Comments of params.yaml stay. The comment beside a value in the recipe says where it comes from, and takes the place
    of that part of the comment in params.yaml. Raises ParamsError naming ``where`` and a key that params.yaml does not
    have.

    >>> print(apply_recipe("sft:\\n  epochs: 2.0 # passes (ours)\\n", "sft:\\n  epochs: 4.0 # paper\\n", "x.yaml"))
    sft:
      epochs: 4.0 # passes (paper)
    <BLANKLINE>
    """
    yaml = new_yaml()
    changes = yaml.load(recipe)
    introduction = re.match(r"(?:#.*\n)*", recipe)
    text = params
    if changes is not None:
        document = yaml.load(params)
        _set_values(document, changes, f"{where}: ")
        buffer = io.StringIO()
        yaml.dump(document, buffer)
        text = buffer.getvalue()
    return f"{introduction[0]}#\n{text}" if introduction and introduction[0] else text


def new_yaml() -> Any:
    """A YAML reader and writer that keeps comments and the layout of our files, `null` in full."""
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import RoundTripRepresenter

    class Representer(RoundTripRepresenter):
        """A class of its own, because the library registers a way to write a type with the class, for all users."""

    Representer.add_representer(type(None), lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml = YAML()
    yaml.Representer = Representer
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _set_values(section: Any, changes: Mapping[str, Any], where: str) -> None:
    for key, value in changes.items():
        if key not in section:
            raise ParamsError(f"{where}{key}: unknown key; known are {', '.join(section)}")
        if isinstance(section[key], Mapping) != isinstance(value, Mapping):
            expected = "a section of keys" if isinstance(section[key], Mapping) else "a value"
            raise ParamsError(f"{where}{key}: expected {expected}, found {value!r}")
        if isinstance(value, Mapping):
            _set_values(section[key], value, f"{where}{key}.")
        else:
            set_value(section, key, value, _comment_beside(changes, key))


def _comment_beside(section: Any, key: str) -> str:
    token = section.ca.items.get(key, [None] * 3)[2]
    return token.value.partition("\n")[0].lstrip("# ") if token else ""


def set_value(section: Any, key: str, value: Any, source: str = "") -> None:
    """Set a key of a section read by ``new_yaml``, and ``source`` in place of the last (…) of the comment beside it."""
    section[key] = value
    token = section.ca.items.get(key, [None] * 3)[2]
    if token is None:
        return
    token.column = 0  # one blank after the value, however long that is
    if source:
        # The YAML library counts blank lines and comments below the key as part of the comment beside it.
        beside, newline, below = token.value.partition("\n")
        token.value = _SOURCE.sub(lambda _: f"({source})", beside) + newline + below
