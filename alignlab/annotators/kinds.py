"""Settings of the annotators that come with alignlab. Torch-free."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from omegaconf import MISSING

from alignlab.annotators.config import AnnotatorConfig, JudgeConfig
from alignlab.errors import ConfigError, ModelError
from alignlab.settings import param

QUESTION = """Two replies were given to one request.

Request:
{prompt}

Reply {one}:
{first}

Reply {two}:
{second}

Principle: {principle}

Which reply follows the principle better? Answer {one} or {two} and nothing else."""
CRITIQUE = """Request:
{prompt}

Reply:
{reply}

Principle: {principle}

Say in one or two sentences where the reply falls short of the principle."""
REVISION = """Request:
{prompt}

Reply:
{reply}

Principle: {principle}

Criticism: {critique}

Write the reply anew so that it follows the principle. Give the new reply alone."""
_PLACES = {
    "question": {"prompt", "first", "second", "principle", "one", "two"},
    "critique": {"prompt", "reply", "principle"},
    "revision": {"prompt", "reply", "principle", "critique"},
}
"""What may stand in braces in each text."""
_NEEDED = {"question": {"first", "second"}, "critique": {"reply"}, "revision": {"reply"}}


@dataclass(kw_only=True)
class SourceConfig(AnnotatorConfig):
    """The labels that the data source has or gives."""

    kind: str = "source"


@dataclass(kw_only=True)
class AskedConfig(JudgeConfig):
    """A language model that is asked in words."""

    question: str = param(QUESTION, "How it is asked to compare.")
    answers: list[str] = param(lambda: ["A", "B"], "Its answers for the reply shown first and the one shown second.")
    critique: str = param(CRITIQUE, "How it is asked to criticise a reply.")
    revision: str = param(REVISION, "How it is asked to revise a reply.")
    temperature: float = param(1.0, "Sampling temperature of criticism and revisions; 0 is greedy.", low=0)
    max_new_tokens: int = param(256, "Longest criticism or revision in tokens.", low=1)
    revises = True
    labelling = (*JudgeConfig.labelling, "question", "answers")
    revising = ("critique", "revision", "temperature", "max_new_tokens")

    def __post_init__(self) -> None:
        """Ranges, placeholders, answers."""
        super().__post_init__()
        for name, places in _PLACES.items():
            found = set(re.findall(r"\{(\w+)\}", getattr(self, name)))
            for place in sorted(_NEEDED[name] - found):
                raise ConfigError(f"annotator.{name} shows no {place}", f"write {{{place}}} where it is to stand")
            for place in sorted(found - places):
                known = ", ".join(f"{{{each}}}" for each in sorted(places))
                raise ConfigError(f"annotator.{name} has {{{place}}}, which stands for nothing", f"choose from {known}")
        if len({answer.strip() for answer in self.answers} - {""}) != 2 or len(self.answers) != 2:
            raise ConfigError(
                f"annotator.answers={self.answers} are not two different answers", "pass annotator.answers=[A,B]"
            )


@dataclass(kw_only=True)
class PolicyConfig(AskedConfig):
    """The SFT policy as its own judge."""

    kind: str = "policy"
    reads_policy = True


@dataclass(kw_only=True)
class ModelConfig(AskedConfig):
    """Any causal language model of transformers."""

    kind: str = "model"
    path: str = param(MISSING, "A directory that holds a model, or its id on the hub.")
    commit: str | None = param(None, "Commit, tag or branch on the hub.")
    idle = ("path", "commit")

    def check(self, source: Any) -> None:
        """Refuse a directory that holds no model."""
        self._local()

    def address(self, *, revising: bool = False) -> dict[str, Any]:
        """The content of a directory wherever it lies, or the commit of a model of the hub."""
        from alignlab.rewards import folder

        content = {"files": folder.content(self.path)} if self._local() else {"hub": self.path, "commit": self._found()}
        return super().address(revising=revising) | content

    def _local(self) -> bool:
        from alignlab.models.load import check_location

        with annotators_own():
            return check_location(self.path)

    def _found(self) -> str | None:
        """The commit that the hub has under the name."""
        from transformers import AutoConfig

        try:
            found = AutoConfig.from_pretrained(self.path, revision=self.commit)
        except (OSError, ValueError) as error:
            first = (str(error).strip() or repr(error)).splitlines()[0]
            remedy = "check the id and the network, or pass a local directory"
            raise ModelError(f"annotator.path={self.path!r} could not be loaded: {first}", remedy) from error
        return getattr(found, "_commit_hash", None) or self.commit


@dataclass(kw_only=True)
class EndpointConfig(AskedConfig):
    """A model behind an OpenAI-compatible HTTP endpoint. The network is read when labels are computed, never else."""

    kind: str = "endpoint"
    base_url: str = param(MISSING, "Where the endpoint is, as in https://host/v1.")
    model: str = param(MISSING, "The model it is asked for.")
    key_variable: str = param("ALIGNLAB_API_KEY", "Environment variable that holds the API key.")
    logprobs: bool = param(True, "Ask for log-probabilities of the answers; where none come, labels are 0 or 1.")
    timeout: float = param(60.0, "Seconds to wait for an answer.", low=0, open_low=True)
    attempts: int = param(5, "Times a question is sent before labelling stops.", low=1)
    backoff: float = param(1.0, "Seconds before the second attempt, twice as many before each further one.", low=0)
    parallel: int = param(4, "Questions under way at once.", low=1)
    idle = ("key_variable", "timeout", "attempts", "backoff", "parallel")
    labelling = (*AskedConfig.labelling, "logprobs")

    def __post_init__(self) -> None:
        """Ranges, then the address."""
        super().__post_init__()
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(
                f"annotator.base_url={self.base_url!r} is no HTTP address", "pass one such as https://host/v1"
            )

    def check(self, source: Any) -> None:
        """Refuse to start without a key."""
        if not os.environ.get(self.key_variable):
            raise ConfigError(
                f"annotator=endpoint needs an API key, and the environment variable {self.key_variable} is not set",
                f"set {self.key_variable}, or name another variable by annotator.key_variable=‹name›; an endpoint "
                "that asks for none takes any text",
            )


@contextmanager
def annotators_own() -> Iterator[None]:
    """Errors about a model directory under the key that it was given by."""
    try:
        yield
    except ModelError as error:
        raise ModelError(
            *(text.replace("model.path", "annotator.path") for text in (error.message, error.remedy))
        ) from error
