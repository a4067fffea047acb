"""The reward model as a scorer method."""

from torch import Tensor

from alignlab.data.batch import PairBatch
from alignlab.modules.scores import ScorerModule

from .config import RewardModelConfig
from .loss import reward_loss


class RewardModule(ScorerModule):
    """Bradley-Terry on whole completions."""

    config: RewardModelConfig

    def objective(self, chosen: Tensor, rejected: Tensor, batch: PairBatch) -> Tensor:
        """Loss of each pair, (B,)."""
        margin, weight = batch.margin, self.config.margin
        return reward_loss(
            chosen,
            rejected,
            probability=1.0 if batch.probability is None else batch.probability,
            margin=weight * margin.nan_to_num() if margin is not None and weight > 0 else 0.0,
            centring=self.config.centring,
        )
