"""Direct Preference Optimization (Rafailov et al., 2023): a classifier that is secretly a policy."""

from alignlab.method import Data, Method, Needs, Reference

from .config import DPOConfig

METHOD = Method(
    name="dpo",
    summary="classify pairs by implicit reward; no reward model, no sampling",
    config=DPOConfig,
    objective="alignlab.plugins.dpo.loss:dpo_loss",
    needs=Needs(data=Data.PAIRS, reference=Reference.LOGPS),
    conf="pkg://alignlab.plugins.dpo.conf",
    equation="L = - log sigmoid(beta [log pi/ref(y_w | x) - log pi/ref(y_l | x)])",
    paper="https://arxiv.org/abs/2305.18290",
    failures=(
        "Likelihood displacement: chosen log-probabilities fall along with the rejected ones.",
        "Margins grow without bound on separable pairs: few epochs, or label_smoothing > 0.",
        "Drifts far for the reward it gains when pairs are not from its own samples.",
    ),
    conventions={
        "reduction": "sum over completion tokens, mean over pairs",
        "reference": "SFT policy, log-probabilities cached",
        "label_smoothing": "conservative DPO",
    },
)
