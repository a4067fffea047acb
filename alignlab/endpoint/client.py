"""A model behind an OpenAI-compatible HTTP endpoint, asked by the standard library alone.

Answers are written to a file as they come, so that what was interrupted asks only for what is missing. The
key is sent to `base_url` and nowhere else: redirects are not followed, and it enters neither files nor messages.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import math
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from alignlab.endpoint.settings import EndpointSettings
from alignlab.errors import ModelError

BUSY = (408, 409, 425, 429)
"""Answers that ask to come again later, as all from 500 on do."""
LONGEST_WAIT = 60.0
TOP = 20
"""Most likely first tokens asked for: the most that the protocol allows."""
Body = dict[str, Any]
Item = TypeVar("Item")
Found = TypeVar("Found")


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class _Again(Exception):
    """An answer that another attempt may better; `wait` is what the server asked for, in seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class Answers:
    """Messages by the question they answer, in a file of JSON lines that only grows."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock, self._known = path, threading.Lock(), dict[str, Body]()
        if not path.is_file():
            return
        for line in path.read_bytes().splitlines():
            try:
                row = json.loads(line)
                self._known[row["question"]] = row["answer"]
            except (ValueError, KeyError, TypeError):
                continue  # torn by an interruption: it is asked again

    def get(self, question: str) -> Body | None:
        """The stored answer."""
        return self._known.get(question)

    def put(self, question: str, answer: Body) -> None:
        """Keep an answer, on the disk before this returns."""
        with self._lock, self.path.open("ab") as file:
            if file.tell():
                file.write(b"\n")
            file.write(json.dumps({"question": question, "answer": answer}).encode())
            file.flush()
            os.fsync(file.fileno())
            self._known[question] = answer


class Endpoint:
    """Sends each question as one turn of a user to /chat/completions, and keeps what comes back in a folder."""

    def __init__(self, config: EndpointSettings, folder: Path, sleep: Callable[[float], None] = time.sleep) -> None:
        config.check_key()
        self.config, self.sleep = config, sleep
        self.url = config.base_url.rstrip("/") + "/chat/completions"
        self._key = os.environ[config.key_variable]
        self._opener = urllib.request.build_opener(_Stay)
        folder.mkdir(parents=True, exist_ok=True)
        self.answers = Answers(folder / "answers.jsonl")
        self._failed: ModelError | None = None
        """What stopped one question stops those that wait."""

    def each(self, items: Sequence[Item], ask: Callable[[Item], Found]) -> list[Found]:
        """What `ask` finds about every item, as many at once as the settings allow, in their order."""
        with ThreadPoolExecutor(self.config.parallel) as pool:
            waiting = [pool.submit(ask, item) for item in items]
            try:
                return [one.result() for one in waiting]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def chosen(self, text: str, answers: Sequence[str]) -> list[float] | None:
        """What `shares` makes of the answer to a question that has several given answers."""
        options: Body = {"temperature": 0.0, "max_tokens": 8}
        if self.config.logprobs:
            options |= {"logprobs": True, "top_logprobs": TOP}
        return shares(self.asked(text, **options), answers)

    def said(self, text: str, *, temperature: float, max_tokens: int) -> str:
        """What is written in answer to a text, without blanks around it."""
        return _text(self.asked(text, temperature=temperature, max_tokens=max_tokens))

    def asked(self, text: str, **options: Any) -> Body:
        """The endpoint's answer to one question, stored or asked for."""
        body = {"model": self.config.model, "messages": [{"role": "user", "content": text}], **options}
        question = hashlib.sha256(json.dumps([self.url, body], sort_keys=True).encode()).hexdigest()
        known = self.answers.get(question)
        if known is None:
            if self._failed is not None:
                raise self._failed
            try:
                known = self._asked(body)
            except ModelError as failed:
                self._failed = failed
                raise
            self.answers.put(question, known)
        return known

    def _asked(self, body: Body) -> Body:
        """As many attempts as allowed; ModelError after the last."""
        attempts = self.config.attempts
        for attempt in range(1, attempts + 1):
            try:
                return self._send(body)
            except _Again as failed:
                reason = str(failed)
                wait = max(failed.wait, self.config.backoff * 2.0 ** (attempt - 1))
            if attempt < attempts:
                self.sleep(min(wait, LONGEST_WAIT))
        raise ModelError(
            f"{self.url} gave no usable answer in {attempts} attempts; the last: {reason}",
            "start the same command again later: answers that came are kept",
        )

    def _send(self, body: Body) -> Body:
        """One attempt: the first choice of the answer. Raises _Again where another attempt may help."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        request = urllib.request.Request(self.url, json.dumps(body).encode(), headers)
        try:
            with self._opener.open(request, timeout=self.config.timeout) as response:
                return _choice(json.loads(response.read()))
        except urllib.error.HTTPError as error:
            with error:
                if error.code in BUSY or error.code >= 500:
                    raise _Again(f"HTTP {error.code}", _seconds(error.headers.get("Retry-After"))) from None
                group, said = self.config.group, error.read(200).decode(errors="replace").replace(self._key, "…")
            raise ModelError(
                f"{self.url} refuses the question: HTTP {error.code} {said}".rstrip(),
                f"check {group}.base_url, {group}.model and the key in {self.config.key_variable}",
            ) from None
        except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
            raise _Again(str(getattr(error, "reason", error)) or repr(error)) from error
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise _Again(f"an answer that cannot be read ({error!r})") from error


def _choice(answer: Any) -> Body:
    """What is kept of an answer: the text of its first choice and the first token's alternatives."""
    choice = answer["choices"][0]
    text = choice["message"]["content"]
    if text is not None and not isinstance(text, str):
        raise TypeError("content is no text")
    told = ((choice.get("logprobs") or {}).get("content") or [{}])[0].get("top_logprobs") or []
    return {"text": text or "", "top": [[str(each["token"]), float(each["logprob"])] for each in told]}


def _seconds(header: str | None) -> float:
    """Retry-After in seconds; its other form, a date, is left to the own backoff."""
    try:
        return max(0.0, float(header or 0))
    except ValueError:
        return 0.0


def _text(answer: Mapping[str, Any]) -> str:
    return str(answer["text"]).strip()


def shares(answer: Mapping[str, Any], answers: Sequence[str]) -> list[float] | None:
    """Probability of each of the given answers, adding up to 1; None where none is named, or several are.

    From the log-probabilities of the first token where any of them is among those told, else from what was said.
    """
    mass = [sum(math.exp(logp) for token, logp in answer["top"] if token.strip() == word) for word in answers]
    if sum(mass) > 0:
        return [each / sum(mass) for each in mass]
    said = _text(answer).strip(" .:,;!()[]\"'*`").split(maxsplit=1)
    first = [part.strip(" .:,;!()[]\"'*`") for part in said[:1]]
    named = [float(word in (_text(answer), *first)) for word in answers]
    return named if sum(named) == 1 else None
