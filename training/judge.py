"""The judge: a model behind an OpenAI-compatible endpoint that grades texts, and that is never paid twice for one."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.artifacts import fingerprint
from corpus.errors import EntropylawError
from corpus.progress import Progress, ignore_progress
from corpus.records import Message
from training.chat import to_chat
from training.chat_endpoint import ChatEndpoint, UnusableAnswerError
from training.judge_params import JudgeParams
from training.judgments import Judgment, Judgments

if TYPE_CHECKING:
    import numpy as np


# A single request may be refused for what it holds; this many in a row tell of the endpoint or of its settings.
UNUSABLE_IN_A_ROW = 5
# Of the endpoint's tokens, whose tokenizer is not known. English conversations measured 3.7.
BYTES_PER_TOKEN = 4

_GRADE = re.compile(r"\[\[\s*([0-9]+(?:\.[0-9]+)?)\s*\]\]")


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """What the judge is asked. ``about`` names the thing judged in the file of judgments; it is not sent."""

    messages: tuple[Message, ...]
    about: str


@dataclass(frozen=True)
class JudgeEstimate:
    """``requests`` still to be made, ``kept`` answers that serve again, and about how many tokens will be sent.

    ``output_tokens``: at most so many come back; None where the endpoint alone limits them.

    >>> print(JudgeEstimate(160, 0, 98_000, 163_840))
    160 requests to make, 0 answers kept from before; about 98,000 tokens to send and at most 163,840 to receive
    """

    requests: int
    kept: int
    input_tokens: int
    output_tokens: int | None

    def __str__(self) -> str:
        received = f"at most {self.output_tokens:,}" if self.output_tokens is not None else "no limit on those"
        return (
            f"{self.requests:,} requests to make, {self.kept:,} answers kept from before; "
            f"about {self.input_tokens:,} tokens to send and {received} to receive"
        )


class Judge:
    """The judge of ``params``, with its answers kept in the file ``judgments_path``.

    ``clock`` (seconds), ``sleep`` and ``random`` (which spreads the waits between attempts) are there to be replaced.
    Raises EntropylawError when no judge is configured, its key cannot be sent, or the file is none of judgments.
    """

    def __init__(
        self,
        params: JudgeParams,
        judgments_path: str | Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] | None = None,
        random: np.random.Generator | None = None,
    ) -> None:
        import numpy as np

        self._params = params
        self._stopping = threading.Event()
        self._sleep = sleep or self._stopping.wait
        # Waits are no part of a result, and two programs must not wait alike: no seed.
        self._endpoint = ChatEndpoint(params, clock, self._wait, random or np.random.default_rng())
        self._judgments = Judgments(judgments_path)

    def estimate(self, requests: Sequence[JudgeRequest]) -> JudgeEstimate:
        """What ``ask`` would cost now, without asking."""
        distinct = {self._key(request): request for request in requests}
        missing = [request for key, request in distinct.items() if self._find(key) is None]
        sent = sum(len(message.content.encode()) for request in missing for message in request.messages)
        limit = self._params.max_tokens
        return JudgeEstimate(
            requests=len(missing),
            kept=len(distinct) - len(missing),
            input_tokens=round(sent / BYTES_PER_TOKEN),
            output_tokens=None if limit is None else limit * len(missing),
        )

    def ask(self, requests: Sequence[JudgeRequest], progress: Progress = ignore_progress) -> list[str | None]:
        """The judge's answer to each request, in their order; None where it gave none that could be used.

        Equal requests are asked once; an answer is in the file before the next request starts in its place, so an
        interrupted call goes on where it stopped. ``progress`` gets distinct requests done and their number.

        Raises EntropylawError when the endpoint refuses the key or the model, NotAssessedError when it cannot be
        reached, and UnusableAnswerError when it has no usable answer to anything, or to UNUSABLE_IN_A_ROW requests in a
        row.
        """
        keys = [self._key(request) for request in requests]
        distinct = dict(zip(keys, requests, strict=True))
        missing = [key for key in distinct if self._find(key) is None]
        kept, in_a_row = len(distinct) - len(missing), 0
        unusable: UnusableAnswerError | None = None
        self._stopping.clear()
        with ThreadPoolExecutor(self._params.concurrent) as pool:
            futures = [pool.submit(self._ask_one, key, distinct[key]) for key in missing]
            try:
                for done, future in enumerate(as_completed(futures), start=kept + 1):
                    try:
                        future.result()
                        in_a_row = 0
                    except CancelledError:
                        continue  # by another thread's error, which is among the futures
                    except UnusableAnswerError as error:
                        unusable, in_a_row = error, in_a_row + 1
                        if in_a_row == UNUSABLE_IN_A_ROW:
                            raise
                    progress(done, len(distinct))
            except BaseException:
                # Requests under way are paid for: they end and are kept. No further one starts, and nobody waits on.
                self._stopping.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        answers = [self._find(key) for key in keys]
        if unusable is not None and not any(answers):
            raise unusable
        return [judgment.answer if judgment else None for judgment in answers]

    def _ask_one(self, key: str, request: JudgeRequest) -> None:
        try:
            answer = self._endpoint.complete(self._body(request))
            self._judgments.keep(
                Judgment(
                    key=key,
                    about=request.about,
                    model=str(self._params.model),
                    temperature=self._params.temperature,
                    max_tokens=self._params.max_tokens,
                    is_cut=answer.is_cut,
                    answer=answer.text,
                )
            )
        except UnusableAnswerError:
            raise
        except EntropylawError:
            # At once, and not when the thread that waits for all learns of it: by then another request would be out.
            self._stopping.set()
            raise

    def _body(self, request: JudgeRequest) -> dict[str, Any]:
        limit = {} if self._params.max_tokens is None else {"max_tokens": self._params.max_tokens}
        return {**self._question(request), **limit}

    def _question(self, request: JudgeRequest) -> dict[str, Any]:
        """What an answer depends on, and is found by again."""
        question = {"model": self._params.model, "messages": to_chat(request.messages)}
        temperature = self._params.temperature
        return question if temperature is None else {**question, "temperature": temperature}

    def _key(self, request: JudgeRequest) -> str:
        return fingerprint(self._question(request))

    def _find(self, key: str) -> Judgment | None:
        return self._judgments.get(key, self._params.max_tokens)

    def _wait(self, seconds: float) -> None:
        self._sleep(seconds)
        if self._stopping.is_set():
            raise CancelledError


def read_grade(answer: str | None, lowest: float, highest: float) -> float | None:
    """The number in double brackets in a judge's answer (MT-bench's form, Zheng et al., 2023).

    None where there is none within the bounds, or where several differ: a grade is never guessed.

    >>> read_grade("Correct, but long-winded. Grade: [[3.5]]", 0, 5)
    3.5
    >>> read_grade("[[4]] or [[5]]", 0, 5), read_grade("[[11]]", 1, 10), read_grade("4 of 5", 0, 5)
    (None, None, None)
    """
    grades = {float(number) for number in _GRADE.findall(answer or "")}
    grade = grades.pop() if len(grades) == 1 else None
    return grade if grade is not None and lowest <= grade <= highest else None
