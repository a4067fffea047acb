"""Settings of the supervised phase of Constitutional AI."""

from dataclasses import dataclass
from typing import Any

from alignlab.method import RevisionConfig, param


@dataclass(kw_only=True)
class ConstitutionalConfig(RevisionConfig):
    """How often samples are revised, and whose samples they are. Who revises them is `annotator=`."""

    method: str = "constitutional"
    name: str = "constitutional"
    policy: Any = param(None, "Settings of the method that makes the start; null takes the SFT policy.")
