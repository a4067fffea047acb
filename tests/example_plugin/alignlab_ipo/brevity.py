"""A rule as a reward."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from alignlab.data.schema import Prompt
from alignlab.rollout.batch import Rollouts


class Brevity(nn.Module):
    """Ten tokens less are worth one unit of score."""

    def __init__(self, *, scorer: nn.Module | None = None, source: Any = None, tokenizer: Any = None) -> None:
        super().__init__()

    def score(self, rollouts: Rollouts, prompts: Sequence[Prompt]) -> Tensor:
        """Minus a tenth of the tokens of each completion, (B,)."""
        return -0.1 * rollouts.sequences.lengths.to(rollouts.logps.dtype)
