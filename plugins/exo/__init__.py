"""Efficient Exact Optimisation (Ji et al., 2024): DPO's two distributions, compared by the other KL.

The pairwise form only: the paper's general form draws K completions for each prompt and weighs them by a reward model.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import EXOConfig

METHOD = Method(
    name="exo",
    summary="reverse KL from the policy's choice to the label's: mode-seeking",
    config=EXOConfig,
    objective="alignlab.plugins.exo.loss:exo_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.exo.conf",
    equation="L = KL((q, 1 - q) || (1 - eps, eps)), q = sigmoid(beta [log pi/ref(y_w | x) - log pi/ref(y_l | x)])",
    paper="https://arxiv.org/abs/2402.00856",
    failures=(
        "The gradient vanishes on pairs that the policy orders firmly the wrong way: they are given up.",
        "label_smoothing sets the margin at which the pull turns round: too small and nothing bounds it.",
        "Chosen log-probabilities may fall with the rejected ones: only their difference is trained.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over pairs",
        "reference": "SFT policy, log-probabilities cached",
        "label_smoothing": "eps of the target (1 - eps, eps), not a mixture of losses",
        "pairs": "K = 2, the paper's EXO-pref",
    },
)
