"""A judge on this machine: an HTTP server that speaks the OpenAI chat protocol, well or badly as a test wants it."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from training.judge import Judge
from training.judge_params import JudgeParams


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Received:
    """One request: its path, its headers and its JSON body."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def text(self) -> str:
        return str(self.body["messages"][-1]["content"])


def say(text: str | None, finish_reason: str = "stop") -> Reply:
    """A well-formed answer of the model."""
    message = {"role": "assistant", "content": text}
    return Reply(
        200, json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}).encode()
    )


def fail(status: int, message: str = "no", **headers: str) -> Reply:
    """An error in the protocol's form; ``Retry_After`` and the like become headers."""
    body = json.dumps({"error": {"message": message, "type": "error"}}).encode()
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


class JudgeServer:
    """``respond`` gives the reply to each request; ``received`` lists the requests in their order of arrival."""

    def __init__(self, respond: Callable[[Received], Reply]) -> None:
        self.respond = respond
        self.received: list[Received] = []
        self.closing = threading.Event()
        judge = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                request = Received(self.path, dict(self.headers.items()), body)
                judge.received.append(request)
                reply = judge.respond(request)
                # A client that has given up is not there to be written to.
                with contextlib.suppress(ConnectionError):
                    self.send_response(reply.status)
                    for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(reply.body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def asked(self) -> list[str]:
        """The text of the last message of every request."""
        return [request.text for request in self.received]


@contextlib.contextmanager
def serve_judge(respond: Callable[[Received], Reply]) -> Iterator[JudgeServer]:
    judge = JudgeServer(respond)
    thread = threading.Thread(target=judge.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield judge
    finally:
        judge.closing.set()
        judge.server.shutdown()
        thread.join()
        judge.server.server_close()


Start = Callable[[Callable[[Received], Reply]], tuple[Judge, JudgeServer]]


def start_judges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """A fixture: starts judges that respond as a test says, and stops them after it."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with contextlib.ExitStack() as running:

        def begin(respond: Callable[[Received], Reply]) -> tuple[Judge, JudgeServer]:
            server = running.enter_context(serve_judge(respond))
            params = JudgeParams(server.endpoint, "grader", requests_per_minute=6_000_000, attempts=1)
            return Judge(params, tmp_path / "judgments.jsonl"), server

        yield begin


def in_turn(*replies: Reply) -> Callable[[Received], Reply]:
    """One reply after the other, whatever is asked; the last one again and again."""
    left = list(replies)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


class Clock:
    """Seconds that pass only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
