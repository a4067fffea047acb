"""IPO as a pair method."""

from alignlab.data.batch import PairBatch
from alignlab.modules.pairs import PairModule, PairTerms
from alignlab.numerics.logps import PairLogps

from .config import IPOConfig
from .loss import ipo_loss


class IPOModule(PairModule):
    """One margin a pair."""

    config: IPOConfig

    def objective(self, policy: PairLogps, reference: PairLogps | None, batch: PairBatch) -> PairTerms:
        """Loss and implicit margin of each pair, (B,)."""
        assert reference is not None
        margin = policy.margin - reference.margin
        return PairTerms(ipo_loss(margin, beta=self.config.beta), self.config.beta * margin.detach())
