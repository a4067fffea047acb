"""The supervised phase as a completion method: what is special about it happens before training."""

from torch import Tensor

from alignlab.modules.completions import CompletionModule

from .loss import revision_loss


class ConstitutionalModule(CompletionModule):
    """Maximum likelihood of revisions."""

    def objective(self, logps: Tensor, mask: Tensor) -> Tensor:
        """Per-token loss, (B, T)."""
        return revision_loss(logps)
