"""Settings of the annotators that come with alignlab. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from alignlab.annotators.config import AnnotatorConfig, JudgeConfig
from alignlab.endpoint.settings import REACHED, EndpointSettings
from alignlab.errors import ConfigError
from alignlab.models import named
from alignlab.settings import check_places, param

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
            check_places(f"annotator.{name}", getattr(self, name), _NEEDED[name], places)
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
        named.is_local(self.path, "annotator.path")

    def address(self, *, revising: bool = False) -> dict[str, Any]:
        """The content of a directory wherever it lies, or the commit of a model of the hub."""
        return super().address(revising=revising) | named.identity(self.path, self.commit, "annotator.path")


@dataclass(kw_only=True)
class EndpointConfig(AskedConfig, EndpointSettings):
    """A model behind an OpenAI-compatible HTTP endpoint. The network is read when labels are computed, never else."""

    kind: str = "endpoint"
    group = "annotator"
    idle = REACHED
    labelling = (*AskedConfig.labelling, "logprobs")

    def __post_init__(self) -> None:
        """Ranges, then the address."""
        super().__post_init__()
        self.check_address()

    def check(self, source: Any) -> None:
        """Refuse to start without a key."""
        self.check_key()
