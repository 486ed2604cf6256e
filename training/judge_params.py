"""Which judge is asked, how fast, and with which key: the section ``judge`` of params.yaml."""

from __future__ import annotations

import os
import re
import string
from dataclasses import dataclass
from urllib.parse import urlsplit

from corpus.errors import EntropylawError

# The characters of a key that can be sent as a header. Quotes are not among them: they come from files of settings.
_KEY_CHARACTERS = frozenset(string.ascii_letters + string.digits + string.punctuation) - frozenset("\"'\\")
# Capitals only, although systems allow other names: a key that is put here by mistake is then refused, and not shown.
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
# Credentials of a cloud, a forge or a CI system. Else whoever changes params.yaml could have them sent to any address.
_OF_OTHERS = re.compile(
    "(ACTIONS|AWS|AZURE_(CLIENT|STORAGE)|CI|DVC|GH|GITHUB|GITLAB|GOOGLE_APPLICATION|NPM|PYPI|SSH|TWINE)_.*"
)
LONGEST_TIMEOUT_SECONDS = 3600.0
HIGHEST_TEMPERATURE = 2.0  # in the OpenAI chat format


@dataclass(frozen=True)
class JudgeParams:
    """How to reach a judge at an OpenAI-compatible endpoint, hosted or local; without ``endpoint`` there is no judge.

    ``endpoint``: the address before ``/chat/completions``. ``api_key_variable``: the environment variable that holds
    the key; a local server needs none. ``concurrent``: requests under way at once. ``attempts``: the first try counts.
    ``timeout_seconds``: for each attempt. ``max_tokens``: the longest answer. Where ``max_tokens`` or ``temperature``
    is None, the endpoint uses its own value; some models accept no other.

    Raises ValueError for an address or a number that cannot be used.
    """

    endpoint: str | None = None
    model: str | None = None
    api_key_variable: str = "OPENAI_API_KEY"
    requests_per_minute: int = 60
    concurrent: int = 4
    attempts: int = 5
    timeout_seconds: float = 60.0
    temperature: float | None = 0.0
    max_tokens: int | None = 1024

    def __post_init__(self) -> None:
        counts = (self.requests_per_minute, self.concurrent, self.attempts, self.max_tokens)
        if any(count is not None and count < 1 for count in counts):
            raise ValueError("requests_per_minute, concurrent, attempts and max_tokens must be positive")
        if not 0 < self.timeout_seconds <= LONGEST_TIMEOUT_SECONDS:
            raise ValueError(f"timeout_seconds must lie above 0 and be at most {LONGEST_TIMEOUT_SECONDS:g}")
        if self.temperature is not None and not 0 <= self.temperature <= HIGHEST_TEMPERATURE:
            raise ValueError(f"temperature must lie between 0 and {HIGHEST_TEMPERATURE:g}, or be null")
        if not _VARIABLE.fullmatch(self.api_key_variable):
            raise ValueError("api_key_variable must name an environment variable, in capitals, not hold the key itself")
        if _OF_OTHERS.fullmatch(self.api_key_variable):
            raise ValueError(
                f"api_key_variable: {self.api_key_variable} holds credentials that are not a judge's; put the key into "
                "a variable of its own, such as JUDGE_API_KEY"
            )
        if (self.endpoint is None) != (self.model is None):
            raise ValueError("endpoint and model go together: set both or none")
        if self.endpoint is not None:
            _check_address(self.endpoint)

    @property
    def url(self) -> str:
        """The address that requests are sent to. Raises EntropylawError when no judge is configured.

        >>> JudgeParams("http://localhost:8000/v1/", "llama").url
        'http://localhost:8000/v1/chat/completions'
        """
        if self.endpoint is None:
            raise EntropylawError("no judge is configured: set judge.endpoint and judge.model in params.yaml")
        return f"{self.endpoint.rstrip('/')}/chat/completions"


def _check_address(endpoint: str) -> None:
    # No message quotes the address, because somebody may have put the key into it.
    try:
        parts = urlsplit(endpoint)
        # Labels of a host name that are empty or too long fail here; otherwise they would in the socket library.
        host, _ = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:
        host = b""
    # urlsplit silently drops tabs and line breaks.
    is_plain = endpoint.isascii() and endpoint.isprintable() and " " not in endpoint
    if not (host and is_plain and parts.scheme in ("http", "https")):
        raise ValueError("endpoint is not an address such as https://api.openai.com/v1")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("endpoint must hold no user, password, query or fragment; the key comes from api_key_variable")
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise ValueError("endpoint must end before /chat/completions, which is added to it")


def read_api_key(params: JudgeParams) -> str | None:
    """The key from the environment, None when the variable is unset or empty.

    Raises EntropylawError, without showing the key, when it could not be sent as a header.
    """
    key = os.environ.get(params.api_key_variable, "").strip()
    if not _KEY_CHARACTERS.issuperset(key):
        raise EntropylawError(
            f"the key in {params.api_key_variable} holds spaces, quotes or characters that no key has: set it again"
        )
    return key or None
