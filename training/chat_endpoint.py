"""One OpenAI-compatible chat endpoint: requests are sent, waited for, and tried again where that can help.

The standard library's client is fast enough: there are a few requests a second at most, and the model takes seconds
for each.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import http.client
import json
import math
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from corpus.errors import EntropylawError, NotAssessedError
from training.judge_params import JudgeParams, read_api_key

if TYPE_CHECKING:
    import numpy as np

# The wait before the second, third, … attempt is 1, 2, 4 … seconds, shortened by up to half at random, so that programs
# that failed together do not come back together.
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 30.0
# An endpoint that asks for a longer wait than this is better asked again by another run.
LONGEST_RETRY_AFTER_SECONDS = 300.0
MAX_BODY_BYTES = 4 * 2**20
MAX_QUOTED_CHARACTERS = 300
# Shorter keys are the placeholders that local servers are given ("none", "EMPTY") and no secrets.
SHORTEST_SECRET = 8
# Some servers repeat a part of the key in an error. So many of its characters in a row are no word of their own.
SHORTEST_PART = 6

# Statuses that are about this one request; the endpoint may accept others.
REQUEST_REFUSED = (400, 413, 422)
# Settings that a request may leave out.
OPTIONAL_SETTINGS = ("temperature", "max_tokens")
# Statuses that may pass: a timeout, a conflict, too early, too many requests. Every 5xx counts too.
PASSING = (408, 409, 425, 429)


class UnusableAnswerError(NotAssessedError):
    """The endpoint refused this request, or its answer cannot be used; other requests may be answered."""


class _PassingError(Exception):
    """An attempt that failed in a way that may pass. ``retry_after``: seconds the endpoint asks to wait."""

    def __init__(self, reason: str, is_answered: bool = False, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.is_answered, self.retry_after = is_answered, retry_after


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected request would lose its body and could carry the key to another host."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """An answer of the endpoint. ``is_cut``: it ended because it reached the limit of its length."""

    text: str
    is_cut: bool


class Pace:
    """Lets threads send requests in turn, evenly spaced, at most ``requests_per_minute`` a minute.

    ``clock`` gives the time in seconds; ``sleep`` waits for a number of seconds.
    """

    def __init__(self, requests_per_minute: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._interval = 60 / requests_per_minute
        self._clock, self._sleep = clock, sleep
        self._next = -math.inf
        self._lock = threading.Lock()

    def wait_turn(self) -> None:
        """Return when the calling thread may send its request."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self._interval
        self._sleep(turn - now)

    def postpone(self, seconds: float) -> None:
        """Let no thread send a request for this many seconds."""
        with self._lock:
            self._next = max(self._next, self._clock() + seconds)


class ChatEndpoint:
    """The endpoint of ``params``, with the key from the environment; safe to share between threads.

    Raises EntropylawError when no judge is configured or the key cannot be sent.
    """

    def __init__(
        self,
        params: JudgeParams,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        random: np.random.Generator,
    ) -> None:
        self.url = params.url
        self._params = params
        self._key = read_api_key(params)
        self._clock, self._sleep, self._random = clock, sleep, random
        self._pace = Pace(params.requests_per_minute, clock, sleep)
        self._opener = urllib.request.build_opener(_NoRedirects)

    def complete(self, body: dict[str, Any]) -> ChatAnswer:
        """The answer to one chat request.

        Raises UnusableAnswerError when the endpoint refuses this request or gives no usable answer in ``attempts``
        tries, NotAssessedError when it cannot be reached or is too busy, and EntropylawError when it refuses the key or
        the model.
        """
        payload = json.dumps(body).encode()
        wait, last = FIRST_WAIT_SECONDS, _PassingError("")
        for attempt in range(self._params.attempts):
            if attempt:
                self._wait_after(last, wait)
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
            self._pace.wait_turn()
            try:
                return self._parse(self._post(payload))
            except _PassingError as error:
                last = error
        tries = f"{self._params.attempts} attempt{'s' if self._params.attempts > 1 else ''}"
        if last.is_answered:
            raise UnusableAnswerError(f"judge {self.url}: no answer in the OpenAI chat format after {tries}: {last}")
        raise NotAssessedError(
            f"judge {self.url}: no answer after {tries}: {last}; check judge.endpoint, or run again later: "
            "the answers so far are kept"
        )

    def _wait_after(self, failure: _PassingError, wait: float) -> None:
        if failure.retry_after is None:
            self._sleep(wait * self._random.uniform(0.5, 1.0))
        elif failure.retry_after <= LONGEST_RETRY_AFTER_SECONDS:
            self._pace.postpone(failure.retry_after)
        else:
            raise NotAssessedError(
                f"judge {self.url}: asks to wait {failure.retry_after:.0f} seconds ({failure}); run again then: "
                "the answers so far are kept"
            )

    def _post(self, payload: bytes) -> bytes:
        # The library's own User-Agent is turned away by some hosts as that of a robot.
        headers = {"Content-Type": "application/json", "User-Agent": "entropylaw"}
        request = urllib.request.Request(self.url, payload, headers, method="POST")
        if self._key:
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        try:
            with self._opener.open(request, timeout=self._params.timeout_seconds) as response:
                return self._read(response)
        except urllib.error.HTTPError as error:
            with contextlib.closing(error):
                raise self._explain(error) from None
        except (OSError, http.client.HTTPException) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            if isinstance(cause, TimeoutError):
                raise self._timeout() from None
            raise _PassingError(self._quote(str(cause) or type(cause).__name__)) from None

    def _timeout(self) -> _PassingError:
        return _PassingError(f"no answer within {self._params.timeout_seconds:g} seconds (judge.timeout_seconds)")

    def _read(self, response: IO[bytes]) -> bytes:
        # The socket's own timeout starts anew with every byte, and a body may never end.
        deadline = self._clock() + self._params.timeout_seconds
        body = bytearray()
        while chunk := response.read1(65536):  # type: ignore[attr-defined]
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise _PassingError(f"a body of more than {MAX_BODY_BYTES} bytes", is_answered=True)
            if self._clock() > deadline:
                raise self._timeout()
        return bytes(body)

    def _explain(self, error: urllib.error.HTTPError) -> Exception:
        """The error that an HTTP status stands for: one that may pass, or one that says what to set."""
        try:
            said = self._quote(_error_message(self._read(error)))
        except (OSError, http.client.HTTPException, _PassingError):
            said = ""
        reason = f"HTTP {error.code}" + (f": {said}" if said else "")
        if error.code in PASSING or error.code >= 500:
            return _PassingError(reason, retry_after=_read_retry_after(error.headers.get("Retry-After")))
        variable = self._params.api_key_variable
        if error.code in REQUEST_REFUSED:
            return UnusableAnswerError(f"judge {self.url} refused the request ({reason}){self._name_refused(said)}")
        if error.code in (401, 403) and self._key is None:
            return EntropylawError(f"judge {self.url} asks for a key ({reason}): set {variable}")
        if error.code in (401, 403):
            return EntropylawError(
                f"judge {self.url} refused the key in {variable} ({reason}): set one that may use {self._params.model}"
            )
        if error.code < 400:
            return EntropylawError(f"judge {self.url} redirects ({reason}): set judge.endpoint to the final address")
        return EntropylawError(f"judge {self.url}: {reason}: check judge.endpoint and judge.model {self._params.model}")

    def _name_refused(self, said: str) -> str:
        """A hint at the setting that the endpoint's message names: some models take no temperature or no limit."""
        named = [name for name in OPTIONAL_SETTINGS if name in said and getattr(self._params, name) is not None]
        return "".join(f"; judge.{name}: null sends none" for name in named)

    def _parse(self, body: bytes) -> ChatAnswer:
        try:
            choice = json.loads(body)["choices"][0]
            text, reason = choice["message"]["content"], choice.get("finish_reason")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise _PassingError(self._quote(body.decode(errors="replace")) or "an empty body", True) from None
        # In this format null means that the model wrote nothing.
        if not isinstance(text, str | None):
            raise _PassingError(f"the content of the message is {self._quote(json.dumps(text))}", True)
        return ChatAnswer(self._without_key(text or ""), reason == "length")

    def _quote(self, text: str) -> str:
        """The endpoint's text, shortened to fit into one line of an error message."""
        words = " ".join(self._without_key(text).split())
        return words if len(words) <= MAX_QUOTED_CHARACTERS else words[:MAX_QUOTED_CHARACTERS] + "…"

    def _without_key(self, text: str) -> str:
        # Some servers repeat the headers they were sent.
        return hide_key(text, self._key) if self._key and len(self._key) >= SHORTEST_SECRET else text


def hide_key(text: str, key: str) -> str:
    """The text without the key, and without parts of it of SHORTEST_PART characters or more.

    >>> hide_key("no such key: sk-4f9a81c...3be7d2, sk-4", "sk-4f9a81c077e53be7d2")
    'no such key: [key]...[key], sk-4'
    """
    parts = {key[i : i + SHORTEST_PART] for i in range(len(key) - SHORTEST_PART + 1)}
    shown, i = [], 0
    while i < len(text):
        end = i
        while text[end : end + SHORTEST_PART] in parts:
            end += 1
        if end == i:
            shown.append(text[i])
            i += 1
        else:
            shown.append("[key]")
            i = end + SHORTEST_PART - 1
    return "".join(shown)


def _error_message(body: bytes) -> str:
    """The message of an OpenAI-style error body, or the body itself.

    >>> _error_message(b'{"error": {"message": "no such model"}}')
    'no such model'
    """
    text = body.decode(errors="replace")
    try:
        return str(json.loads(text)["error"]["message"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return text


def _read_retry_after(value: str | None) -> float | None:
    """Seconds to wait, from a header that holds seconds or an HTTP date; None where it holds neither.

    >>> [_read_retry_after(value) for value in ("20", "-5", "Wed, 21 Oct 2015 07:28:00 GMT", "soon")]
    [20.0, 0.0, 0.0, None]
    """
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        seconds = float(value)
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    with contextlib.suppress(ValueError):
        moment = email.utils.parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return max((moment - datetime.datetime.now(datetime.UTC)).total_seconds(), 0.0)
    return None
