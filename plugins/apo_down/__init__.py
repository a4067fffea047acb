"""APO-down (D'Oosterlinck et al., 2024): both completions down, rejected further.

The anchor for pairs that are worse than what the policy writes; for pairs that are better there is APO-zero.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import APODownConfig

METHOD = Method(
    name="apo_down",
    summary="both completions down, rejected further: for pairs the policy beats",
    config=APODownConfig,
    objective="alignlab.plugins.apo_down.loss:apo_down_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.apo_down.conf",
    equation="L = sigmoid(r_w) + 1 - sigmoid(r_w - r_l), r = beta log pi/ref(y | x)",
    paper="https://arxiv.org/abs/2408.06266",
    failures=(
        "Lowers good replies: wrong for data better than the policy.",
        "What replaces the lowered replies is in no pair, and may be anything.",
        "Gradients vanish where margins are large, also on pairs that are ordered the wrong way.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over pairs",
        "reference": "SFT policy, log-probabilities cached",
        "constant": "1 added to the paper's loss, so that it is never negative",
    },
)
