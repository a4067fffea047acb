"""SFT as a completion method."""

from torch import Tensor

from alignlab.modules.completions import CompletionModule

from .loss import sft_loss


class SFTModule(CompletionModule):
    """Maximum likelihood of completion tokens."""

    def objective(self, logps: Tensor, mask: Tensor) -> Tensor:
        """Per-token loss, (B, T)."""
        return sft_loss(logps)
