"""How an endpoint is reached. Torch-free; mixed into the settings of whatever asks one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from omegaconf import MISSING

from alignlab.errors import ConfigError
from alignlab.settings import param

REACHED = ("key_variable", "timeout", "attempts", "backoff", "parallel")
"""Settings that decide no answer."""


@dataclass(kw_only=True)
class EndpointSettings:
    """Where a model is asked, and how patiently. The network is read when answers are needed, never else."""

    group: ClassVar[str] = ""
    """The part of a run's settings that this stands in, for messages."""
    base_url: str = param(MISSING, "Where the endpoint is, as in https://host/v1.")
    model: str = param(MISSING, "The model it is asked for.")
    key_variable: str = param("ALIGNLAB_API_KEY", "Environment variable that holds the API key.")
    logprobs: bool = param(True, "Ask for log-probabilities of the answers; where none come, labels are 0 or 1.")
    timeout: float = param(60.0, "Seconds to wait for an answer.", low=0, open_low=True)
    attempts: int = param(5, "Times a question is sent before labelling stops.", low=1)
    backoff: float = param(1.0, "Seconds before the second attempt, twice as many before each further one.", low=0)
    parallel: int = param(4, "Questions under way at once.", low=1)

    def check_address(self) -> None:
        """Refuse what is no HTTP address."""
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(
                f"{self.group}.base_url={self.base_url!r} is no HTTP address", "pass one such as https://host/v1"
            )

    def check_key(self) -> None:
        """Refuse to start without a key."""
        if not os.environ.get(self.key_variable):
            raise ConfigError(
                f"{self.group}=endpoint needs an API key, and the environment variable {self.key_variable} is not set",
                f"set {self.key_variable}, or name another variable by {self.group}.key_variable=‹name›; an endpoint "
                "that asks for none takes any text",
            )
