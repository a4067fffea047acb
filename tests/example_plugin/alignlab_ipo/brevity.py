"""A rule as a reward."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from alignlab.data.schema import Prompt
from alignlab.rollout.batch import Rollouts

from .config import BrevityConfig


class Brevity(nn.Module):
    """Every token costs the same."""

    def __init__(self, config: BrevityConfig, **given: Any) -> None:
        super().__init__()
        self.per_token = config.per_token

    def score(self, rollouts: Rollouts, prompts: Sequence[Prompt]) -> Tensor:
        """Minus the price of the tokens of each completion, (B,)."""
        return -self.per_token * rollouts.sequences.lengths.to(rollouts.logps.dtype)
