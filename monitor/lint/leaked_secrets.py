"""Passwords and keys of services, found by the detectors of the library detect-secrets, without any network access."""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from monitor.lint.check import Check, Hit, Observer
from monitor.lint.issue import Issue
from monitor.lint.lint_row import LintRow

SECRET = Issue(
    "E701",
    "secret",
    "Keys and tokens of services",
    "A text has a key or token that gives access to a service, such as a private key or a GitHub token. Whoever "
    "has the "
    "data or the trained model may have the access. What is clearly an example does not count.",
    "Withdraw the key where it was issued, then replace it in the data. Removing it from the data alone is not enough.",
)
URL_PASSWORD = Issue(
    "W702",
    "url-password",
    "Passwords in addresses",
    "A text has an address with a user's name and password in it, at a host that is no example.",
    "Change the password, then replace it in the data.",
)

# The detector of passwords in addresses; it has an issue of its own.
_BASIC_AUTH = "BasicAuthDetector"
# Public IP addresses are no secrets.
_LEFT_OUT = frozenset({"IPPublicDetector"})
# What must stand in a text, in any case, before a detector can find anything in it. Looking for it takes a tenth of the
# detector's time. A detector that is in neither table, such as one of a later version of the library, reads every text.
_NEEDLES: dict[str, tuple[str, ...]] = {
    "AWSKeyDetector": ("akia", "asia", "abia", "acca", "a3t", "aws"),
    "AzureStorageKeyDetector": ("accountkey=",),
    "GitHubTokenDetector": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    "GitLabTokenDetector": (
        *("glpat-", "gldt-", "glft-", "glsoat-", "glrt-", "glcbt-", "glimt-", "glptt-", "glagent-", "gloas-"),
        "gr1348941",
    ),
    "IbmCloudIamDetector": ("key", "pwd", "pass", "token"),
    "IbmCosHmacDetector": ("secret",),
    "JwtTokenDetector": ("eyj",),
    "MailchimpDetector": ("-us",),
    "NpmDetector": ("_authtoken",),
    "OpenAIDetector": ("t3blbkfj",),
    "PrivateKeyDetector": ("private key", "putty-user-key-file-2"),
    "PypiTokenDetector": ("pypi-",),
    "SendGridDetector": ("sg.",),
    "SlackDetector": ("xox", "hooks.slack.com"),
    "SquareOAuthDetector": ("sq0csp-",),
    "StripeDetector": ("k_live_",),
    "TelegramBotTokenDetector": (":",),
    _BASIC_AUTH: ("://",),
}
# The same as patterns, where no fixed text is rare enough. They are looked for after the needles.
_PATTERNS: dict[str, re.Pattern[str]] = {
    "ArtifactoryDetector": re.compile(r"AKC[a-zA-Z0-9]|AP[\dA-F][a-zA-Z0-9]"),
    "CloudantDetector": re.compile(
        r"cl(?:ou(?:dant)?)?[_-]?(?:api)?(?:key|pw|pass|token)|cloudant\.com", re.IGNORECASE
    ),
    "DiscordBotTokenDetector": re.compile(r"\.[\w-]{6}\.[\w-]{27}"),
    "IbmCloudIamDetector": re.compile(r"[\w-]{44}"),
    "SoftlayerDetector": re.compile(
        r"s(?:oftlayer|l)[_-]?(?:api)?[_-]?(?:key|pw|pass|token)|softlayer\.com", re.IGNORECASE
    ),
    "TelegramBotTokenDetector": re.compile(r"\d:[\w-]{35}"),
    "TwilioKeyDetector": re.compile(r"(?:AC|SK)[a-z0-9]{32}"),
}
# What people write where a secret would stand, in lower case. Drawn at random, six characters in order are one in 10^9.
_EXAMPLES = re.compile(
    r"example|sample|dummy|placeholder|redacted|your|xxx|fake|changeme|abcdef|qwert|123456|654321|000000"
)
_EXAMPLE_PASSWORDS = re.compile(
    r"p(?:ass)?w(?:or)?d\d*|pass(?:word|wd)?\d*|my\w*|user\w*|secret\w*|admin\d*|root|test\w*|token|key|guest|postgres"
    r"|mysql|redis|db\w*|\W.*|.{0,2}|(.)\1*"
)
_EXAMPLE_HOSTS = re.compile(
    r"[\w-]*|(?:.*\.)?(?:example|test|localhost|domain|host|server|site|company|your\w*)(?:\.\w+)?|[\d.]+"
)
# A secret with fewer different characters was typed, not drawn.
MIN_DISTINCT = 8
# A shorter part of what a detector finds is no secret but its prefix.
MIN_CHARACTERS = 16
# Detectors read a text in pieces, because the time that some take grows with the square of the length.
PIECE_CHARACTERS = 20_000
# Pieces overlap by more than the longest secret, a web token.
OVERLAP_CHARACTERS = 4_000
# A private key has its body below the heading; the heading alone is talk about keys.
_KEY_BODY = re.compile(r"(?:PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-2)[\s\S]{0,200}?[A-Za-z0-9+/]{40}")
# So much of a secret is shown: enough to find it by, too little to use it.
SHOWN_CHARACTERS = 4


class Secret(NamedTuple):
    """``kind``: the detector's name for it. ``value``: the secret itself, never to be shown."""

    issue: Issue
    kind: str
    value: str

    @property
    def masked(self) -> str:
        """The kind and the beginning of the value.

        >>> Secret(SECRET, "Stripe Access Key", "sk_live_4eC39HqLyjWDarjtT1zdp7dc").masked
        'Stripe Access Key sk_l…'
        """
        shown = self.value[:SHOWN_CHARACTERS] if len(self.value) >= 4 * SHOWN_CHARACTERS else ""
        return f"{self.kind} {shown}…" if shown.strip() and self.issue is SECRET else self.kind


@functools.cache
def load_detectors() -> dict[str, Any]:
    """The library's detectors of what has a form of its own, by name: an instance of each.

    Left out are those that guess by the name of a variable or by how random a string looks: in instruction data they
    find examples and hashes. A detector's `verify`, which asks the service, is never called.
    """
    from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    from detect_secrets.plugins.base import RegexBasedDetector

    classes: list[Any] = list(get_mapping_from_secret_type_to_class().values())
    return {
        cls.__name__: cls()
        for cls in sorted(classes, key=lambda cls: cls.__name__)
        if issubclass(cls, RegexBasedDetector) and cls.__name__ not in _LEFT_OUT
    }


def find_secrets(text: str) -> Iterator[Secret]:
    """Every secret of a text that is not clearly an example, each once."""
    seen: set[str] = set()
    lower = text.lower()
    for name, detector in load_detectors().items():
        if not _may_find(name, text, lower):
            continue
        for value in _read_values(name, detector, text):
            if value not in seen and not _is_example(name, value, text):
                seen.add(value)
                yield Secret(URL_PASSWORD if name == _BASIC_AUTH else SECRET, detector.secret_type, value)


def mask_secrets(text: str) -> str:
    """The text with stars for every secret in it, as long as it was, so that positions stay; also for examples of
    secrets, because here a star too many does no harm. Of a private key the lines below the heading are masked as well.
    """
    lower = text.lower()
    for name, detector in load_detectors().items():
        if _may_find(name, text, lower):
            for value in set(_read_values(name, detector, text)):
                if name != "PrivateKeyDetector":
                    text = text.replace(value, "*" * len(value))
    if "PRIVATE KEY" in text or "PuTTY-User-Key-File" in text:
        text = re.sub(r"[A-Za-z0-9+/=]{16,}", lambda found: "*" * len(found[0]), text)
    return text


def _may_find(name: str, text: str, lower: str) -> bool:
    if name in _NEEDLES and not any(needle in lower for needle in _NEEDLES[name]):
        return False
    return name not in _PATTERNS or bool(_PATTERNS[name].search(text))


def _read_values(name: str, detector: Any, text: str) -> Iterator[str]:
    """The secrets that a detector finds, as wholes: the library gives only the prefix of some, such as ghp."""
    for start in range(0, len(text), PIECE_CHARACTERS):
        piece = text[start : start + PIECE_CHARACTERS + OVERLAP_CHARACTERS]
        accepted = set(detector.analyze_string(piece))
        for pattern in detector.denylist if accepted else ():
            for found in pattern.finditer(piece):
                parts = [part for part in found.groups() if part] or [found[0]]
                # What a detector does not accept, such as a web token that cannot be read, only looked like a secret.
                if accepted.intersection(parts):
                    longest = max(parts, key=len)
                    yield longest if name == _BASIC_AUTH or len(longest) >= MIN_CHARACTERS else found[0]


def _is_example(name: str, value: str, text: str) -> bool:
    if name == "PrivateKeyDetector":
        return not _KEY_BODY.search(text)
    if name == _BASIC_AUTH:
        host = re.search(re.escape(f":{value}@") + r"([\w.-]*)", text)
        return bool(
            _EXAMPLE_PASSWORDS.fullmatch(value.lower())
            or _EXAMPLES.search(value.lower())
            or not host
            or _EXAMPLE_HOSTS.fullmatch(host[1].lower())
        )
    random = any(c.isdigit() for c in value) and any(c.isalpha() for c in value) and len(set(value)) >= MIN_DISTINCT
    return not random or bool(
        _EXAMPLES.search(_read_claims(value).lower() if value.startswith("eyJ") else value.lower())
    )


def _read_claims(token: str) -> str:
    """What a JSON Web Token says in its middle part, or the token itself where that cannot be read."""
    part = [*token.split("."), ""][1]
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return token


class SecretObserver(Observer):
    def look(self, row: LintRow) -> Iterator[Hit]:
        text = "\n".join([row.record.tools, *(message.text for message in row.messages)])
        seen: set[tuple[str, str]] = set()
        for secret in find_secrets(text):
            if (secret.issue.code, secret.kind) not in seen:
                seen.add((secret.issue.code, secret.kind))
                yield Hit(secret.issue, row.index, secret.kind)


CHECK = Check((SECRET, URL_PASSWORD), lambda settings: SecretObserver())
