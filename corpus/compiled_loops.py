"""When loops over text are compiled: numba runs them ten times as fast, and has to be started first."""

from __future__ import annotations

# To import numba and what it compiled before takes a quarter of a second, and to compile, once on a machine, three
# seconds. A million characters take a quarter of a second without compiled loops. Characters that are both embedded and
# sketched count twice.
COMPILED_FROM_CHARACTERS = 10_000_000

_read_characters = 0


def announce_text(characters: int) -> None:
    """Say that this process is about to read so much text, where it is read in portions.

    Results are the same with and without compiled loops; only the time differs.
    """
    global _read_characters
    _read_characters += characters


def announce_share(characters: int) -> None:
    """Say that this process has a part in reading so much text; to say so for every part counts once."""
    global _read_characters
    _read_characters = max(_read_characters, characters)


def is_worth_compiling() -> bool:
    """Whether this process has read so much text, or is about to, that compiled loops pay."""
    return _read_characters >= COMPILED_FROM_CHARACTERS
