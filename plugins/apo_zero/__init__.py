"""APO-zero (D'Oosterlinck et al., 2024): chosen up and rejected down, each by itself.

The anchor for pairs that are better than what the policy writes; for pairs that are worse there is APO-down.
"""

from alignlab.method import Data, Method, Needs, Reference

from .config import APOZeroConfig

METHOD = Method(
    name="apo_zero",
    summary="chosen up and rejected down, each anchored at the reference",
    config=APOZeroConfig,
    objective="alignlab.plugins.apo_zero.loss:apo_zero_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.apo_zero.conf",
    exact="alignlab.plugins.apo_zero.exact:fixed_point",
    equation="L = 1 - sigmoid(beta log pi/ref(y_w | x)) + sigmoid(beta log pi/ref(y_l | x))",
    paper="https://arxiv.org/abs/2408.06266",
    failures=(
        "Raises replies worse than the policy's own: wrong for data of a weaker model.",
        "Gradients vanish on both sides of the reference: completions far on the wrong side are given up.",
        "Beta also sets where the terms saturate: too large and training stops after a few nats.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over pairs",
        "reference": "SFT policy, log-probabilities cached",
        "constant": "1 added to the paper's loss, so that it is never negative",
    },
)
