"""Passwords and keys within addresses, as Git and DVC remotes have them: what is printed never shows them."""

from __future__ import annotations

import re

MASK = "***"
# https://user:token@host: all before the @ goes, because some hosts take the token as the user's name. An address that
# was taken for a path has lost one of its slashes.
_USER = re.compile(r"(?<=:/)(/?)[^\s/?#'\"<>]+@")
# Signatures and keys in the query of an address: Azure (sig), AWS, Google Cloud, and plain ones.
_QUERY = re.compile(
    r"([?&](?:[\w.-]*(?:token|secret|signature|password|passwd|credential|api[_-]?key|access[_-]?key)|sig|key|auth)=)"
    r"[^\s&#'\"<>]+",
    re.IGNORECASE,
)


def hide_credentials(text: str) -> str:
    """The text with the passwords and keys of addresses in it replaced by three stars.

    >>> hide_credentials("cannot read https://ana:ghp_1a2b@example.org/data.git?ref=main&token=1a2b")
    'cannot read https://***@example.org/data.git?ref=main&token=***'
    """
    if ":/" not in text:
        return text
    return _QUERY.sub(rf"\1{MASK}", _USER.sub(rf"\1{MASK}@", text))
