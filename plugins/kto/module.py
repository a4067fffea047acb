"""KTO as a label method."""

from collections.abc import Mapping

from torch import Tensor

from alignlab.data.batch import LabelBatch, over_rows
from alignlab.modules.labels import LabelModule, LabelTerms
from alignlab.modules.optimise import all_sum
from alignlab.numerics.logps import CompletionLogps

from .config import KTOConfig
from .loss import kto_loss, reference_point


class KTOModule(LabelModule):
    """One reference point a batch, then each row by itself."""

    config: KTOConfig

    def context(self, batch: LabelBatch) -> Mapping[str, Tensor]:
        """The reference point of the whole batch, from completions of other prompts."""
        assert batch.mismatched is not None
        assert batch.mismatched_reference is not None
        rows = self.parts.micro_batch_size
        logps = over_rows(batch.mismatched, lambda part: self.policy(part).logps, rows)
        mask = batch.mismatched.completion
        return {"reference_point": reference_point(logps, batch.mismatched_reference, mask, total=all_sum)}

    def objective(
        self,
        policy: CompletionLogps,
        reference: CompletionLogps | None,
        batch: LabelBatch,
        context: Mapping[str, Tensor],
    ) -> LabelTerms:
        """Loss and implicit reward of each completion, (B,)."""
        assert reference is not None
        config, ratios = self.config, policy.logps - reference.logps
        loss = kto_loss(
            ratios,
            batch.desirable,
            context["reference_point"],
            beta=config.beta,
            lambda_desirable=config.lambda_desirable,
            lambda_undesirable=config.lambda_undesirable,
        )
        return LabelTerms(loss, config.beta * ratios.detach())
