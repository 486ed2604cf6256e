"""Secrets: all that the library's detectors find is found, examples are left out, and no secret is ever shown."""

from __future__ import annotations

import random
import socket
import string
from pathlib import Path

import pytest
from lint_rows import ask, lint_rows
from typer.testing import CliRunner

from entropylaw.cli import app
from monitor.lint.leaked_secrets import (
    _NEEDLES,
    _PATTERNS,
    _may_find,
    find_secrets,
    load_detectors,
    mask_secrets,
)

RNG = random.Random(7)
LOWER_HEX = "0123456789abcdef"
WORD = string.ascii_letters + string.digits


def draw(count: int, alphabet: str = WORD) -> str:
    return "".join(RNG.choice(alphabet) for _ in range(count))


# One text for each detector, and for each form that a detector knows. Put together here, so that no scanner of this
# repository takes them for secrets.
SECRETS = {
    "ArtifactoryDetector": ['a: "AKC' + "p5" + draw(12) + '"', "p=AP6" + "x9" + draw(20)],
    "AWSKeyDetector": ["key AKIA" + draw(16, string.ascii_uppercase + string.digits), f"aws_secret_key = '{draw(40)}'"],
    "AzureStorageKeyDetector": ["AccountKey=" + draw(86) + "=="],
    "BasicAuthDetector": ["https://anna:" + draw(12) + "@db.kranich.org/x"],
    "CloudantDetector": [f"cloudant_password: '{draw(64, LOWER_HEX)}'", f"clou-key = {draw(64, LOWER_HEX)}"],
    "DiscordBotTokenDetector": ["M" + draw(23) + "." + draw(6) + "." + draw(27)],
    "GitHubTokenDetector": [prefix + draw(36) for prefix in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")],
    "GitLabTokenDetector": [
        *(prefix + "-" + draw(24) for prefix in ("glpat", "gldt", "glft", "glsoat", "glrt")),
        "GR1348941" + draw(20), "glcbt-64_" + draw(20), "glimt-" + draw(25), "glptt-" + draw(40),
        "glagent-" + draw(50), "gloas-" + draw(64),
    ],
    "IbmCloudIamDetector": [f"ibm_cloud_iam_api_key: {draw(44)}", f"password = '{draw(44)}'", f"TOKEN: {draw(44)}"],
    "IbmCosHmacDetector": [f"cos_hmac_secret_access_key: {draw(48, LOWER_HEX)}"],
    "JwtTokenDetector": [
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI4ODI3NDkiLCJuYW1lIjoiS3JhbmljaCJ9." + "Zm9vYmFyYmF6cXV4MTIz",
    ],
    "MailchimpDetector": [draw(32, LOWER_HEX) + "-us12"],
    "NpmDetector": ["//registry.npmjs.org/:_authToken=npm_" + draw(36)],
    "OpenAIDetector": ["sk-proj-" + draw(20) + "T3BlbkFJ" + draw(20)],
    "PrivateKeyDetector": [
        f"-----BEGIN {kind}PRIVATE KEY-----\n{draw(64)}\n{draw(64)}\n-----END" for kind in ("RSA ", "EC ", "")
    ],
    "PypiTokenDetector": ["pypi-AgEIcHlwaS5vcmc" + draw(80), "pypi-AgENdGVzdC5weXBpLm9yZw" + draw(80)],
    "SendGridDetector": ["SG." + draw(22) + "." + draw(43)],
    "SlackDetector": [
        "xoxb-" + "34532454-" + draw(20, LOWER_HEX),
        "https://hooks.slack.com/services/T0" + draw(8) + "/B1" + draw(8) + "/" + draw(24),
    ],
    "SoftlayerDetector": [f"softlayer_api_key: {draw(64, LOWER_HEX)}", f"sl-token = {draw(64, LOWER_HEX)}"],
    "SquareOAuthDetector": ["sq0csp-" + draw(43)],
    "StripeDetector": ["sk_live_" + draw(24), "rk_live_" + draw(24)],
    "TelegramBotTokenDetector": ["110201543:" + draw(35)],
    "TwilioKeyDetector": ["AC" + draw(32, LOWER_HEX), "SK" + draw(32, LOWER_HEX)],
}  # fmt: skip
SAMPLES = [(name, text) for name, texts in SECRETS.items() for text in texts]


def test_there_is_a_sample_for_every_detector_of_the_library() -> None:
    assert set(load_detectors()) == set(SECRETS)
    assert set(_NEEDLES) | set(_PATTERNS) == set(SECRETS)


@pytest.mark.parametrize(("name", "text"), SAMPLES)
def test_looking_for_a_piece_first_loses_nothing_that_the_library_finds(name: str, text: str) -> None:
    around = f"He wrote:\n{text}\nand left."
    assert set(load_detectors()[name].analyze_string(around)) - {""}, "the sample is not one that the library finds"
    assert _may_find(name, around, around.lower())


@pytest.mark.parametrize(("name", "text"), SAMPLES)
def test_a_secret_is_found_and_masked_as_a_whole(name: str, text: str) -> None:
    around = f"He wrote:\n{text}\nand left."
    found = list(find_secrets(around))
    assert found, name
    masked = mask_secrets(around)
    assert len(masked) == len(around)
    for secret in found:
        if name != "PrivateKeyDetector":
            assert secret.value not in masked
        assert secret.value[:12] not in secret.masked or len(secret.value) < 12
    assert text.split("\n")[1 if name == "PrivateKeyDetector" else 0] not in masked


def test_a_random_text_that_no_detector_may_read_has_nothing_that_one_would_find() -> None:
    pieces = [text[:cut] for _, text in SAMPLES for cut in (len(text) // 2, len(text) - 1)] + [
        "key",
        " = ",
        "\n",
        "a.b",
    ]
    for _ in range(1500):
        text = " ".join(RNG.choice(pieces) for _ in range(4))
        for name, detector in load_detectors().items():
            if not _may_find(name, text, text.lower()):
                assert not set(detector.analyze_string(text)) - {""}, (name, text)


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "sk_live_xxxxxxxxxxxxxxxxxxxxxxxx",
        "ghp_1234567890abcdefghijklmnopqrstuvwxyz",
        "Put -----BEGIN RSA PRIVATE KEY----- above the key.",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0.dGVzdHRlc3R0ZXN0",
        "mysql://root:secret@db/main",
        "https://user:hunter2@example.com/",
        "APARTMENTBLOCK is a word: APARTMENTBLOCK",
        "password = 'correct horse battery staple'",
    ],
)
def test_what_is_clearly_an_example_is_no_secret(text: str) -> None:
    assert list(find_secrets(text)) == []


def test_no_network_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert [secret for _, text in SAMPLES for secret in find_secrets(text)]


def test_a_secret_is_found_in_tools_and_tool_calls_and_system_messages(tmp_path: Path) -> None:
    rows = [ask("Hi", "Hello!", system=SECRETS["StripeDetector"][0])]
    assert [finding.issue.code for finding in lint_rows(tmp_path, rows).findings] == ["E701"]


def test_no_format_shows_a_secret_even_where_texts_are_wanted(in_tmp_path: Path) -> None:
    from lint_rows import write_lines

    token = SECRETS["GitHubTokenDetector"][0]
    rows = [ask(f"Use {token} now.", f"Done with {token}.<|im_end|> &amp; more"), ask("Hi", f"\x1b[0m{token}\u200b")]
    write_lines(Path("rows.jsonl"), [*rows, rows[0]])
    for format in ("text", "markdown", "json", "junit", "github", "gitlab", "sarif"):
        for options in ([], ["--show-text"], ["--show-text", "--ignore", "E701"]):
            result = CliRunner().invoke(app, ["lint", "rows.jsonl", "--format", format, *options])
            assert token[6:] not in result.output, (format, options)
            assert result.exit_code == (0 if "--ignore" in options else 1)
