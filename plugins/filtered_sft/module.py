"""Filtered SFT as a label method.

Undesirable rows are scored too, for the metrics that show the method's failure, and carry no gradient.
"""

from collections.abc import Mapping

from torch import Tensor

from alignlab.data.batch import LabelBatch
from alignlab.modules.labels import LabelModule, LabelTerms
from alignlab.modules.optimise import all_sum
from alignlab.numerics.logps import CompletionLogps

from .config import FilteredSFTConfig
from .loss import desirable_tokens, filtered_sft_loss


class FilteredSFTModule(LabelModule):
    """Maximum likelihood of desirable completions."""

    config: FilteredSFTConfig

    def denominator(self, batch: LabelBatch) -> Tensor:
        """Completion tokens of desirable rows of the whole batch; 1 where there is none and the loss is 0."""
        tokens = desirable_tokens(batch.sequences.lengths, batch.desirable)
        return all_sum(tokens.float()).clamp_min(1)

    def objective(
        self,
        policy: CompletionLogps,
        reference: CompletionLogps | None,
        batch: LabelBatch,
        context: Mapping[str, Tensor],
    ) -> LabelTerms:
        """Loss and mean log-probability a token of each completion, (B,)."""
        return LabelTerms(filtered_sft_loss(policy.logps, batch.desirable), (policy.logps / policy.lengths).detach())
