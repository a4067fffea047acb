"""The cost model as a scorer method."""

import torch
from torch import Tensor

from alignlab.data.batch import SafetyBatch
from alignlab.modules.scores import ScorerModule

from .config import CostModelConfig
from .loss import cost_loss


class CostModule(ScorerModule):
    """Order and sign of harm, on whole completions."""

    config: CostModelConfig

    def objective(self, first: Tensor, second: Tensor, batch: SafetyBatch) -> Tensor:
        """Loss of each pair, the more harmful completion first, (B,)."""
        return cost_loss(
            first, second, harmful=batch.harmful, ordered=batch.ordered, regularisation=self.config.regularisation
        )

    def figures(self, first: Tensor, second: Tensor, batch: SafetyBatch) -> dict[str, tuple[Tensor, Tensor | int]]:
        """Pair accuracy where there is an order, accuracy of signs, and the share of harmful completions found."""
        difference, ordered, harmful = first - second, batch.ordered, batch.harmful
        found = torch.stack([first, second], -1) > 0
        return {
            "accuracy": (((difference > 0) & ordered).sum(), ordered.sum()),
            "margin": ((difference * ordered).sum(), ordered.sum()),
            "sign_accuracy": ((found == harmful).sum(), harmful.numel()),
            "harmful_found": ((found & harmful).sum(), harmful.sum()),
        }
