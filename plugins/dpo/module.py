"""DPO as a pair method."""

from alignlab.data.batch import PairBatch
from alignlab.modules.pairs import PairModule, PairTerms
from alignlab.numerics.logps import PairLogps

from .config import DPOConfig
from .loss import dpo_loss, dpo_margin


class DPOModule(PairModule):
    """One logit a pair."""

    config: DPOConfig

    def objective(self, policy: PairLogps, reference: PairLogps | None, batch: PairBatch) -> PairTerms:
        """Loss and implicit margin of each pair, (B,)."""
        assert reference is not None
        margin = dpo_margin(policy, reference, beta=self.config.beta)
        probability = 1.0 if batch.probability is None else batch.probability
        loss = dpo_loss(margin, probability=probability, label_smoothing=self.config.label_smoothing)
        return PairTerms(loss, margin.detach())
