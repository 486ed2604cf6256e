"""The judge: a model behind an OpenAI-compatible endpoint that grades texts. Each answer is kept and paid for once."""

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
from training.chat_endpoint import ChatEndpoint, UnusableAnswerError
from training.judge_params import JudgeParams
from training.judgments import Judgment, Judgments
from training.template_inputs import to_chat

if TYPE_CHECKING:
    import numpy as np


# One request may be refused for its content. When this many in a row are, the endpoint or its settings are to blame.
UNUSABLE_IN_A_ROW = 5
# For estimates: the endpoint's tokenizer is not known. English conversations measured 3.7.
BYTES_PER_TOKEN = 4

_GRADE = re.compile(r"\[\[\s*([0-9]+(?:\.[0-9]+)?)\s*\]\]")


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """A question to the judge. ``about`` names what is judged, for readers of the file of judgments; it is not sent."""

    messages: tuple[Message, ...]
    about: str


@dataclass(frozen=True)
class JudgeEstimate:
    """What asking the judge will take.

    ``requests``: still to be made. ``kept``: answers from before that serve again. ``input_tokens``: to be sent, about.
    ``output_tokens``: to be received, at most; None where only the endpoint limits them.

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
    """The judge that ``params`` names; its answers are kept in the file ``judgments_path``.

    ``clock`` (in seconds), ``sleep`` and ``random``, which spreads the waits between attempts, are parameters so that
    tests can replace them. Raises EntropylawError when no judge is configured, when its key cannot be sent, and when
    the file holds something else than judgments.
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
        # No seed: waits do not change the result, and two programs must not wait equally long.
        self._endpoint = ChatEndpoint(params, clock, self._wait, random or np.random.default_rng())
        self._judgments = Judgments(judgments_path)

    def estimate(self, requests: Sequence[JudgeRequest]) -> JudgeEstimate:
        """What ``ask`` would take now; nothing is sent."""
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
        """The judge's answers in the order of the requests; None where it gave no usable answer.

        Equal requests are asked once. Each thread writes its answer to the file before it sends another request, so an
        interrupted call goes on where it stopped. ``progress`` gets the distinct requests done and their number.

        Raises EntropylawError when the endpoint refuses the key or the model, NotAssessedError when it cannot be
        reached, and UnusableAnswerError when it gives no usable answer at all, or none to UNUSABLE_IN_A_ROW requests in
        a row.
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
                # Requests under way are paid for: they end and are kept. No other request starts, and no wait goes on.
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
            # At once: by the time the thread that waits for all of them knew, another request would have been sent.
            self._stopping.set()
            raise

    def _body(self, request: JudgeRequest) -> dict[str, Any]:
        limit = {} if self._params.max_tokens is None else {"max_tokens": self._params.max_tokens}
        return {**self._question(request), **limit}

    def _question(self, request: JudgeRequest) -> dict[str, Any]:
        """The part of a request that its answer depends on; a kept answer is found by it."""
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
    """The grade in a judge's answer: a number in double brackets (MT-bench's form, Zheng et al., 2023).

    None where there is no number from ``lowest`` to ``highest``, or several that differ: a grade is never guessed.

    >>> read_grade("Correct, but long-winded. Grade: [[3.5]]", 0, 5)
    3.5
    >>> read_grade("[[4]] or [[5]]", 0, 5), read_grade("[[11]]", 1, 10), read_grade("4 of 5", 0, 5)
    (None, None, None)
    """
    grades = {float(number) for number in _GRADE.findall(answer or "")}
    grade = grades.pop() if len(grades) == 1 else None
    return grade if grade is not None and lowest <= grade <= highest else None
